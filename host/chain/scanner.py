"""Follows the chain: new blocks, reorgs, and the contract's events, each step in order.

Owns the polling and the reorg cursor. It believes nothing beyond links between blocks and decides
nothing: its steps are claims of one node. It starts where the last run was safe (64 blocks back) and
so repeats events; whoever reads them treats them as hints that may come twice.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from guest.protocol.errors import MalformedInput, Unavailable
from host.chain.blocks import (
    BlockFields,
    BlockRef,
    LogEntry,
    may_hold_logs,
    parse_block,
    parse_logs,
)
from host.chain.events import SeenEvent, decode_event
from host.chain.hexdata import Json, to_data, to_quantity
from host.chain.ledger import Ledger
from host.chain.pacing import Pacer
from host.chain.rpc import Call, Node, RpcError
from host.chain.timing import Timing
from host.chain.window import DEPTH, LogRange, Reorg, Window, merged

_LOG = logging.getLogger(__name__)
_WALK_BACK = 8
_LAGGING_POLLS = 5
"""A node that shows an older head that we know may be one of several behind a name; so many times in
a row, the chain itself went back."""
_CURSOR_EVERY = 16


@dataclass(frozen=True, slots=True)
class Step:
    """What changed since the last step: first the reorg, then the blocks, then their events.

    `behind` counts blocks below the head that are not scanned yet; events of those come without
    `new_blocks`.
    """

    head: BlockFields
    reorg: Reorg | None
    new_blocks: tuple[BlockFields, ...]
    events: tuple[SeenEvent, ...]
    behind: int


class Scanner:
    """Reads one contract's chain through one node. `async for step in scanner.steps()`."""

    def __init__(
        self,
        rpc: Node,
        ledger: Ledger,
        contract: bytes,
        deployed_at: int,
        *,
        timing: Timing | None = None,
    ) -> None:
        """Scan for `contract` (20 bytes) from block `deployed_at` on."""
        self._rpc = rpc
        self._ledger = ledger
        self._contract = contract
        self._deployed_at = deployed_at
        self._timing = timing or Timing()
        self._window = Window()
        self._range = LogRange()
        self._pacer = Pacer()
        self._next = deployed_at
        self._reorg: Reorg | None = None
        self._resumed = False
        self._lagging = 0
        self._safe: BlockRef | None = None
        self._saved = -_CURSOR_EVERY
        self._finalized: tuple[bytes, BlockFields | None] | None = None
        self.malformed = 0
        """Logs that the contract cannot have made, skipped so far."""
        self.trouble = ""
        """Why the last poll failed; empty while all is well."""

    @property
    def head(self) -> BlockFields | None:
        """The newest block known, None before the first step."""
        return self._window.head

    def recent_header(self, number: int) -> BlockFields | None:
        """Return a block of the last 64 without asking the node."""
        return self._window.find(number)

    async def finalized(self) -> BlockFields | None:
        """Return the newest final block, None while there is none; at most one call per head."""
        head = self._window.head
        if head is None or self._finalized is None or self._finalized[0] != head.hash:
            answer = await self._rpc.call("eth_getBlockByNumber", "finalized", False)
            block = None if answer is None else parse_block(answer)
            if head is None:
                return block
            self._finalized = (head.hash, block)
        return self._finalized[1]

    async def steps(self) -> AsyncIterator[Step]:
        """Yield every change, for ever.

        A node that fails is asked again with growing pauses; `trouble` says why. Raises only what no
        retry mends: `Misconfigured` (the node is on another chain).
        """
        while True:
            try:
                step = await self._poll()
            except (Unavailable, MalformedInput, RpcError) as e:
                if str(e) != self.trouble:
                    _LOG.warning("chain: %s", e)
                self.trouble = str(e)
                await self._timing.sleep(self._pacer.after_failure(self._timing.jitter()))
                continue
            self.trouble = ""
            if step is None:
                await self._timing.sleep(self._pacer.after_nothing(self._window.timestamps()))
                continue
            yield step
            self._save_cursor()
            if not step.behind:
                await self._timing.sleep(self._pacer.after_block(self._window.timestamps()))

    async def _poll(self) -> Step | None:
        if not self._resumed:
            await self._resume()
        latest = parse_block(await self._rpc.call("eth_getBlockByNumber", "latest", False))
        head = self._window.head
        if head is not None and not self._window.extends((latest,)):
            if latest.hash == head.hash:
                self._lagging = 0
                return self._step(latest, (), ()) if self._reorg else None
            if self._window.holds(latest) and self._lagging < _LAGGING_POLLS:
                self._lagging += 1
                return None
            await self._walk_back(min(head.number, latest.number))
        self._lagging = 0
        return await self._advance(latest)

    async def _resume(self) -> None:
        """Start behind the cursor if its block is still on the chain, else at the contract."""
        cursor = self._ledger.cursor()
        if cursor is not None:
            answer = await self._rpc.call("eth_getBlockByNumber", to_quantity(cursor.number), False)
            if answer is not None and parse_block(answer).hash == cursor.hash:
                self._next = max(self._deployed_at, cursor.number + 1)
            else:
                self._reorg = Reorg(self._deployed_at - 1, (cursor,))
        self._resumed = True

    async def _walk_back(self, number: int) -> None:
        """Find the newest block, from `number` down, that we and the node share; drop the rest."""
        oldest = self._window.oldest
        low = oldest.number if oldest else number + 1
        width = 1  # mostly nothing was dropped and we only missed some blocks
        while number >= low:
            numbers = range(number, max(low, number - width + 1) - 1, -1)
            width = _WALK_BACK
            for block in await self._blocks(list(numbers)):
                if self._window.holds(block):
                    self._drop(block.number)
                    return
            number = numbers[-1] - 1
        self._drop(self._deployed_at - 1)
        self._window.clear()

    def _drop(self, ancestor: int) -> None:
        dropped = self._window.rewind(ancestor)
        self._next = min(self._next, max(self._deployed_at, ancestor + 1))
        if dropped:
            self._reorg = merged(self._reorg, Reorg(ancestor, dropped))

    async def _advance(self, latest: BlockFields) -> Step | None:
        """Read what lies between what we know and `latest`."""
        head = self._window.head
        if head is not None and latest.number - head.number > DEPTH:
            self._window.clear()
            head = None
        lowest = latest.number - DEPTH + 1 if head is None else head.number + 1
        if self._next < lowest:
            return await self._history(latest, lowest - 1)
        numbers = list(range(max(0, lowest), latest.number))
        fresh = (*(await self._blocks(numbers)), latest) if numbers else (latest,)
        if head is not None and head.hash == latest.hash:
            fresh = ()
        if not self._window.extends(fresh):
            raise Unavailable("the chain changed while it was read")
        events = await self._events_of([b for b in fresh if b.number >= self._next])
        self._window.append(fresh)
        self._next = max(self._deployed_at, latest.number + 1)
        return self._step(latest, fresh, events)

    def _step(
        self,
        latest: BlockFields,
        fresh: tuple[BlockFields, ...],
        events: tuple[SeenEvent, ...],
    ) -> Step:
        reorg, self._reorg = self._reorg, None
        return Step(latest, reorg, fresh, events, max(0, latest.number + 1 - self._next))

    async def _history(self, latest: BlockFields, last: int) -> Step:
        """Scan one range of old blocks, up to `last`; halve it until the provider bears it."""
        while True:
            end = min(last, self._next + self._range.size - 1)
            where: dict[str, Json] = {
                "address": to_data(self._contract),
                "fromBlock": to_quantity(self._next),
                "toBlock": to_quantity(end),
            }
            logs, block = await self._rpc.batch(
                (
                    Call("eth_getLogs", (where,)),
                    Call("eth_getBlockByNumber", (to_quantity(end), False)),
                )
            )
            if isinstance(block, RpcError):
                raise block
            if not isinstance(logs, RpcError):
                break
            if not self._range.refused():
                raise logs
        self._range.answered()
        anchor = parse_block(block).ref
        events = self._decode(parse_logs(logs))
        self._next = end + 1
        self._safe = anchor
        return self._step(latest, (), events)

    async def _events_of(self, blocks: list[BlockFields]) -> tuple[SeenEvent, ...]:
        """Fetch the logs of single blocks, by hash, so that no reorg can slip another's in."""
        asked = [block for block in blocks if may_hold_logs(block, self._contract)]
        if not asked:
            return ()
        address = to_data(self._contract)
        calls = [
            Call("eth_getLogs", ({"address": address, "blockHash": to_data(block.hash)},))
            for block in asked
        ]
        logs: list[LogEntry] = []
        for block, answer in zip(asked, await self._rpc.batch(calls), strict=True):
            if isinstance(answer, RpcError):
                raise answer
            found = parse_logs(answer)
            if any(log.block != block.ref for log in found):
                raise MalformedInput("the node sent logs of another block", expected=block.hash)
            logs += found
        return self._decode(tuple(logs))

    def _decode(self, logs: tuple[LogEntry, ...]) -> tuple[SeenEvent, ...]:
        events: list[SeenEvent] = []
        for log in logs:
            try:
                event = decode_event(log) if log.address == self._contract else None
            except MalformedInput as e:
                self.malformed += 1
                _LOG.warning("chain: %s", e)
                continue
            if event is not None:
                events.append(event)
        return tuple(events)

    async def _blocks(self, numbers: list[int]) -> list[BlockFields]:
        if not numbers:
            return []
        calls = [Call("eth_getBlockByNumber", (to_quantity(n), False)) for n in numbers]
        blocks: list[BlockFields] = []
        for number, answer in zip(numbers, await self._rpc.batch(calls), strict=True):
            if isinstance(answer, RpcError):
                raise answer
            block = parse_block(answer)
            if block.number != number:
                raise MalformedInput("the node sent another block", got=block.number)
            blocks.append(block)
        return blocks

    def _save_cursor(self) -> None:
        """Remember where a restart may begin: only now, since the step's reader is done with it."""
        oldest = self._window.oldest
        if oldest is not None and self._next > oldest.number:
            self._safe = oldest.ref  # what lies deeper will not be read again
        if self._safe is not None and abs(self._safe.number - self._saved) >= _CURSOR_EVERY:
            self._ledger.set_cursor(self._safe)
            self._saved = self._safe.number
