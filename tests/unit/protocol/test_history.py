"""History lines: what happened to a node, there and back, with nothing secret in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.core import effects, events, history
from guest.core.events import Event
from guest.protocol import link
from guest.protocol.errors import MalformedInput, Reason
from guest.protocol.keys import EpochKeys
from guest.protocol.secret import Secret
from tests.unit.protocol.wire_strategies import records

times = st.floats(0, 1e12, allow_nan=False)
requests = st.integers(-1, 2**32)
messages: st.SearchStrategy[Any] = st.one_of([records(kind) for kind in link._FROM_HOST])
happenings: st.SearchStrategy[Event] = st.one_of(
    st.builds(events.LinkUp, times),
    st.builds(events.LinkDown, times),
    st.builds(events.HostSaid, times, messages),
    st.builds(events.Quoted, times, requests, st.binary(max_size=100)),
    st.builds(events.QuoteFailed, times, requests, st.text(max_size=60)),
    st.builds(events.Sealed, times),
    st.builds(events.Ticked, times),
)


@given(st.text(max_size=20), happenings)
def test_every_event_survives_its_line(node: str, event: Event) -> None:
    line = history.event_line(node, event)
    assert line.isascii()
    assert "\n" not in line
    assert history.parse_event(line) == (node, event)


def test_every_kind_of_event_has_a_line() -> None:
    assert set(history._EVENTS.values()) == set(Event.__args__)


@given(happenings, st.data())
def test_damaged_lines_parse_or_are_refused(event: Event, data: st.DataObject) -> None:
    line = list(history.event_line("n", event))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(line)))
        line[at : at + data.draw(st.integers(0, 2))] = data.draw(st.text(max_size=2))
    try:
        history.parse_event("".join(line))
    except MalformedInput as error:
        assert "\n" not in str(error)  # noqa: PT017 - both ends are allowed here


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "null",
        "[]",
        "1",
        "nonsense",
        '{"node":"n"}',
        '{"node":"n","event":"Unknown","at":1}',
        '{"node":"n","event":["Ticked"],"at":1}',
        '{"node":"n","event":"Ticked"}',
        '{"node":"n","event":"Ticked","at":"soon"}',
        '{"node":"n","event":"Ticked","at":1,"request":2}',
        '{"node":"n","event":"Quoted","at":1,"request":2,"quote":"zz"}',
        '{"node":"n","event":"Quoted","at":1,"quote":"00"}',
        '{"node":"n","event":"HostSaid","at":1}',
        '{"node":"n","event":"HostSaid","at":1,"frame":"00"}',
        '{"node":"n","event":"HostSaid","at":1,"frame":null}',
        "[" * 50_000,
    ],
)
def test_what_is_not_a_history_line_is_refused(line: str) -> None:
    with pytest.raises(MalformedInput):
        history.parse_event(line)


def test_a_line_is_bounded() -> None:
    with pytest.raises(MalformedInput, match="too long"):
        history.parse_event(" " * (history.MAX_LINE + 1))


SECRET = b"SWORDFISH-SWORDFISH-SWORDFISH-00"
EFFECTS = [
    effects.Say(link.Hello(1, bytes(32), 5, bytes(20))),
    effects.MakeQuote(1, bytes(64)),
    effects.Seal(),
    effects.OpenApps(EpochKeys(bytes(32), 1, Secret(SECRET))),
    effects.CloseApps(Reason.NOT_ACTIVE),
    effects.WakeAt(1.5),
    effects.Refusing("signature", "line\nbreak"),
    effects.Exit(Reason.REVOKED, "gone", rejoin=False),
]


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_an_effects_line_is_one_line_and_holds_no_key(effect: effects.Effect) -> None:
    line = history.effect_line("n", effect)
    assert "\n" not in line
    assert json.loads(line)["effect"] == type(effect).__name__
    assert SECRET.hex() not in line
    assert SECRET.decode() not in line
    assert history.parse_event(line) is None


def test_every_kind_of_effect_has_a_line() -> None:
    assert {type(effect) for effect in EFFECTS} == set(effects.Effect.__args__)


def test_what_is_said_can_be_read_back_from_an_effects_line() -> None:
    said = link.Turned(bytes(32), "signature", final=True)
    content = json.loads(history.effect_line("n", effects.Say(said)))
    assert content["message"] == "Turned"
    assert link.from_guest(bytes.fromhex(content["frame"])) == said


@pytest.mark.parametrize(
    "line",
    [
        '"effect"',
        '["effect"]',
        '{"node": "a", "event": "Ticked", "at": NaN}',
        '{"node": "a", "event": "Ticked", "at": 1' + "0" * 400 + "}",
        '{"node": "a", "event": "Quoted", "at": 1, "request": Infinity, "quote": ""}',
    ],
)
def test_numbers_and_shapes_that_no_run_writes_are_malformed(line: str) -> None:
    with pytest.raises(MalformedInput):
        history.parse_event(line)
