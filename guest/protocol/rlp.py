"""RLP, the one serialisation: headers and tries of the chain, our documents and our link frames.

Strict and bounded. There is exactly one encoding of every item, so an accepted input re-encodes to
itself (Ethereum Yellow Paper, appendix B). Lengths are checked before any slice.
"""

from typing import TypeAlias

from guest.protocol.errors import MalformedInput

Item: TypeAlias = "bytes | list[Item]"

_SHORT = 55
MAX_DEPTH = 8
MAX_ITEMS = 20_000


def encode(item: Item) -> bytes:
    """Encode nested lists of bytes."""
    if isinstance(item, list):
        payload = b"".join([encode(member) for member in item])
        return _prefix(len(payload), 0xC0) + payload
    if len(item) == 1 and item[0] < 0x80:
        return bytes(item)
    return _prefix(len(item), 0x80) + item


def decode(data: bytes, *, max_size: int, max_items: int = MAX_ITEMS) -> Item:
    """Decode exactly one item that fills `data`.

    Raises `MalformedInput` when `data` is larger than `max_size` bytes, holds more than `max_items`
    items, nests deeper than `MAX_DEPTH`, is not canonical, is cut short or has trailing bytes.
    """
    if len(data) > max_size:
        raise MalformedInput(
            "RLP is too large", got=f"{len(data)} bytes", expected=f"<= {max_size}"
        )
    decoder = _Decoder(data, max_items)
    item, end = decoder.item(0, len(data), 0)
    if end != len(data):
        raise MalformedInput("RLP has trailing bytes", got=len(data) - end, expected=0)
    return item


def _prefix(length: int, offset: int) -> bytes:
    if length <= _SHORT:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + _SHORT + len(size)]) + size


class _Decoder:
    def __init__(self, data: bytes, max_items: int) -> None:
        self._data = data
        self._left = max_items

    def item(self, at: int, end: int, depth: int) -> tuple[Item, int]:
        self._left -= 1
        if self._left < 0:
            raise MalformedInput("RLP has too many items")
        if depth > MAX_DEPTH:
            raise MalformedInput("RLP nests too deep", expected=f"<= {MAX_DEPTH}")
        if at >= end:
            raise MalformedInput("RLP is cut short")
        first = self._data[at]
        if first < 0x80:
            return self._data[at : at + 1], at + 1
        is_list = first >= 0xC0
        start, stop = self._span(at, end, first - (0xC0 if is_list else 0x80))
        if not is_list:
            if stop - start == 1 and self._data[start] < 0x80:
                raise MalformedInput("RLP is not canonical: a small byte has a prefix")
            return self._data[start:stop], stop
        members: list[Item] = []
        while start < stop:
            member, start = self.item(start, stop, depth + 1)
            members.append(member)
        return members, stop

    def _span(self, at: int, end: int, tag: int) -> tuple[int, int]:
        """Return where the payload of the item at `at` starts and stops."""
        start, length = at + 1, tag
        if tag > _SHORT:
            size = tag - _SHORT
            start = at + 1 + size
            if start > end:
                raise MalformedInput("RLP is cut short in a length")
            digits = self._data[at + 1 : start]
            length = int.from_bytes(digits, "big")
            if digits[0] == 0 or length <= _SHORT:
                raise MalformedInput("RLP is not canonical: a length has a shorter form")
        if length > end - start:
            raise MalformedInput("RLP is cut short", got=end - start, expected=length)
        return start, start + length
