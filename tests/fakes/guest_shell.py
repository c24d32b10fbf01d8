"""One guest without I/O: a `Node`, the simulated machine that it boots on, and what it says.

The shell feeds events and performs effects as the runtime does, and judges every effect as it comes.
Its clock moves when told, its entropy is a stream of its name: the same events give the same guest.
"""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import TypeVar

from guest.chain.trust import trust_for
from guest.chain.view import ChainReader
from guest.core import history
from guest.core.effects import (
    SEAL_EVENT,
    CloseApps,
    Effect,
    Exit,
    MakeQuote,
    OpenApps,
    Refusing,
    Say,
    Seal,
    WakeAt,
)
from guest.core.events import (
    Event,
    HostSaid,
    LinkDown,
    LinkUp,
    Quoted,
    QuoteFailed,
    Sealed,
    Ticked,
)
from guest.core.node import Node
from guest.evidence import eventlog
from guest.protocol import link
from guest.protocol.errors import MalformedInput, ProtocolViolation, Refused
from guest.protocol.keys import EpochKeys
from guest.protocol.link import LENGTH_BYTES, FromGuest, FromHost, PostOnboards, Posts
from guest.protocol.network import Network
from guest.protocol.primitives import scalar_from_uniform
from guest.protocol.secret import Secret
from host.devplatform.quoting import Boot
from host.devplatform.registers import BootRegisters, registers_for
from host.devplatform.tdquote import QuotingEnclave

_Said = TypeVar("_Said")
IMAGE = registers_for("the image of the tests")


@dataclass(slots=True)
class Clock:
    """Seconds of a monotonic clock that moves when told."""

    now: float = 1000.0


class SeededEntropy:
    """A stream of bytes that depends on a name alone; it remembers what it gave."""

    def __init__(self, name: str) -> None:
        self._blocks = self._stream(name)
        self.given: list[bytes] = []

    @staticmethod
    def _stream(name: str) -> Iterator[bytes]:
        for number in count():
            yield hashlib.shake_256(f"{name}/{number}".encode()).digest(256)

    def __call__(self, size: int) -> bytes:
        drawn = next(self._blocks)[:size]
        self.given.append(drawn)
        return drawn


