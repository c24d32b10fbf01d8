"""Link frames: every message there and back, and every way in which a frame can be wrong."""

from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.protocol import codec, link, rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.link import FromGuest, FromHost
from tests.unit.protocol.wire_strategies import damaged, records

SIDES = [(link._FROM_HOST, link.from_host), (link._FROM_GUEST, link.from_guest)]
MESSAGES = [(kind, parse) for table, parse in SIDES for kind in table]
every_message = pytest.mark.parametrize(
    ("kind", "parse"), MESSAGES, ids=[kind.__name__ for kind, _ in MESSAGES]
)
both_sides = pytest.mark.parametrize(("table", "parse"), SIDES, ids=["host", "guest"])


def payload(message: FromHost | FromGuest) -> bytes:
    return link.frame(message)[link.LENGTH_BYTES :]


def test_the_tables_hold_every_message_once_and_no_message_belongs_to_both_sides() -> None:
    assert set(link._FROM_HOST) == set(get_args(FromHost))
    assert set(link._FROM_GUEST) == set(get_args(FromGuest))
    everything = [*link._FROM_HOST, *link._FROM_GUEST]
    assert len(set(everything)) == len(everything)


def test_the_numbers_of_kinds_never_change() -> None:
    """A host and a guest of different releases meet; new kinds go to the end."""
    assert " ".join([kind.__name__ for kind in link._FROM_HOST]) == (
        "Welcome HeadSeen View Newcomer HandedOver CollateralFound GenesisFound Stored Stale Depart"
    )
    assert " ".join([kind.__name__ for kind in link._FROM_GUEST]) == (
        "Hello NeedView NeedCollateral NeedGenesis PostBootstrap PostRegister PostOnboards "
        "PostConfirm PostReject PostRenew PostLeave Turned Report"
    )


@every_message
@settings(max_examples=30)
@given(data=st.data())
def test_every_message_survives_its_frame(kind: type, parse: object, data: st.DataObject) -> None:
    message = data.draw(records(kind))
    framed = link.frame(message)
    size = link.payload_size(framed[: link.LENGTH_BYTES])
    assert size == len(framed) - link.LENGTH_BYTES
    assert parse(framed[link.LENGTH_BYTES :]) == message  # type: ignore[operator]


