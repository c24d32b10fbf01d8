"""What a guest may ask its shell to do. Effects are intentions; the state has changed already.

That order is the guest's "persist before you speak": the machine holds the key, the ciphertext or the
confirmation before the frame that depends on it exists, and keeps it for as long as the chain may ask.
"""

from dataclasses import dataclass

from guest.protocol.errors import Reason
from guest.protocol.keys import EpochKeys
from guest.protocol.link import FromGuest

SEAL_EVENT = "replicatoor-sealed"


@dataclass(frozen=True, slots=True)
class Say:
    """Send a frame to the host; dropped while the link is down, said again where it matters."""

    message: FromGuest


@dataclass(frozen=True, slots=True)
class MakeQuote:
    """Ask the platform for a quote over 64 bytes."""

    request: int
    report_data: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """Extend RTMR3 with `SEAL_EVENT`; answered by `Sealed`."""


@dataclass(frozen=True, slots=True)
class OpenApps:
    """Serve apps with these keys. Comes after `Sealed` only."""

    keys: EpochKeys


@dataclass(frozen=True, slots=True)
class CloseApps:
    """Stop serving apps: the node is not proven Active any more."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Ticked` at this monotonic time at the latest."""

    at: float


@dataclass(frozen=True, slots=True)
class Refusing:
    """Something was refused; for the log. `detail` is one line without secrets."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Stop the process: fatal, or `rejoin`, which the host answers by starting it again."""

    reason: Reason
    detail: str
    rejoin: bool


Effect = Say | MakeQuote | Seal | OpenApps | CloseApps | WakeAt | Refusing | Exit
