"""Where quotes and registers come from, as the rest of the guest sees it.

Owns the interface alone. There is no platform that invents quotes in this package: a machine without
TDX reaches a quoting service outside the guest, whose root the network file must name.
"""

from dataclasses import dataclass
from typing import Protocol

from guest.protocol.errors import Reason, Unavailable


class PlatformLost(Unavailable):
    """The source of quotes is gone. Fatal: what the registers held since boot cannot come back."""

    reason = Reason.PLATFORM_LOST


@dataclass(frozen=True, slots=True)
class Registers:
    """The measurement registers as the platform reports them, 48 bytes each; unproven."""

    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes


class Platform(Protocol):
    """One boot of one confidential VM. Every call ends, with an answer or `Unavailable`."""

    async def quote(self, report_data: bytes) -> bytes:
        """Return a quote over exactly 64 bytes."""
        ...

    async def extend(self, index: int, digest: bytes) -> None:
        """Extend RTMR `index` (only 3) by 48 bytes. Nothing takes it back before the next boot."""
        ...

    async def registers(self) -> Registers:
        """Return the registers as they are now."""
        ...
