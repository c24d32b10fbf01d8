"""The log of RTMR3: what was measured at run time, and the register that it must replay to.

Owns the digest of an event, bit for bit that of the dstack guest agent (version 1 of its log), since
apps replay it with that project's SDKs. A log proves nothing without a quote whose RTMR3 it yields.
The digest joins name and payload by a colon only; that is frozen by compatibility, and nothing that
admits a node depends on it, since there the log is empty.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from guest.protocol import codec, rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.primitives import sha384
from guest.protocol.sizes import AtMost

RTMR_AT_BOOT = bytes(48)
"""TDX starts every RTMR at zero (TDX module specification, TDG.MR.RTMR.EXTEND)."""

RUNTIME_EVENT = 0x08000001
"""Event type of everything an agent logs at run time."""

MAX_LOG = 8 * 1024
_MAX_EVENTS = 64


@dataclass(frozen=True, slots=True)
class Event:
    """One extension of RTMR3: a name of UTF-8 text and a payload."""

    name: Annotated[str, AtMost(128)]
    payload: Annotated[bytes, AtMost(4096)]

    def digest(self) -> bytes:
        """Return the 48 bytes that extend the register."""
        kind = RUNTIME_EVENT.to_bytes(4, "little")
        return sha384(kind + b":" + self.name.encode() + b":" + self.payload)


def extended(register: bytes, digest: bytes) -> bytes:
    """Return a register after one extension: SHA-384 of its old value and the digest, 48 bytes each."""
    if len(register) != 48 or len(digest) != 48:
        raise ValueError("registers and digests have 48 bytes")
    return sha384(register + digest)


def replay(events: Iterable[Event]) -> bytes:
    """Return the value of RTMR3 after these events since boot; without any, the boot value."""
    register = RTMR_AT_BOOT
    for event in events:
        register = extended(register, event.digest())
    return register


def encode(events: tuple[Event, ...]) -> bytes:
    """Encode a log as an RLP list of [name, payload]; raises `MalformedInput` over its bounds."""
    data = rlp.encode([codec.to_item(event) for event in events])
    if len(data) > MAX_LOG or len(events) > _MAX_EVENTS:
        raise MalformedInput("event log is too large", got=len(data), expected=f"<= {MAX_LOG}")
    return data


def decode(data: bytes) -> tuple[Event, ...]:
    """Decode a log of at most 8 KiB and 64 events; raises `MalformedInput`."""
    item = rlp.decode(data, max_size=MAX_LOG, max_items=1 + 3 * _MAX_EVENTS)
    if not isinstance(item, list):
        raise MalformedInput("event log is not a list")
    return tuple([codec.from_item(Event, member) for member in item])
