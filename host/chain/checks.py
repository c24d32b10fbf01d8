"""The look before each send: does what the action wants stand already, and would it succeed.

Owns simulation and its doubts. A revert counts only when two looks at different blocks agree, since a
node may lag, and a block that is the newest cannot be named at `latest` (its hash is still zero there).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from guest.protocol.errors import MalformedInput, Unavailable
from host.chain.actions import Action
from host.chain.chain_facts import ask_gas
from host.chain.fees import gas_limit
from host.chain.outbox import after_check
from host.chain.reverts import decode_revert
from host.chain.rpc import Node, RpcError
from host.chain.timing import Timing

IsDone = Callable[[Action], Awaitable[bool]]
"""Whether the chain already shows what the action wants, whoever did it."""

STALE_ERRORS = frozenset({"UnknownBlock"})
"""Custom errors that a new signature under a newer block mends."""

_SECONDS = 15.0
_DOUBT_SECONDS = 10.0
"""On a chain without traffic the second look is not at another block but this much later."""
_POOL_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Cleared:
    """Send it, with this gas limit."""

    gas: int


@dataclass(frozen=True, slots=True)
class Held:
    """Not now; look again at the next block."""

    why: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Never send it as it is; the action's new row."""

    action: Action


@dataclass(frozen=True, slots=True)
class _Doubt:
    head: int
    since: float


class PreSendCheck:
    """Checks actions of one gas key against one node."""

    def __init__(
        self,
        node: Node,
        address: bytes,
        is_done: IsDone,
        timing: Timing,
    ) -> None:
        self._node = node
        self._address = address
        self._is_done = is_done
        self._monotonic = timing.monotonic
        self._doubts: dict[str, _Doubt] = {}

    async def look(self, action: Action, head: int) -> Cleared | Held | Closed:
        """Look at `action` while `head` is the newest block's number. Raises nothing of the node's."""
        try:
            async with asyncio.timeout(_SECONDS):
                done, looks = await asyncio.gather(self._is_done(action), self._simulate(action))
        except (TimeoutError, Unavailable, MalformedInput, RpcError) as e:
            return Held(str(e) or "the check took too long")
        if done:
            self._doubts.pop(action.key, None)
            return Closed(after_check(action, done=True, problem="", stale=False, head=head))
        return self._judge(action, looks, head)

    async def _simulate(self, action: Action) -> tuple[int | RpcError, ...]:
        """Estimate at `pending`; if that reverts, also without the pool."""
        with_pool = await ask_gas(self._node, self._address, action, "pending")
        if not isinstance(with_pool, RpcError) or not with_pool.reverted:
            return (with_pool,)
        return with_pool, await ask_gas(self._node, self._address, action, "latest")

    def _judge(
        self, action: Action, looks: tuple[int | RpcError, ...], head: int
    ) -> Cleared | Held | Closed:
        last = looks[-1]
        if isinstance(last, int):
            # What reverts only with the pool: our own earlier bytes are there, or another's, which
            # may never be mined. Those get a few blocks.
            others = len(looks) > 1 and action.nonce is None
            if others and not self._confirmed(action.key, head, blocks=_POOL_BLOCKS):
                return Held("another transaction in the pool would make it revert")
            self._doubts.pop(action.key, None)
            return Cleared(gas_limit(last))
        if not last.reverted:
            return Held(last.message)  # no funds, an overloaded node: may pass
        revert = decode_revert(last.data)
        problem = str(revert) if last.data else last.message
        if not self._confirmed(action.key, head, blocks=1):
            return Held(problem)
        self._doubts.pop(action.key, None)
        stale = revert.name in STALE_ERRORS
        return Closed(after_check(action, done=False, problem=problem, stale=stale, head=head))

    def _confirmed(self, key: str, head: int, *, blocks: int) -> bool:
        """Whether the doubt about an action is so many blocks old, or so old that none come."""
        doubt = self._doubts.setdefault(key, _Doubt(head, self._monotonic()))
        old = self._monotonic() - doubt.since >= _DOUBT_SECONDS * blocks
        return abs(head - doubt.head) >= blocks or old