class Canaries:
    """Every secret that any guest of a test drew or derived; none may be seen in anything it says."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.values: dict[bytes, str] = {}
        self._done: dict[int, int] = {}

    def learn(self, name: str, entropy: SeededEntropy) -> None:
        """Take in what `entropy` gave since the last time."""
        start = self._done.get(id(entropy), 0)
        for drawn in entropy.given[start:]:
            self.values[drawn] = f"entropy of {name}"
            if len(drawn) == 48:
                self.values[scalar_from_uniform(Secret(drawn)).expose()] = f"node key of {name}"
            if len(drawn) == 32:
                self._learn_epoch(drawn, name)
        self._done[id(entropy)] = len(entropy.given)

    def _learn_epoch(self, drawn: bytes, name: str) -> None:
        keys = EpochKeys(self._network.network_id, 1, Secret(drawn))
        for label in ("epoch", "root_k256"):
            self.values[keys.scalar(label).expose()] = f"{label} key of {name}"
        for label in ("root_ca", "tls", "disk", "wrap"):
            self.values[keys.child(label).expose()] = f"{label} key of {name}"
        self.values[keys._prk.expose()] = f"PRK of {name}"

    def require_absent(self, data: bytes, text: str) -> None:
        """Fail if a secret stands in `data`, or as hex in `text`."""
        for value, what in self.values.items():
            assert value not in data, f"{what} left the guest in a frame"
            assert value.hex() not in text, f"{what} stands in the history"


@dataclass(slots=True)
class Machine:
    """A simulated TD. `reboot` forgets RTMR3, as power does."""

    registers: BootRegisters = IMAGE
    enclave: QuotingEnclave = field(default_factory=QuotingEnclave)
    boot: Boot = field(init=False)

    def __post_init__(self) -> None:
        self.boot = Boot(self.registers, self.enclave)

    def reboot(self) -> None:
        self.boot = Boot(self.registers, self.enclave)

    @property
    def sealed(self) -> bool:
        return self.boot.rtmr3 != eventlog.RTMR_AT_BOOT

    def quote(self, report_data: bytes) -> bytes:
        answer = self.boot.answer([b"quote", report_data])
        assert answer[0] == b"ok"
        assert isinstance(answer[1], bytes)
        return answer[1]


class GuestShell:
    """See the module. `said` is what the host has still to read; `failures` what the node refused."""

    def __init__(
        self,
        name: str,
        network: Network,
        clock: Clock,
        canaries: Canaries,
        machine: Machine | None = None,
        boots: int = 0,
    ) -> None:
        self.name = name
        self.network = network
        self.clock = clock
        self.canaries = canaries
        self.machine = machine or Machine()
        self.boots = boots
        self.platform_held = False
        """While set, whoever drives the guest leaves the platform's work alone."""
        self.history: list[str] = []
        self.start()

    def start(self) -> None:
        """Boot: registers and node anew, nothing remembered."""
        self.machine.reboot()
        self.boots += 1
        self.node_name = f"{self.name}/{self.boots}"
        self.entropy = SeededEntropy(self.node_name)
        self.node = new_node(self.network, self.entropy, self.machine.registers.measurement_id)
        self.said: deque[FromGuest] = deque()
        self.work: deque[MakeQuote | Seal] = deque()
        self.refusals: list[Refusing] = []
        self.all_said: list[FromGuest] = []
        self.apps: EpochKeys | None = None
        self.closed_for: str = ""
        self.exit: Exit | None = None
        self.linked = False
        self.wake_at = self.clock.now

    # --- events ---------------------------------------------------------------------------------

    def link_up(self) -> None:
        self.linked = True
        self.said.clear()
        self.handle(LinkUp(self.clock.now))

    def link_down(self) -> None:
        self.linked = False
        self.said.clear()
        self.handle(LinkDown(self.clock.now))

    def tell(self, message: FromHost) -> None:
        """The host says `message`; it crosses the link as bytes."""
        decoded = link.from_host(link.frame(message)[LENGTH_BYTES:])
        self.handle(HostSaid(self.clock.now, decoded))

    def tick(self) -> None:
        self.handle(Ticked(self.clock.now))

    def run_platform(self) -> None:
        """Let the platform do everything that was asked of it."""
        while self.work and self.exit is None:
            self.run_platform_once()

    def run_platform_once(self) -> None:
        match self.work.popleft():
            case MakeQuote(request, report_data):
                self.try_handle(Quoted(self.clock.now, request, self.machine.quote(report_data)))
            case Seal():
                entry = eventlog.Event(SEAL_EVENT, b"")
                self.machine.boot.answer([b"extend", b"\x03", entry.digest()])
                self.handle(Sealed(self.clock.now))

    def fail_platform_once(self) -> None:
        """The platform cannot make the quote that was asked for first."""
        asked = self.work.popleft()
        assert isinstance(asked, MakeQuote)
        self.try_handle(QuoteFailed(self.clock.now, asked.request, "no quote today"))

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Feed one event and perform its effects; raises what the node raises."""
        line = history.event_line(self.node_name, event)
        self.history.append(line)
        effects = self.node.handle(event)
        self.canaries.learn(self.node_name, self.entropy)
        self.canaries.require_absent(b"", line)
        for effect in effects:
            self._perform(effect, event)
        return effects

    def try_handle(self, event: Event) -> str:
        """Feed an event as the runtime does; return what the node refused, or nothing."""
        try:
            self.handle(event)
        except (ProtocolViolation, Refused, MalformedInput) as error:
            return str(error)
        return ""

    # --- effects --------------------------------------------------------------------------------

    def _perform(self, effect: Effect, event: Event) -> None:
        line = history.effect_line(self.node_name, effect)
        self.history.append(line)
        assert self.exit is None, f"{effect} after {self.exit}"
        match effect:
            case Say(message):
                self._say(message, line)
            case MakeQuote():
                assert not self.machine.sealed, "a join quote was asked for after the seal"
                self.work.append(effect)
            case Seal():
                assert not self.machine.sealed, "sealed twice"
                self.work.append(effect)
            case OpenApps(keys):
                assert self.machine.sealed, "apps were opened before the seal"
                assert len(keys.secret) == 32, "apps were opened with keys that are wiped"
                assert self.apps is None, "apps were opened twice"
                self.apps = keys
            case CloseApps(reason):
                assert self.apps is not None, "apps were closed twice"
                self.apps, self.closed_for = None, str(reason)
            case WakeAt(at):
                assert at >= event.at
                self.wake_at = at
            case Refusing():
                self.refusals.append(effect)
                assert "\n" not in effect.detail
            case Exit():
                self.exit = effect

    def _say(self, message: FromGuest, line: str) -> None:
        frame = link.frame(message)
        assert link.from_guest(frame[LENGTH_BYTES:]) == message
        self.canaries.require_absent(frame, line)
        if isinstance(message, Posts):
            kept = self.node._unstored.get(message.key)
            assert kept == message, "a post was said that the node would not say again"
        self.all_said.append(message)
        if self.linked:
            self.said.append(message)

    # --- what a test looks at -------------------------------------------------------------------

    def posts(self, kind: type[_Said]) -> list[_Said]:
        """Everything of one kind that this boot said."""
        return [message for message in self.all_said if isinstance(message, kind)]

    def ciphertexts(self, node: bytes) -> set[bytes]:
        """The ciphertexts that this boot made for one newcomer."""
        return {
            item.ciphertext
            for post in self.all_said
            if isinstance(post, PostOnboards)
            for item in post.items
            if item.node == node
        }

    @property
    def state(self) -> str:
        """The last state that was reported."""
        reports = [m for m in self.all_said if isinstance(m, link.Report)]
        return reports[-1].state if reports else ""

    @property
    def address(self) -> bytes:
        """The node's name as last reported; zero before it has one."""
        reports = [m for m in self.all_said if isinstance(m, link.Report)]
        return reports[-1].node if reports else bytes(20)


def new_node(network: Network, entropy: SeededEntropy, measurement: bytes) -> Node:
    """A node as `guest.__main__` builds it."""
    return Node(network, ChainReader(network, trust_for(network)), entropy, measurement)


def snapshot(value: object) -> object:
    """A deep, comparable copy of a machine's state, secrets included; for "nothing changed"."""
    if value is None or isinstance(value, bool | int | float | str | bytes | type | Enum):
        return value
    if isinstance(value, Secret):
        return ("Secret", value.expose())
    if isinstance(value, SeededEntropy):
        return ("entropy", len(value.given))
    if isinstance(value, dict):
        return [(snapshot(key), snapshot(entry)) for key, entry in value.items()]
    if isinstance(value, set | frozenset):
        return sorted(repr(snapshot(member)) for member in value)
    if isinstance(value, list | tuple | deque):
        return [snapshot(member) for member in value]
    if isinstance(value, count):
        return repr(value)
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names += list(getattr(value, "__dict__", ()))
    if not type(value).__module__.startswith("guest."):
        return (type(value).__name__, id(value))
    return (
        type(value).__name__,
        [(name, snapshot(getattr(value, name))) for name in sorted(names) if hasattr(value, name)],
    )
