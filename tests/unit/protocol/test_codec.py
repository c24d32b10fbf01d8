"""Records over RLP: every message and document keeps its bounds in both directions."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol import codec, document, link, rlp
from guest.protocol.document import UnverifiedDocument
from guest.protocol.errors import MalformedInput
from guest.protocol.messages import Bootstrap, Handover, Onboard, Register
from guest.protocol.sizes import AtMost, Bits, Bytes32, Exactly, Text, Uint8, Uint64
from tests.unit.protocol.wire_strategies import damaged, records

KINDS = (*link._FROM_HOST, *link._FROM_GUEST, UnverifiedDocument, Register, Handover, Onboard)
any_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@any_kind
@given(data=st.data())
def test_every_record_survives_the_round_trip(kind: type, data: st.DataObject) -> None:
    record = data.draw(records(kind))
    encoded = codec.encode(record)
    assert codec.decode(kind, encoded, max_size=link.MAX_FRAME) == record


@any_kind
@given(data=st.data())
def test_damaged_bytes_are_refused_or_are_another_record_in_its_one_encoding(
    kind: type, data: st.DataObject
) -> None:
    encoded = data.draw(damaged(records(kind).map(codec.encode)))
    try:
        record = codec.decode(kind, encoded, max_size=link.MAX_FRAME)
    except MalformedInput:
        return
    assert codec.encode(record) == encoded


@any_kind
@given(data=st.data())
def test_items_of_the_wrong_shape_are_refused_and_raise_nothing_else(
    kind: type, data: st.DataObject
) -> None:
    item = data.draw(
        st.recursive(
            st.binary(max_size=34), lambda inner: st.lists(inner, max_size=9), max_leaves=12
        )
    )
    try:
        record = codec.from_item(kind, item)
    except MalformedInput:
        return
    assert codec.to_item(record) == item


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of every sort the codec knows."""

    fixed: Bytes32
    bounded: Annotated[bytes, AtMost(4)]
    number: Uint8
    flag: bool
    text: Annotated[str, AtMost(4)]
    many: Annotated[tuple[Uint64, ...], AtMost(2)]
    maybe: Uint8 | None


GOOD = Sample(bytes(32), b"abcd", 255, True, "abcd", (1, 2**64 - 1), 0)


def item_of(**changes: rlp.Item) -> rlp.Item:
    item = codec.to_item(GOOD)
    assert isinstance(item, list)
    names = list(Sample.__dataclass_fields__)
    for name, value in changes.items():
        item[names.index(name)] = value
    return item


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"fixed": bytes(31)}, "fixed has the wrong size"),
        ({"fixed": bytes(33)}, "fixed has the wrong size"),
        ({"fixed": []}, "fixed is not bytes"),
        ({"bounded": b"abcde"}, "bounded is too large"),
        ({"number": b"\x01\x00"}, "number is not an integer below"),
        ({"number": b"\x00"}, "number is not canonical"),
        ({"number": []}, "number is not an integer"),
        ({"flag": b"\x02"}, "flag is not a boolean"),
        ({"flag": b"\x00"}, "flag is not a boolean"),
        ({"flag": []}, "flag is not a boolean"),
        ({"text": b"abcde"}, "text is too large"),
        ({"text": b"\xff"}, "text is not UTF-8"),
        ({"text": b"\xed\xa0\x80"}, "text is not UTF-8"),  # a surrogate
        ({"text": b"\xc0\x80"}, "text is not UTF-8"),  # overlong
        ({"many": [b"\x01"] * 3}, "many is not a list of at most 2"),
        ({"many": b""}, "many is not a list"),
        ({"many": [b"\x00\x01"]}, r"many\[0\] is not canonical"),
        ({"maybe": b""}, "maybe is not an optional"),
        ({"maybe": [b"", b""]}, "maybe is not an optional"),
        ({"maybe": [b"\x00"]}, "maybe is not canonical"),
    ],
)
def test_a_field_outside_its_bound_is_refused_by_name(
    changes: dict[str, rlp.Item], where: str
) -> None:
    with pytest.raises(MalformedInput, match=where):
        codec.from_item(Sample, item_of(**changes))


@pytest.mark.parametrize("count", [0, 6, 8])
def test_a_record_with_a_field_too_many_or_too_few_is_refused(count: int) -> None:
    item = item_of()
    assert isinstance(item, list)
    with pytest.raises(MalformedInput, match="wrong shape"):
        codec.from_item(Sample, [*item, b""][:count])


