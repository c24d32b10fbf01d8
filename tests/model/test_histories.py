"""Recorded histories replay: the same events make the same machine say the same things.

A history that failed in the model lies beside the recorded ones and is replayed before the model runs
on. The file's name begins with the network's trust; a node's name gives its entropy. A file outlives
the machines that made it, so there the invariants count; word for word is for fresh recordings.
"""

import json
from pathlib import Path

import pytest

from guest.core import history
from guest.core.effects import Effect, Exit, OpenApps, Say, Seal
from guest.core.events import Event, Sealed
from guest.core.node import Node
from guest.protocol import link
from guest.protocol.errors import MalformedInput, ProtocolViolation, Refused
from guest.protocol.link import PostOnboards, Posts
from guest.protocol.network import Network, Trust
from tests.fakes.guest_shell import IMAGE, Canaries, SeededEntropy, new_node
from tests.model.record import witnessed_story
from tests.model.world import World

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.jsonl"))


class Replay:
    """One node of a history, driven again."""

    def __init__(self, name: str, network: Network, canaries: Canaries) -> None:
        self.name = name
        self.entropy = SeededEntropy(name)
        self.canaries = canaries
        self.node: Node = new_node(network, self.entropy, IMAGE.measurement_id)
        self.said: list[str] = []
        self.sealed = False
        self.exited = False

    def feed(self, event: Event) -> None:
        try:
            effects = self.node.handle(event)
        except (ProtocolViolation, Refused, MalformedInput):
            return
        self.sealed = self.sealed or isinstance(event, Sealed)
        self.canaries.learn(self.name, self.entropy)
        for effect in effects:
            self.judge(effect)

    def judge(self, effect: Effect) -> None:
        """What holds of every effect by itself, and its line for the comparison."""
        line = history.effect_line(self.name, effect)
        assert not self.exited
        if isinstance(effect, Say):
            self.canaries.require_absent(link.frame(effect.message), line)
            if isinstance(effect.message, Posts):
                assert self.node._unstored[effect.message.key] == effect.message
        if isinstance(effect, OpenApps):
            assert self.sealed
            assert len(effect.keys.secret) == 32
        assert not (isinstance(effect, Seal) and self.sealed)
        self.exited = isinstance(effect, Exit)
        self.said.append(comparable(line))


def comparable(line: str) -> str:
    """An effect's line without the bytes that hang on a ciphertext, which is random."""
    content = json.loads(line)
    if content.get("message") == PostOnboards.__name__:
        del content["frame"]
    return json.dumps(content, sort_keys=True)


def replayed(lines: list[str], trust: Trust, *, exact: bool) -> dict[str, Replay]:
    """Replay; fail where an effect breaks an invariant or, if `exact`, differs or is missing."""
    network = World(trust=trust).network
    canaries = Canaries(network)
    nodes: dict[str, Replay] = {}
    recorded: dict[str, list[str]] = {}
    for line in lines:
        parsed = history.parse_event(line)
        if parsed is None:
            recorded.setdefault(json.loads(line)["node"], []).append(comparable(line))
            continue
        name, event = parsed
        node = nodes.setdefault(name, Replay(name, network, canaries))
        node.feed(event)
    for name, node in nodes.items() if exact else ():
        assert node.said == recorded.get(name, []), f"{name} said something else"
    return nodes


def test_there_is_a_recorded_history() -> None:
    assert any("failing" not in path.name for path in HISTORIES)


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_history_replays(path: Path) -> None:
    trust = next(trust for trust in Trust if path.name.startswith(trust.value))
    nodes = replayed(path.read_text().splitlines(), trust, exact=False)
    served = any(OpenApps.__name__ in line for node in nodes.values() for line in node.said)
    assert served or "failing" in path.name, "too old to tell anything: record it anew"


def test_a_new_recording_replays_too() -> None:
    replayed(witnessed_story(), Trust.WITNESSED, exact=True)


def test_a_history_that_was_changed_is_seen() -> None:
    lines = witnessed_story()
    at = next(i for i, line in enumerate(lines) if '"effect": "Seal"' in line)
    del lines[at]
    with pytest.raises(AssertionError, match="something else"):
        replayed(lines, Trust.WITNESSED, exact=True)
