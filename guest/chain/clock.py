"""The guest's own clock: a lower bound of real time, from block headers and elapsed time alone.

Owns no clock. `at` is seconds of a monotonic clock that counts suspended time and does not run fast;
the caller reads it when a header has *arrived*, so that real time was at least the header's. There is
no upper bound and none is pretended: a host that is D late from boot stays D late, and what it can gain
from that is bounded by the contract (a view's hash is known to it for 256 blocks only).
"""

from guest.evidence.header import Header
from guest.protocol.errors import Reason, Refused


class GuestClock:
    """Lower bound = the maximum, over accepted headers, of header time + elapsed time since."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        """Know nothing yet."""
        self._offset: float | None = None

    def accept(self, header_time: int, at: float) -> None:
        """Take a header's time (Unix seconds) that was vouched for and arrived at `at`."""
        offset = header_time - at
        if self._offset is None or offset > self._offset:
            self._offset = offset

    def lower_bound(self, at: float) -> float:
        """Return the Unix time that has passed for sure; 0 before the first header."""
        return 0.0 if self._offset is None else self._offset + at

    def require_fresh(self, header: Header, at: float, max_age: float) -> None:
        """Refuse (`STALE_VIEW`) a header that is for sure older than `max_age` seconds."""
        age = self.lower_bound(at) - header.timestamp
        if age > max_age:
            raise Refused(
                Reason.STALE_VIEW,
                f"block {header.number} is too old to decide on",
                got=f"at least {age:.0f} s",
                expected=f"<= {max_age:g} s",
                mend="The host must show a newer block",
            )
