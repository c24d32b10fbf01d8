"""The attestation document: what a registration commits to by hash, and evidence for ever.

It travels off-chain and is addressed by the keccak of its exact bytes. It holds claims only; nothing
in it is believed before `guest.evidence` has verified the quote and all that the quote vouches for.
"""

from dataclasses import dataclass
from typing import Annotated

from guest.protocol import codec
from guest.protocol.errors import MalformedInput
from guest.protocol.messages import Bootstrap, Register
from guest.protocol.sizes import AtMost, EncryptionKey, Uint8

MAX_DOCUMENT = 96 * 1024
VERSION = 1


@dataclass(frozen=True, slots=True)
class UnverifiedDocument:
    """Exactly one of `register` and `bootstrap`, with the evidence for it."""

    version: Uint8
    register: Register | None
    bootstrap: Bootstrap | None
    encryption_key: EncryptionKey
    quote: Annotated[bytes, AtMost(16 * 1024)]
    event_log: Annotated[bytes, AtMost(8 * 1024)]
    collateral: Annotated[bytes, AtMost(64 * 1024)]


def decode(data: bytes) -> UnverifiedDocument:
    """Decode a document of at most 96 KiB; raises `MalformedInput`."""
    document = codec.decode(UnverifiedDocument, data, max_size=MAX_DOCUMENT)
    if document.version != VERSION:
        raise MalformedInput("unknown document version", got=document.version, expected=VERSION)
    if (document.register is None) == (document.bootstrap is None):
        raise MalformedInput("a document carries one message, register or bootstrap")
    return document


def encode(document: UnverifiedDocument) -> bytes:
    """Encode a document; raises `MalformedInput` where it breaks its own bounds."""
    data = codec.encode(document)
    if len(data) > MAX_DOCUMENT:
        raise MalformedInput("document too large", got=len(data), expected=f"<= {MAX_DOCUMENT}")
    return data
