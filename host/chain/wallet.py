"""The only holder of the gas key: reads it, signs transactions with it, never shows it.

Owns the three ways a key comes in (key file, keystore with password file, text from the configuration)
and the one thing that it signs: EIP-1559 transactions. It signs no messages, so this key can never
speak for a node.
"""

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Misconfigured
from guest.protocol.primitives import (
    SECP256K1_ORDER,
    keccak256,
    secp256k1_address,
    sign_digest,
)
from guest.protocol.secret import Secret
from host.chain.fees import Fees
from host.chain.hexdata import members, parse_json

_MAX_KEY_FILE = 64 * 1024
_HEX_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_EIP_1559 = b"\x02"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a transaction does. `target` is 20 bytes, or empty to create a contract."""

    nonce: int
    target: bytes
    data: bytes
    gas: int
    fees: Fees
    value: int = 0


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes to send, and their hash, by which the chain names them."""

    raw: bytes
    hash: bytes


class Wallet:
    """One gas key. `address` is 20 bytes."""

    def __init__(self, key: Secret) -> None:
        """Take a 32-byte private key; raises `Misconfigured` if it is out of range."""
        number = int.from_bytes(key.expose(), "big")
        if len(key) != 32 or not 0 < number < SECP256K1_ORDER:
            raise Misconfigured("the gas key is no secp256k1 private key", mend=_MEND)
        self._key = key
        self.address = secp256k1_address(key)

    def __repr__(self) -> str:
        return f"Wallet(0x{self.address.hex()})"

    def sign(self, chain_id: int, payload: Payload) -> SignedTransaction:
        """Sign an EIP-1559 transaction; the same payload always gives the same bytes."""
        fields: list[rlp.Item] = [
            _integer(chain_id),
            _integer(payload.nonce),
            _integer(payload.fees.tip),
            _integer(payload.fees.max_fee),
            _integer(payload.gas),
            payload.target,
            _integer(payload.value),
            payload.data,
            [],
        ]
        signature = sign_digest(self._key, keccak256(_EIP_1559 + rlp.encode(fields)))
        r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
        fields += [_integer(signature[64] - 27), _integer(r), _integer(s)]
        raw = _EIP_1559 + rlp.encode(fields)
        return SignedTransaction(raw, keccak256(raw))


def from_text(text: str) -> Wallet:
    """Read a key written as 64 hex digits; raises `Misconfigured`, which never shows it."""
    stripped = text.strip()
    if not _HEX_KEY.fullmatch(stripped):
        raise Misconfigured("the gas key is not 64 hex digits", mend=_MEND)
    return Wallet(Secret(bytes.fromhex(stripped[-64:])))


def from_key_file(path: Path) -> Wallet:
    """Read a file with 64 hex digits that only its owner may read (mode 0600 or 0400)."""
    return from_text(_private_text(path, "key file"))


def from_keystore(path: Path, password_path: Path) -> Wallet:
    """Decrypt a Web3 Secret Storage v3 file with the password file's first line (takes seconds)."""
    keystore = _private_text(path, "keystore")
    password = _private_text(password_path, "password file").split("\n", 1)[0].rstrip("\r")
    limit = sys.getrecursionlimit()
    from eth_account import Account  # 0.6 s that other ways of starting need not pay

    # py_ecc, which comes with it, raises the limit so far that deep input could end the process.
    sys.setrecursionlimit(limit)
    try:
        return Wallet(
            Secret(
                bytes(
                    Account.decrypt(members(parse_json(keystore.encode()), "a keystore"), password)
                )
            )
        )
    except (MalformedInput, ValueError, TypeError, KeyError, NotImplementedError):
        # Not chained: nothing of the keystore or the password may show.
        raise Misconfigured(
            f"the keystore {path.name} does not open with that password",
            mend="Check both files; the keystore must be of version 3",
        ) from None


_MEND = "Write it as 64 hex digits, in a file that only you can read"


def _private_text(path: Path, what: str) -> str:
    """Read a small regular file; refuse it while group or others may touch it."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(opened, "rb") as file:  # noqa: PTH123 - of a descriptor, so that mode and content agree
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Misconfigured(f"the {what} {path.name} is no regular file")
            if status.st_mode & 0o077:
                raise Misconfigured(
                    f"the {what} {path.name} is open to others",
                    got=f"mode {stat.S_IMODE(status.st_mode):04o}",
                    expected="0600",
                    mend=f"chmod 600 {path.name}",
                )
            raw = file.read(_MAX_KEY_FILE + 1)
    except OSError as e:
        raise Misconfigured(
            f"the {what} {path.name} cannot be read", got=e.strerror, mend="Check its path"
        ) from None
    if len(raw) > _MAX_KEY_FILE:
        raise Misconfigured(f"the {what} {path.name} is too large")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Misconfigured(f"the {what} {path.name} is no text") from None


def _integer(number: int) -> bytes:
    """Write an integer as RLP wants it: big-endian without leading zeros."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
