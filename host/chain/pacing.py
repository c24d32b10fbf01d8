"""When to ask for the next block: soon after it is there, and seldom in between.

Owns the timing of polls; sleeps nowhere, and reads no clock. On a chain with a steady block time it
learns when blocks arrive here and asks about once a block, a few per cent of the interval late; on any
other chain it asks at least once a second.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

LONGEST = 1.0
"""Seconds between two polls when nothing can be predicted."""

_SHORTEST = 0.02
_UNKNOWN_INTERVAL = 1.0
_ENOUGH_BLOCKS = 4
_STEADY_SHARE = 0.5
_LONGEST_STEP = 0.5
_MAX_BACKOFF = 15.0


def steady_interval(timestamps: Sequence[int]) -> int | None:
    """Return the chain's block time in seconds, or None where there is no steady one.

    Steady: at least half of the recent distances are the same (others are missed slots).
    """
    gaps = [after - before for before, after in pairwise(timestamps)]
    if len(gaps) < _ENOUGH_BLOCKS:
        return None
    gap, count = Counter(gaps).most_common(1)[0]
    return gap if gap > 0 and count >= _STEADY_SHARE * len(gaps) else None


class Pacer:
    """Seconds to wait after each poll. All arguments are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._misses = 0
        self._failures = 0
        self._at_once = 0
        self._has_waited = False

    def after_block(self, timestamps: Sequence[int]) -> float:
        """Wait after a poll that brought a block; `timestamps` are those of the recent blocks."""
        interval = steady_interval(timestamps)
        self._at_once = 0 if self._misses else self._at_once + 1
        self._has_waited = self._has_waited or self._misses > 0
        self._misses = self._failures = 0
        if interval is None:
            return _pause(timestamps)
        if not self._has_waited:
            return min(LONGEST, interval / 4)  # when blocks arrive is not known yet: find out
        if not self._at_once:
            return float(interval)
        # Found at once: perhaps we came late, so come a little earlier, and twice as much the next
        # time, until a poll comes too early and finds the block one short step later. That keeps us
        # just behind the arrival, and brings us back there within a few blocks.
        earlier = _step(interval) / 4 * 2.0 ** min(self._at_once - 1, 16)
        return interval - min(earlier, interval / 4)

    def after_nothing(self, timestamps: Sequence[int]) -> float:
        """Wait after a poll that brought nothing new."""
        interval = steady_interval(timestamps)
        self._misses += 1
        self._failures = 0
        if interval is None:
            return _pause(timestamps)
        longest = min(LONGEST, interval / 4)
        return float(min(longest, _step(interval) * 1.5 ** min(self._misses - 1, 16)))

    def after_failure(self, jitter: float) -> float:
        """Wait after a failed poll; `jitter` is a random number from 0 to 1 (full jitter)."""
        self._misses += 1
        self._failures += 1
        return max(_SHORTEST, jitter * min(_MAX_BACKOFF, 0.5 * 2.0 ** min(self._failures, 10)))


def _step(interval: int) -> float:
    return min(_LONGEST_STEP, max(_SHORTEST, interval / 20))


def _pause(timestamps: Sequence[int]) -> float:
    """Return a quarter of the usual distance, at most LONGEST."""
    if len(timestamps) < 2:
        return _UNKNOWN_INTERVAL / 4
    usual = (timestamps[-1] - timestamps[0]) / (len(timestamps) - 1)
    return min(LONGEST, max(_SHORTEST * 5, usual / 4))
