"""Hypothesis strategies for wire records, made from the type hints that the codec reads."""

import types
from dataclasses import fields, is_dataclass
from typing import Annotated, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from guest.protocol.sizes import AtMost, Bits, Exactly

SMALL = 40
"""Bytes or members of what could be large: the bounds themselves have tests of their own."""


def records(kind: type) -> st.SearchStrategy[object]:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, *[values(hints[field.name]) for field in fields(kind)])


def values(hint: object) -> st.SearchStrategy[object]:
    bound: object = None
    if get_origin(hint) is Annotated:
        hint, bound = get_args(hint)[:2]
    if isinstance(hint, type) and is_dataclass(hint):
        return records(hint)
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = [arg for arg in get_args(hint) if arg is not type(None)]
        return st.none() | values(inner)
    if get_origin(hint) is tuple:
        assert isinstance(bound, AtMost)
        return st.lists(values(get_args(hint)[0]), max_size=min(3, bound.size)).map(tuple)
    match hint, bound:
        case type(), Exactly(size) if hint is bytes:
            return blobs(size, size)
        case type(), AtMost(size) if hint is bytes:
            return st.binary(max_size=min(SMALL, size))
        case type(), Bits(bits) if hint is int:
            return st.integers(0, 2**bits - 1)
        case type(), AtMost(size) if hint is str:
            return st.text(max_size=min(SMALL, size) // 4)
        case type(), None if hint is bool:
            return st.booleans()
    raise AssertionError(f"the codec would not take {hint} either")


def blobs(low: int, high: int) -> st.SearchStrategy[bytes]:
    """Bytes; long ones repeat a short drawing, or a run would be mostly about making bytes."""
    if high <= SMALL:
        return st.binary(min_size=low, max_size=high)
    return st.tuples(st.binary(min_size=1, max_size=8), st.integers(low, high)).map(
        lambda drawn: (drawn[0] * drawn[1])[: drawn[1]]
    )


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A valid encoding with bytes changed, taken out, put in or cut off."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0 if data:
                data[at] ^= draw(st.integers(1, 255))
            case 1:
                del data[at : at + draw(st.integers(1, 4))]
            case 2:
                data[at:at] = draw(st.binary(min_size=1, max_size=4))
            case _:
                del data[at:]
    return bytes(data)
