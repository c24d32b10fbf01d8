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
REGISTRATION_HOUR = 3600
KEPT = 64
"""Blocks for which an ended story is kept; the scanner knows as many."""


@dataclass(slots=True)
class Pending:
    """A newcomer that waits, since `block`, for attempt `attempt` to be answered."""

    event: Registered
    expires: int
    block: int
    attempt: int = 0
    answered_at: int | None = None
    ended_at: int | None = None

    @property
    def node(self) -> bytes:
        """The newcomer's address."""
        return self.event.node

    @property
    def document_hash(self) -> bytes:
        """The document that its registration commits to."""
        return self.event.document_hash

    @property
    def answered(self) -> bool:
        """Whether it waits for nobody: a hand-over is on the chain, or its story is over."""
        return self.answered_at is not None or self.ended_at is not None


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
                    self.pending[event.node].answered_at = seen.block.number
            case Rejected():
                self._rejected(event, seen)
            case Confirmed() | Renewed():
                self._end(event.node, seen)
                self.members[event.node] = event.lease
            case Revoked() | Failed() | Expired() | Unconfirmed():
                self._end(event.node, seen)
                self.members.pop(event.node, None)
            case _:
                pass

    def rewind(self, ancestor: int) -> None:
        """Take back what was seen above block `ancestor`: who was answered there waits again."""
        for waiting in self.pending.values():
            if waiting.answered_at is not None and waiting.answered_at > ancestor:
                waiting.answered_at = None
            if waiting.ended_at is not None and waiting.ended_at > ancestor:
                waiting.ended_at = None

    def forget(self, head: int) -> None:
        """Drop newcomers whose story ended too long ago for any reorg that we follow."""
        over = [w.node for w in self.pending.values() if w.ended_at and head - w.ended_at > KEPT]
        for node in over:
            del self.pending[node]

    def _end(self, node: bytes, seen: SeenEvent) -> None:
        if node in self.pending:
            self.pending[node].ended_at = seen.block.number

    def my_turn(self, newcomer: Pending, member: bytes, head: int, now: int) -> bool:
        """Whether `member` may answer now: its rank among live members, a slot each."""
        alive = [m for m, lease in self.members.items() if lease >= now]
        rank = sum(
            turn(newcomer.event.seed, newcomer.attempt, other)
            < turn(newcomer.event.seed, newcomer.attempt, member)
            for other in alive
            if other != member
        )
        return head >= newcomer.block + rank * SLOT

    def _registered(self, event: Registered, seen: SeenEvent) -> None:
        if len(self.pending) >= MAX_PENDING:
            oldest = min(self.pending.values(), key=lambda waiting: waiting.expires)
            del self.pending[oldest.node]
        self.pending[event.node] = Pending(event, event.expires, seen.block.number)

    def _rejected(self, event: Rejected, seen: SeenEvent) -> None:
        waiting = self.pending.get(event.node)
        if waiting is not None:
            waiting.attempt = event.attempt + 1
            waiting.answered_at = None
            waiting.block = seen.block.number
            waiting.expires += REGISTRATION_HOUR  # the contract starts the hour again
