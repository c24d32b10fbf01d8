"""The newest blocks as a linked chain, and how large a range of logs a provider bears.

Owns what the scanner remembers, and nothing of how it is fetched: no I/O, no clock.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from host.chain.blocks import BlockFields, BlockRef

DEPTH = 64
"""Blocks kept. Reorgs deeper than this are answered by scanning from the beginning."""


@dataclass(frozen=True, slots=True)
class Reorg:
    """Blocks above `common_ancestor` (a number) are gone; `dropped` lists those we knew, newest last.

    When not even the oldest kept block survived, `common_ancestor` is the block before the contract.
    """

    common_ancestor: int
    dropped: tuple[BlockRef, ...]


class Window:
    """The last `DEPTH` blocks, each the parent of the next."""

    def __init__(self) -> None:
        self._blocks: deque[BlockFields] = deque(maxlen=DEPTH)

    @property
    def head(self) -> BlockFields | None:
        """The newest block, or None while nothing is known."""
        return self._blocks[-1] if self._blocks else None

    @property
    def oldest(self) -> BlockFields | None:
        """The oldest block kept."""
        return self._blocks[0] if self._blocks else None

    def find(self, number: int) -> BlockFields | None:
        """Return the block of that number, if it is kept."""
        at = number - self._blocks[0].number if self._blocks else -1
        return self._blocks[at] if 0 <= at < len(self._blocks) else None

    def holds(self, block: BlockFields) -> bool:
        """Whether exactly this block is kept."""
        known = self.find(block.number)
        return known is not None and known.hash == block.hash

    def timestamps(self) -> tuple[int, ...]:
        """Return the blocks' times, oldest first."""
        return tuple(block.timestamp for block in self._blocks)

    def extends(self, blocks: Sequence[BlockFields]) -> bool:
        """Whether `blocks` link to each other and to the head."""
        chain = [*([self._blocks[-1]] if self._blocks else []), *blocks]
        return all(
            child.parent_hash == parent.hash and child.number == parent.number + 1
            for parent, child in pairwise(chain)
        )

    def append(self, blocks: Sequence[BlockFields]) -> None:
        """Add `blocks`, which must extend the head."""
        if not self.extends(blocks):
            raise ValueError("these blocks do not extend the window")
        self._blocks.extend(blocks)

    def rewind(self, ancestor: int) -> tuple[BlockRef, ...]:
        """Forget all blocks above `ancestor` and return them, newest last."""
        dropped: list[BlockRef] = []
        while self._blocks and self._blocks[-1].number > ancestor:
            dropped.append(self._blocks.pop().ref)
        return tuple(reversed(dropped))

    def clear(self) -> None:
        """Forget everything."""
        self._blocks.clear()


def merged(first: Reorg | None, second: Reorg) -> Reorg:
    """Return one reorg that says what two in a row did."""
    if first is None:
        return second
    return Reorg(min(first.common_ancestor, second.common_ancestor), second.dropped + first.dropped)


class LogRange:
    """How many blocks to ask logs for at once: providers allow from 5 to any number."""

    LARGEST = 2000
    SMALLEST = 5
    _CALM = 16
    """After so many answers a larger range is tried again: refusals may have been passing ones."""

    def __init__(self) -> None:
        self.size = self.LARGEST
        self._answers = 0

    def refused(self) -> bool:
        """Halve the range; False when it was the smallest already."""
        was, self._answers = self.size, 0
        self.size = max(self.SMALLEST, self.size // 2)
        return self.size < was

    def answered(self) -> None:
        """Count a good answer."""
        self._answers += 1
        if self._answers >= self._CALM:
            self._answers = 0
            self.size = min(self.LARGEST, self.size * 2)
