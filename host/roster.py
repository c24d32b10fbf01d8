"""What the contract's events say about nodes: who waits, who is a member, whose turn it is.

Hints for a host's own decisions, never facts for a guest. A reorg may leave an entry that is not true
any more; the guest, which proves everything, then turns it down.
"""

from dataclasses import dataclass, field

from guest.protocol.digests import turn
from host.chain.events import (
    Bootstrapped,
    Confirmed,
    ContractEvent,
    Expired,
    Failed,
    Onboarded,
    Registered,
    Rejected,
    Renewed,
    Revoked,
    SeenEvent,
    Unconfirmed,
)

SLOT = 2
"""Blocks that one member has before the next one answers as well."""
MAX_PENDING = 4096


@dataclass(slots=True)
class Pending:
    """A newcomer that waits, since `block`, for attempt `attempt` to be answered."""

    node: bytes
    document_hash: bytes
    seed: int
    expires: int
    block: int
    tx_hash: bytes
    attempt: int = 0
    answered: bool = False


@dataclass(slots=True)
class Roster:
    """Nodes by what was last said of them."""

    pending: dict[bytes, Pending] = field(default_factory=dict)
    members: dict[bytes, int] = field(default_factory=dict)
    genesis_tx: bytes = b""
    genesis_block: int = 0

    def apply(self, seen: SeenEvent) -> None:
        """Take one event in."""
        event: ContractEvent = seen.event
        match event:
            case Bootstrapped():
                self.members[event.node] = event.lease
                self.genesis_tx, self.genesis_block = seen.tx_hash, seen.block.number
            case Registered():
                self._registered(event, seen)
            case Onboarded():
                if event.node in self.pending:
                    self.pending[event.node].answered = True
            case Rejected():
                self._rejected(event, seen)
            case Confirmed() | Renewed():
                self.pending.pop(event.node, None)
                self.members[event.node] = event.lease
            case Revoked() | Failed() | Expired() | Unconfirmed():
                self.pending.pop(event.node, None)
                self.members.pop(event.node, None)
            case _:
                pass

    def my_turn(self, newcomer: Pending, member: bytes, head: int, now: int) -> bool:
        """Whether `member` may answer now: its rank among live members, a slot each."""
        alive = [m for m, lease in self.members.items() if lease >= now]
        rank = sum(
            turn(newcomer.seed, newcomer.attempt, other)
            < turn(newcomer.seed, newcomer.attempt, member)
            for other in alive
            if other != member
        )
        return head >= newcomer.block + rank * SLOT

    def _registered(self, event: Registered, seen: SeenEvent) -> None:
        if len(self.pending) >= MAX_PENDING:
            oldest = min(self.pending.values(), key=lambda waiting: waiting.expires)
            del self.pending[oldest.node]
        self.pending[event.node] = Pending(
            event.node,
            event.document_hash,
            event.seed,
            event.expires,
            seen.block.number,
            seen.tx_hash,
        )

    def _rejected(self, event: Rejected, seen: SeenEvent) -> None:
        waiting = self.pending.get(event.node)
        if waiting is not None:
            waiting.attempt = event.attempt + 1
            waiting.answered = False
            waiting.block = seen.block.number