@every_message
@settings(max_examples=3)
@given(data=st.data())
def test_a_frame_cut_at_any_byte_or_with_a_byte_more_is_refused(
    kind: type, parse: object, data: st.DataObject
) -> None:
    whole = payload(data.draw(records(kind)))
    step = max(1, len(whole) // 400)
    for end in [*range(0, min(len(whole), 64)), *range(64, len(whole), step)]:
        with pytest.raises(MalformedInput):
            parse(whole[:end])  # type: ignore[operator]
    for extra in (b"\0", b"\x80", b"\xc0", whole):
        with pytest.raises(MalformedInput):
            parse(whole + extra)  # type: ignore[operator]


@both_sides
@given(data=st.data())
def test_damaged_frames_parse_canonically_or_are_refused(
    table: tuple[type, ...], parse: object, data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(table))
    mangled = data.draw(damaged(records(kind).map(payload)) | st.binary(max_size=80))
    try:
        message = parse(mangled)  # type: ignore[operator]
    except MalformedInput:
        return
    assert payload(message) == mangled


@both_sides
def test_unknown_kinds_are_refused(table: tuple[type, ...], parse: object) -> None:
    for kind in (0, len(table) + 1, 127, 128, 255):
        with pytest.raises(MalformedInput, match="unknown frame kind"):
            parse(rlp.encode([bytes([kind]), []]))  # type: ignore[operator]
    for odd in (b"", b"\x00\x01", [], [b"\x01"]):
        with pytest.raises(MalformedInput, match="unknown frame kind"):
            parse(rlp.encode([odd, []]))  # type: ignore[operator]


@both_sides
def test_a_frame_is_a_pair(table: tuple[type, ...], parse: object) -> None:
    assert table
    for item in (b"", b"\x01", [], [b"\x01"], [b"\x01", [], []], [[b"\x01", []]]):
        with pytest.raises(MalformedInput):
            parse(rlp.encode(item))  # type: ignore[operator]


@both_sides
def test_one_sides_message_is_not_the_others(table: tuple[type, ...], parse: object) -> None:
    """A host cannot make a guest act on a message that only a guest may say, and the reverse."""
    hello = link.Hello(1, bytes(32), 1, bytes(20))
    welcome = link.Welcome(1, bootstrap=True)
    foreign = hello if link.Welcome in table else welcome
    with pytest.raises(MalformedInput):
        parse(payload(foreign))  # type: ignore[operator]


@pytest.mark.parametrize("size", [0, link.MAX_FRAME + 1, 2**31, 2**32 - 1])
def test_finding_567_an_announced_size_is_judged_before_anything_is_read(size: int) -> None:
    with pytest.raises(MalformedInput, match="bad size"):
        link.payload_size(size.to_bytes(link.LENGTH_BYTES, "big"))


@pytest.mark.parametrize("size", [1, 2, link.MAX_FRAME])
def test_announced_sizes_within_the_bound_pass(size: int) -> None:
    assert link.payload_size(size.to_bytes(link.LENGTH_BYTES, "big")) == size


def test_a_payload_above_the_bound_is_refused_unread() -> None:
    with pytest.raises(MalformedInput, match="too large"):
        link.from_host(bytes(link.MAX_FRAME + 1))


def test_we_never_make_a_frame_that_the_other_side_refuses() -> None:
    node = bytes(1024)
    proof = link.StateProof(b"", (node,) * 1030)
    view = link.View(1, link.UnverifiedView(proof, (), None, None))
    with pytest.raises(MalformedInput, match="frame too large"):
        link.frame(view)


def test_the_largest_of_everything_that_we_send_fits_a_frame() -> None:
    """Bounds of members that together exceed a frame would be bounds in name only."""
    item = link.OnboardItem(bytes(20), 255, bytes(32), bytes(1168))
    batch = link.PostOnboards(
        "k" * 512,
        True,
        bytes(20),
        2**32 - 1,
        2**64 - 1,
        bytes(32),
        (item,) * link.MAX_BATCH,
        bytes(65),
    )
    slots = tuple(bytes([i % 256]) * 32 for i in range(512))
    asked = link.NeedView(2**32 - 1, slots, slots, 255)
    report = link.Report("s" * 512, "d" * 512, bytes(20), 2**32 - 1, bytes(20), bytes(32))
    for message in (batch, asked, report):
        assert link.from_guest(payload(message)) == message


@pytest.mark.parametrize(
    ("kind", "member", "count"),
    [
        (link.PostOnboards, "items", link.MAX_BATCH + 1),
        (link.NeedView, "newest_slots", 513),
        (link.NeedView, "finalised_slots", 513),
        (link.UnverifiedView, "ancestors", 17),
        (link.StateProof, "nodes", 4097),
    ],
)
def test_a_member_too_many_is_refused(kind: type, member: str, count: int) -> None:
    read, _ = codec._field(get_type_hints(kind, include_extras=True)[member])
    with pytest.raises(MalformedInput, match=f"at most {count - 1}"):
        read([b""] * count, member)


def test_a_host_cannot_name_an_app_a_peer_a_clock_a_root_or_a_role() -> None:
    """What a host may say is this list; each new field has to be argued for here."""
    said = {kind.__name__: tuple(kind.__dataclass_fields__) for kind in link._FROM_HOST}
    assert said == {
        "Welcome": ("version", "bootstrap"),
        "HeadSeen": ("number",),
        "View": ("request", "view"),
        "Newcomer": ("document",),
        "HandedOver": ("by", "epoch", "attempt", "ciphertext"),
        "CollateralFound": ("request", "collateral"),
        "GenesisFound": ("request", "document"),
        "Stored": ("key",),
        "Stale": ("key",),
        "Depart": ("force",),
    }
