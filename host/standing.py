"""Whether what an action wants stands on the chain already, whoever did it, or cannot stand yet.

One `eth_call` an action, before each send: a hand-over that another member made first, a registration
that somebody re-posted and a bootstrap that is mined must cost nothing more.
"""

from guest.protocol.errors import MalformedInput, Unavailable
from host import posts
from host.chain import abi
from host.chain.actions import Action
from host.chain.events import Status
from host.chain.hexdata import Json, data, to_data
from host.chain.rpc import Node

_MAX_RESULT = 64 * 1024
_MOST_WAITS = 40
"""Looks for which an action waits for what it builds on; a reorg that is followed is shorter."""
_MAX_WAITING = 4096
_FUNCTIONS = ("bootstrap", "register", "onboard", "onboardBatch", "confirm", "reject", "revoke")


class Standing:
    """Asks one node about one contract."""

    def __init__(self, node: Node, contract: bytes) -> None:
        """Ask `node` about `contract` (20 bytes)."""
        self._node = node
        self._contract = contract
        self._waits: dict[str, int] = {}
        entries = abi.release()
        self._names = {entries.entry("function", name).selector: name for name in _FUNCTIONS}

    async def is_done(self, action: Action) -> bool:
        """Return whether nothing is left to do; raises `Unavailable` or `RpcError`.

        `Unavailable` also, for some time, while the action is too early: it is held then, not judged.
        """
        function = self._names.get(action.calldata[:4])
        if action.target != self._contract or function is None:
            return False
        if function == "bootstrap":
            (epoch,) = await self._view("epoch")
            return epoch != 0
        if function == "onboardBatch":
            return await self._batch_stands(action)
        status, attempt = await self.status_of(posts.subject(action.calldata))
        if posts.too_early(function, status, attempt):
            self._wait(action)
        return posts.stands(function, action.calldata, status, attempt)

    async def status_of(self, node: bytes) -> tuple[Status, int]:
        """Return a node's status and attempt at the newest block."""
        (record,) = await self._view("nodes", node)
        if not isinstance(record, tuple) or len(record) < 3:
            raise MalformedInput("nodes() has an unexpected shape")
        status, attempt = record[1], record[2]
        if not isinstance(status, int) or not isinstance(attempt, int):
            raise MalformedInput("nodes() has an unexpected shape")
        return Status(status), attempt

    def _wait(self, action: Action) -> None:
        """Hold an action that is too early; not for ever, since later nonces wait behind it."""
        waits = self._waits.pop(action.key, 0) + 1
        if waits > _MOST_WAITS:
            return
        self._waits[action.key] = waits
        while len(self._waits) > _MAX_WAITING:
            del self._waits[next(iter(self._waits))]
        raise Unavailable("what it builds on is not on the chain", got=action.kind)

    async def _batch_stands(self, action: Action) -> bool:
        items = abi.decode_call("onboardBatch", action.calldata)[4]
        if not isinstance(items, tuple):
            raise MalformedInput("a batch without items")
        stands = True
        for item in items:
            if not isinstance(item, tuple) or not isinstance(item[0], bytes):
                raise MalformedInput("a batch item without a node")
            status, attempt = await self.status_of(item[0])
            if status is Status.NONE:
                self._wait(action)
            if status is Status.NONE or (status is Status.PENDING and attempt == item[1]):
                stands = False
        return stands

    async def _view(self, name: str, *values: abi.AbiValue) -> tuple[abi.AbiValue, ...]:
        call: dict[str, Json] = {
            "to": to_data(self._contract),
            "data": to_data(abi.encode_call(name, *values)),
        }
        raw = await self._node.call("eth_call", call, "latest")
        return abi.decode_result(name, data(raw, "a call's result", max_size=_MAX_RESULT))
