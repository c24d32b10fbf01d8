"""Records to bytes and back: frozen dataclasses over RLP, with every bound taken from the type.

A record is the RLP list of its fields in order. Integers are minimal big-endian, text is UTF-8, an
optional field is a list of none or one. There is one encoding of each record: whatever decodes
encodes to the same bytes (a property test holds us to it).
"""

import types
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.rlp import Item
from guest.protocol.sizes import AtMost, Bits, Exactly

Record = TypeVar("Record")
_Parse = Callable[[Item, str], object]
_Build = Callable[[object, str], Item]


def encode(record: object) -> bytes:
    """Encode a record. Raises `MalformedInput` when a field breaks the bound of its own type."""
    return rlp.encode(to_item(record))


def decode(kind: type[Record], data: bytes, *, max_size: int) -> Record:
    """Decode one record that fills `data`; raises `MalformedInput` and nothing else."""
    return from_item(kind, rlp.decode(data, max_size=max_size))


def to_item(record: object) -> Item:
    """Return the RLP item of a record."""
    _, build = _record(cast("Hashable", type(record)))
    return build(record, type(record).__name__)


def from_item(kind: type[Record], item: Item) -> Record:
    """Return the record of an RLP item; raises `MalformedInput`."""
    parse, _ = _record(cast("Hashable", kind))
    return cast("Record", parse(item, kind.__name__))


@cache
def _record(kind: Hashable) -> tuple[_Parse, _Build]:
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise TypeError(f"{kind} is not a dataclass")
    hints = get_type_hints(kind, include_extras=True)
    plan = [(field.name, *_field(hints[field.name])) for field in fields(kind)]

    def parse(item: Item, where: str) -> object:
        if not isinstance(item, list) or len(item) != len(plan):
            count = len(item) if isinstance(item, list) else "bytes"
            raise MalformedInput(f"{where} has the wrong shape", got=count, expected=len(plan))
        values = [
            read(member, f"{where}.{name}")
            for (name, read, _), member in zip(plan, item, strict=True)
        ]
        return kind(*values)

    def build(record: object, where: str) -> Item:
        return [write(getattr(record, name), f"{where}.{name}") for name, _, write in plan]

    return parse, build


def _field(hint: object) -> tuple[_Parse, _Build]:
    bound: object = None
    if get_origin(hint) is Annotated:
        hint, bound = get_args(hint)[:2]
    if hint is bytes:
        return _bytes(bound)
    if hint is int and isinstance(bound, Bits):
        return _uint(bound.bits)
    if hint is bool:
        return _bool()
    if hint is str and isinstance(bound, AtMost):
        return _text(bound.size)
    if get_origin(hint) is tuple and isinstance(bound, AtMost):
        return _sequence(get_args(hint)[0], bound.size)
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = [arg for arg in get_args(hint) if arg is not type(None)]
        return _optional(inner)
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint)
    raise TypeError(f"a wire field needs a bounded type, not {hint}")


def _bytes(bound: object) -> tuple[_Parse, _Build]:
    def check(value: object, where: str) -> bytes:
        if not isinstance(value, bytes):
            raise MalformedInput(f"{where} is not bytes")
        if isinstance(bound, Exactly) and len(value) != bound.size:
            raise MalformedInput(f"{where} has the wrong size", got=len(value), expected=bound.size)
        if isinstance(bound, AtMost) and len(value) > bound.size:
            raise MalformedInput(
                f"{where} is too large", got=len(value), expected=f"<= {bound.size}"
            )
        return value

    if not isinstance(bound, Exactly | AtMost):
        raise TypeError("a bytes field needs a size")
    return check, check


def _uint(bits: int) -> tuple[_Parse, _Build]:
    def parse(item: Item, where: str) -> int:
        if not isinstance(item, bytes) or len(item) * 8 > bits:
            raise MalformedInput(f"{where} is not an integer below 2**{bits}")
        if item[:1] == b"\0":
            raise MalformedInput(f"{where} is not canonical: it starts with a zero byte")
        return int.from_bytes(item, "big")

    def build(value: object, where: str) -> Item:
        if not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise MalformedInput(f"{where} is out of range", expected=f"an integer below 2**{bits}")
        return value.to_bytes((value.bit_length() + 7) // 8, "big")

    return parse, build


def _bool() -> tuple[_Parse, _Build]:
    def parse(item: Item, where: str) -> bool:
        if item not in (b"", b"\x01"):
            raise MalformedInput(f"{where} is not a boolean")
        return item == b"\x01"

    return parse, lambda value, _: b"\x01" if value else b""


def _text(size: int) -> tuple[_Parse, _Build]:
    check, _ = _bytes(AtMost(size))

    def parse(item: Item, where: str) -> str:
        try:
            return cast("bytes", check(item, where)).decode()
        except UnicodeDecodeError:
            raise MalformedInput(f"{where} is not UTF-8") from None

    def build(value: object, where: str) -> Item:
        try:
            raw = cast("str", value).encode()
        except UnicodeEncodeError:
            raise MalformedInput(f"{where} is not Unicode text") from None
        return cast("bytes", check(raw, where))

    return parse, build


def _sequence(member: object, count: int) -> tuple[_Parse, _Build]:
    read, write = _field(member)

    def parse(item: Item, where: str) -> object:
        if not isinstance(item, list) or len(item) > count:
            raise MalformedInput(f"{where} is not a list of at most {count}")
        return tuple([read(entry, f"{where}[{i}]") for i, entry in enumerate(item)])

    def build(value: object, where: str) -> Item:
        members = cast("tuple[object, ...]", value)
        if len(members) > count:
            raise MalformedInput(f"{where} has too many members", got=len(members), expected=count)
        return [write(entry, f"{where}[{i}]") for i, entry in enumerate(members)]

    return parse, build


def _optional(inner: object) -> tuple[_Parse, _Build]:
    read, write = _field(inner)

    def parse(item: Item, where: str) -> object:
        if not isinstance(item, list) or len(item) > 1:
            raise MalformedInput(f"{where} is not an optional value")
        return read(item[0], where) if item else None

    def build(value: object, where: str) -> Item:
        return [] if value is None else [write(value, where)]

    return parse, build
