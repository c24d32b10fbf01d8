"""What may happen to a guest. Every event carries `at`, seconds of a monotonic clock.

Nothing here is believed: `HostSaid` holds claims, `Quoted` bytes that the node verifies like anyone's.
"""

from dataclasses import dataclass

from guest.protocol.link import FromHost


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The host was dialled; both sides start afresh, our state does not."""

    at: float


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is gone. The runtime dials again; nothing is lost."""

    at: float


@dataclass(frozen=True, slots=True)
class HostSaid:
    """A frame came that decodes."""

    at: float
    message: FromHost


@dataclass(frozen=True, slots=True)
class Quoted:
    """The platform made the quote that `MakeQuote` asked for."""

    at: float
    request: int
    quote: bytes


@dataclass(frozen=True, slots=True)
class QuoteFailed:
    """The platform could not make the quote now."""

    at: float
    request: int
    detail: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """RTMR3 was extended: no join quote can come from this boot any more."""

    at: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed; sent at `WakeAt` and at least every few seconds."""

    at: float


Event = LinkUp | LinkDown | HostSaid | Quoted | QuoteFailed | Sealed | Ticked