@pytest.mark.parametrize(
    "bad",
    [
        Sample(bytes(31), b"", 0, False, "", (), None),
        Sample(bytes(32), b"12345", 0, False, "", (), None),
        Sample(bytes(32), b"", 256, False, "", (), None),
        Sample(bytes(32), b"", -1, False, "", (), None),
        Sample(bytes(32), b"", 0, False, "ééé", (), None),  # six bytes of UTF-8
        Sample(bytes(32), b"", 0, False, "\ud800", (), None),
        Sample(bytes(32), b"", 0, False, "", (1, 2, 3), None),
        Sample(bytes(32), b"", 0, False, "", (2**64,), None),
        Sample(bytes(32), b"", 0, False, "", (), 256),
    ],
    ids=range(9),
)
def test_we_never_send_what_we_would_refuse(bad: Sample) -> None:
    with pytest.raises(MalformedInput):
        codec.encode(bad)


def test_absent_and_zero_are_two_different_values() -> None:
    zero = codec.encode(GOOD)
    absent = codec.encode(
        Sample(*[getattr(GOOD, n) for n in Sample.__dataclass_fields__][:6], None)
    )
    assert zero != absent
    assert codec.decode(Sample, zero, max_size=200).maybe == 0
    assert codec.decode(Sample, absent, max_size=200).maybe is None


@pytest.mark.parametrize(
    "hint", [bytes, int, str, float, tuple[Uint8, ...], Annotated[int, AtMost(3)]]
)
def test_a_wire_field_without_a_bound_cannot_be_declared(hint: object) -> None:
    with pytest.raises(TypeError):
        codec._field(hint)


def test_the_bounds_themselves_are_the_ones_that_are_declared() -> None:
    for bound, good, bad in [
        (Annotated[bytes, Exactly(3)], b"abc", b"abcd"),
        (Annotated[bytes, AtMost(3)], b"abc", b"abcd"),
        (Text, b"a" * 512, b"a" * 513),
        (Annotated[int, Bits(16)], b"\xff\xff", b"\x01\x00\x00"),
    ]:
        read, _ = codec._field(bound)
        read(good, "x")
        with pytest.raises(MalformedInput):
            read(bad, "x")


# --- the document -------------------------------------------------------------------------------


def a_document(**changes: object) -> UnverifiedDocument:
    register = Register(bytes(20), bytes(32), bytes(32), 1, bytes(32))
    members: dict[str, object] = {
        "version": 1,
        "register": register,
        "bootstrap": None,
        "encryption_key": bytes(1216),
        "quote": b"q",
        "event_log": b"e",
        "collateral": b"c",
    }
    return UnverifiedDocument(**(members | changes))  # type: ignore[arg-type]


def test_a_document_of_ninety_six_kibibytes_is_the_largest() -> None:
    largest = {
        "quote": bytes(16 * 1024),
        "event_log": bytes(8 * 1024),
        "collateral": bytes(64 * 1024),
    }
    data = document.encode(a_document(**largest))
    assert len(data) <= document.MAX_DOCUMENT
    assert document.decode(data) == a_document(**largest)
    with pytest.raises(MalformedInput, match="too large"):
        document.decode(bytes(document.MAX_DOCUMENT + 1))
    for name, bytes_allowed in largest.items():
        with pytest.raises(MalformedInput, match=f"{name} is too large"):
            document.encode(a_document(**{name: bytes_allowed + b"x"}))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_document_of_another_version_is_refused(version: int) -> None:
    with pytest.raises(MalformedInput, match="unknown document version"):
        document.decode(codec.encode(a_document(version=version)))


def test_a_document_carries_exactly_one_message() -> None:
    with pytest.raises(MalformedInput, match="one message"):
        document.decode(codec.encode(a_document(register=None)))
    both = Bootstrap(bytes(20), bytes(32), bytes(32), 1, bytes(32), bytes(20), bytes(20))
    with pytest.raises(MalformedInput, match="one message"):
        document.decode(codec.encode(a_document(bootstrap=both)))


@given(damaged(records(UnverifiedDocument).map(codec.encode)) | st.binary(max_size=100))
def test_a_document_parses_canonically_or_not_at_all(data: bytes) -> None:
    try:
        parsed = document.decode(data)
    except MalformedInput:
        return
    assert document.encode(parsed) == data
