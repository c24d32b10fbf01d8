"""RLP: one encoding per item, and no input that costs more than its own size."""

import tracemalloc

import pytest
import rlp as oracle
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.rlp import Item
from tests.unit.protocol.wire_strategies import damaged

LIMIT = 1 << 20


def nested() -> st.SearchStrategy[Item]:
    return st.recursive(
        st.binary(max_size=70), lambda inner: st.lists(inner, max_size=5), max_leaves=20
    )


def depth(item: Item) -> int:
    """How deep the innermost item lies; an empty list holds none."""
    return 1 + max(map(depth, item)) if isinstance(item, list) and item else 0


def decode(data: bytes) -> Item:
    return rlp.decode(data, max_size=LIMIT)


@given(nested())
def test_every_item_survives_the_round_trip(item: Item) -> None:
    data = rlp.encode(item)
    assert data == oracle.encode(item)
    if depth(item) <= rlp.MAX_DEPTH:
        assert decode(data) == item
    else:
        with pytest.raises(MalformedInput, match="nests too deep"):
            decode(data)


@given(st.binary(max_size=200) | damaged(nested().map(rlp.encode)))
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        item = decode(data)
    except MalformedInput:
        return
    assert rlp.encode(item) == data


@given(st.binary(max_size=64) | damaged(nested().map(rlp.encode)))
def test_an_independent_strict_decoder_agrees_about_what_is_valid(data: bytes) -> None:
    try:
        expected = oracle.decode(data, strict=True)
    except (oracle.exceptions.DecodingError, RecursionError):
        with pytest.raises(MalformedInput):
            decode(data)
        return
    if depth(expected) > rlp.MAX_DEPTH:
        with pytest.raises(MalformedInput, match="nests too deep"):
            decode(data)
    else:
        assert decode(data) == expected


@given(nested(), st.binary(min_size=1, max_size=4))
def test_trailing_bytes_are_refused(item: Item, extra: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode(rlp.encode(item) + extra)


@given(nested())
def test_an_item_cut_at_any_byte_is_refused(item: Item) -> None:
    data = rlp.encode(item)
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            decode(data[:end])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "cut short"),
        ("8100", "small byte"),
        ("817f", "small byte"),
        ("b800", "shorter form"),
        ("b837" + "00" * 0x37, "shorter form"),
        ("b90038" + "00" * 0x38, "shorter form"),
        ("b9", "cut short in a length"),
        ("f800", "shorter form"),
        ("f90001c0", "shorter form"),
        ("c181", "cut short"),
        ("c28100", "small byte"),
        ("c2820000", "cut short"),  # a member that reaches past its list
    ],
)
def test_a_second_encoding_of_the_same_item_is_refused(data: str, why: str) -> None:
    with pytest.raises(MalformedInput, match=why):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize("prefix", [0xBB, 0xBF, 0xFB, 0xFF])
def test_a_length_that_claims_gigabytes_allocates_nothing(prefix: int) -> None:
    """Public finding 567: a length is checked against what is there before memory is taken."""
    size = prefix - (0xF7 if prefix >= 0xC0 else 0xB7)
    data = bytes([prefix]) + b"\xff" * size + bytes(32)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedInput, match="cut short"):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("levels", [rlp.MAX_DEPTH + 1, 100, 3000])
def test_a_tower_of_lists_is_refused_and_does_not_exhaust_the_stack(levels: int) -> None:
    data = b""
    for _ in range(levels):
        data = rlp._prefix(len(data), 0xC0) + data
    with pytest.raises(MalformedInput, match="nests too deep"):
        decode(rlp._prefix(len(data), 0xC0) + data)


def test_the_deepest_legal_tower_is_accepted() -> None:
    tower: Item = b"x"
    for _ in range(rlp.MAX_DEPTH):
        tower = [tower]
    assert decode(rlp.encode(tower)) == tower


def test_a_list_of_more_items_than_allowed_is_refused() -> None:
    item: Item = [b""] * 10
    assert rlp.decode(rlp.encode(item), max_size=LIMIT, max_items=11) == item
    with pytest.raises(MalformedInput, match="too many items"):
        rlp.decode(rlp.encode(item), max_size=LIMIT, max_items=10)
    with pytest.raises(MalformedInput, match="too many items"):
        decode(rlp.encode([b""] * rlp.MAX_ITEMS))


def test_an_input_above_its_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        rlp.decode(b"\xb8\x38" + bytes(0x38), max_size=57)
