"""Names for fixed and bounded wire types, read by `guest.protocol.codec`.

`Annotated` keeps them plain `bytes`, `int` and `str` for the type checker; the bound is checked where
bytes from outside become records, and once more where records become bytes.
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias


@dataclass(frozen=True, slots=True)
class Exactly:
    """A byte string of exactly `size` bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class AtMost:
    """At most `size` bytes (bytes, UTF-8 text) or members (tuples)."""

    size: int


@dataclass(frozen=True, slots=True)
class Bits:
    """An unsigned integer below 2**bits."""

    bits: int


Address: TypeAlias = Annotated[bytes, Exactly(20)]
Bytes32: TypeAlias = Annotated[bytes, Exactly(32)]
Signature: TypeAlias = Annotated[bytes, Exactly(65)]
EncryptionKey: TypeAlias = Annotated[bytes, Exactly(1216)]
"""ML-KEM-768 public key (1,184 bytes), then X25519 public key (32)."""
Ciphertext: TypeAlias = Annotated[bytes, Exactly(1168)]
"""HPKE encapsulation (1,120 bytes), then 32 bytes of secret and the 16-byte tag."""
Uint8: TypeAlias = Annotated[int, Bits(8)]
Uint16: TypeAlias = Annotated[int, Bits(16)]
Uint32: TypeAlias = Annotated[int, Bits(32)]
Uint64: TypeAlias = Annotated[int, Bits(64)]
Text: TypeAlias = Annotated[str, AtMost(512)]

ZERO_ADDRESS = bytes(20)
