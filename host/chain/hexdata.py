"""JSON-RPC's answers, strictly: JSON of bounded depth, hex of a known or bounded size.

Owns the only conversions between what a node answers and our integers and bytes. Every refusal is
`MalformedInput`; nothing is repaired (execution-apis, "Hex value encoding"), except that leading
zeros of a quantity are borne, since some nodes send them.
"""

import json
import re
from typing import TypeAlias

from guest.protocol.errors import MalformedInput

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
"""What a JSON document can hold."""

_DIGITS = frozenset("0123456789abcdefABCDEF")


_MAX_DEPTH = 32
"""The deepest answer we ask for nests 5 levels."""
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")


def parse_json(raw: bytes) -> Json:
    """Read one JSON document that nests at most 32 levels; its size is bounded by the caller."""
    if raw.count(b"[") + raw.count(b"{") > _MAX_DEPTH:
        _check_depth(raw)
    try:
        parsed: Json = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise MalformedInput("not JSON", got=type(e).__name__) from None
    return parsed


def _check_depth(raw: bytes) -> None:
    """Refuse deep nesting before the parser, which recurses in C, sees it."""
    depth = 0
    for bracket in _STRINGS.sub(b"", raw).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _MAX_DEPTH:
            raise MalformedInput("JSON nests too deep", expected=f"<= {_MAX_DEPTH}")


def quantity(value: Json, what: str, *, bits: int = 256) -> int:
    """Return the unsigned integer that `value` ("0x..") writes; it fits in `bits`."""
    if not isinstance(value, str) or not 2 < len(value) <= 2 + 64 or value[:2] != "0x":
        raise MalformedInput(f"{what} is no hex quantity", got=value)
    if not _DIGITS.issuperset(value[2:]):
        raise MalformedInput(f"{what} is no hex quantity", got=value)
    number = int(value, 16)
    if number >> bits:
        raise MalformedInput(f"{what} is too large", got=value, expected=f"{bits} bits")
    return number


def data(value: Json, what: str, *, max_size: int) -> bytes:
    """Return the bytes that `value` ("0x..", two digits a byte) writes, at most `max_size`."""
    if not isinstance(value, str) or value[:2] != "0x" or len(value) % 2:
        raise MalformedInput(f"{what} is no hex string", got=value)
    if len(value) > 2 + 2 * max_size:
        raise MalformedInput(
            f"{what} is too large", got=f"{len(value) // 2 - 1} bytes", expected=f"<= {max_size}"
        )
    if not _DIGITS.issuperset(value[2:]):
        raise MalformedInput(f"{what} is no hex string", got=value)
    return bytes.fromhex(value[2:])


def fixed(value: Json, what: str, size: int) -> bytes:
    """Return exactly `size` bytes."""
    found = data(value, what, max_size=size)
    if len(found) != size:
        raise MalformedInput(f"{what} has the wrong size", got=len(found), expected=size)
    return found


def to_quantity(number: int) -> str:
    """Write a block number, nonce or amount as JSON-RPC wants it."""
    return hex(number)


def to_data(raw: bytes) -> str:
    """Write bytes as JSON-RPC wants them."""
    return "0x" + raw.hex()


def members(value: Json, what: str) -> dict[str, Json]:
    """Return `value` as an object."""
    if not isinstance(value, dict):
        raise MalformedInput(f"{what} is no object", got=type(value).__name__)
    return value


def items(value: Json, what: str, *, max_items: int) -> list[Json]:
    """Return `value` as a list of at most `max_items`."""
    if not isinstance(value, list) or len(value) > max_items:
        size = len(value) if isinstance(value, list) else type(value).__name__
        raise MalformedInput(f"{what} is no list of that length", got=size, expected=max_items)
    return value
