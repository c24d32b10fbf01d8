from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.header import MAX_HEADER, decode_header
from guest.protocol import rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.primitives import keccak256

EMPTY = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
OMMERS = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")


def fields(count: int) -> list[rlp.Item]:
    """A header with the first `count` fields of all forks, and two of forks to come."""
    full: list[rlp.Item] = [
        b"\x01" * 32, OMMERS, bytes(20), b"\x02" * 32, EMPTY, EMPTY, bytes(256), b"", b"\x0c\x00",
        b"\x01\xc9\xc3\x80", b"\x52\x08", b"\x65\x00\x00\x01", b"extra", b"\x03" * 32, bytes(8),
        b"\x07", EMPTY, b"", b"\x05", b"\x04" * 32, b"\x05" * 32, b"\x06" * 32, b"\x2a",
        b"new", b"",
    ]  # fmt: skip
    return full[:count]


def test_the_genesis_of_ethereum_has_its_published_hash() -> None:
    header = decode_header(
        rlp.encode(
            [
                bytes(32), OMMERS, bytes(20),
                bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
                EMPTY, EMPTY, bytes(256), b"\x04\x00\x00\x00\x00", b"", b"\x13\x88", b"", b"",
                bytes.fromhex("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa"),
                bytes(32), b"\0\0\0\0\0\0\0\x42",
            ]
        )
    )  # fmt: skip
    assert header.hash.hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    assert header.number == header.timestamp == 0


def test_the_genesis_of_sepolia_has_its_published_hash() -> None:
    header = decode_header(
        rlp.encode(
            [
                bytes(32), OMMERS, bytes(20),
                bytes.fromhex("5eb6e371a698b8d68f665192350ffcecbbbf322916f4b51bd79bb6887da3f494"),
                EMPTY, EMPTY, bytes(256), b"\x02\x00\x00", b"", b"\x01\xc9\xc3\x80", b"",
                bytes.fromhex("6159af19"), b"Sepolia, Athens, Attica, Greece!",
                bytes(32), bytes(8), bytes.fromhex("3b9aca00"),
            ]
        )
    )  # fmt: skip
    assert header.hash.hex() == "25a5cc106eea7138acab33231d7160d69cb777ee0c2c553fcddf5138993e6dd9"
    assert header.timestamp == 0x6159AF19


@pytest.mark.parametrize("count", range(15, 26))
def test_every_fork_shape_is_read_at_the_same_places(count: int) -> None:
    raw = rlp.encode(fields(count))
    header = decode_header(raw)
    assert header.hash == keccak256(raw)
    assert (header.number, header.timestamp) == (0xC00, 0x65000001)
    assert (header.parent_hash, header.state_root) == (b"\x01" * 32, b"\x02" * 32)


@pytest.mark.parametrize("count", [0, 1, 14, 26])
def test_a_header_with_a_strange_number_of_fields_is_refused(count: int) -> None:
    raw = rlp.encode([*fields(25), b""][:count])
    with pytest.raises(MalformedInput):
        decode_header(raw)


@pytest.mark.parametrize("at", range(25))
def test_a_field_of_a_wrong_size_is_refused(at: int) -> None:
    items = fields(25)
    items[at] = b"\x01" * 257
    with pytest.raises(MalformedInput):
        decode_header(rlp.encode(items))


@pytest.mark.parametrize("at", [8, 9, 10, 11, 17, 18, 22])
def test_an_integer_above_64_bits_or_with_a_leading_zero_is_refused(at: int) -> None:
    for bad in (b"\x01" + bytes(8), b"\0", b"\0\x01"):
        items = fields(25)
        items[at] = bad
        with pytest.raises(MalformedInput):
            decode_header(rlp.encode(items))


@pytest.mark.parametrize("at", range(25))
def test_a_list_in_the_place_of_a_field_is_refused(at: int) -> None:
    items = fields(25)
    items[at] = []
    with pytest.raises(MalformedInput):
        decode_header(rlp.encode(items))


def test_trailing_bytes_and_oversize_are_refused() -> None:
    raw = rlp.encode(fields(21))
    for bad in (raw + b"\0", raw[:-1], b"", b"\x80", bytes(MAX_HEADER + 1)):
        with pytest.raises(MalformedInput):
            decode_header(bad)


@given(st.binary(max_size=600))
def test_noise_raises_malformed_input_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_header(raw)


@given(st.integers(15, 25), st.data())
def test_a_changed_byte_never_keeps_the_hash(count: int, data: st.DataObject) -> None:
    raw = rlp.encode(fields(count))
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    with suppress(MalformedInput):
        assert decode_header(changed).hash != keccak256(raw)
