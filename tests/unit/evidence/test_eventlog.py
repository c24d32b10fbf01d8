"""The log of RTMR3 replays to the register, as the dstack SDKs compute it."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.eventlog import (
    RTMR_AT_BOOT,
    Event,
    decode,
    encode,
    extended,
    replay,
)
from guest.protocol import rlp
from guest.protocol.errors import MalformedInput

EVENTS = st.lists(st.builds(Event, st.text(max_size=30), st.binary(max_size=60)), max_size=20).map(
    tuple
)


def test_the_digest_of_an_event_is_that_of_the_dstack_guest_agent() -> None:
    expected = hashlib.sha384(bytes.fromhex("01000008") + b":app-id:" + b"\x01\x02").digest()
    assert Event("app-id", b"\x01\x02").digest() == expected


def test_an_empty_log_is_the_boot_value_and_nothing_else_is() -> None:
    assert replay(()) == RTMR_AT_BOOT == bytes(48)
    assert encode(()) == b"\xc0"
    assert replay((Event("", b""),)) != RTMR_AT_BOOT


def test_a_register_is_a_hash_chain_in_order() -> None:
    first, second = Event("a", b""), Event("b", b"")
    assert replay((first, second)) == extended(replay((first,)), second.digest())
    assert replay((first, second)) != replay((second, first))


@given(EVENTS)
def test_a_log_survives_its_encoding(events: tuple[Event, ...]) -> None:
    assert decode(encode(events)) == events


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_a_log_that_encodes_to_them_or_are_malformed(data: bytes) -> None:
    try:
        events = decode(data)
    except MalformedInput:
        return
    assert encode(events) == data


def test_a_log_beyond_its_bounds_is_malformed() -> None:
    for events in ((Event("", b""),) * 65, (Event("", bytes(4096)),) * 3):
        with pytest.raises(MalformedInput):
            encode(events)
        with pytest.raises(MalformedInput):
            decode(rlp.encode([[e.name.encode(), e.payload] for e in events]))
    for event in (Event("n" * 129, b""), Event("", bytes(4097))):
        with pytest.raises(MalformedInput):
            encode((event,))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc1\x80", b"\xc2\xc1\x80", b"\xc3\xc2\xff\x80"])
def test_another_shape_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode(data)


@pytest.mark.parametrize(("register", "digest"), [(b"", bytes(48)), (bytes(48), bytes(47))])
def test_only_whole_registers_are_extended(register: bytes, digest: bytes) -> None:
    with pytest.raises(ValueError, match="48"):
        extended(register, digest)
