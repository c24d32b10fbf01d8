"""Whole networks under hosts that do everything but read a guest's memory.

Each history is a sequence of single moves: a frame delivered, dropped, swapped, replayed or forged, a
block, a reorg, a restart, hours. Invariants hold after each; when the hosts turn honest at the end,
every guest that still lives becomes Active. A history that fails is written to `histories/`.
"""

import os
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from guest.chain.layout import Status
from guest.core.effects import MakeQuote
from guest.core.member import Member
from guest.protocol.errors import ProtocolViolation
from guest.protocol.link import (
    FromHost,
    NeedView,
    Newcomer,
    PostBootstrap,
    Posts,
    UnverifiedView,
    View,
)
from guest.protocol.network import Trust
from tests.fakes.guest_shell import snapshot
from tests.fakes.key_manager import Expire, Revoke
from tests.model.hostile import LIES, Hostile
from tests.model.invariants import Watch
from tests.model.world import Host, World

HISTORIES = Path(__file__).parent / "histories"
NAMES = ("a", "b", "c", "d")
ROUNDS = 70
HOURS = 4
"""Honest rounds in which everybody becomes Active; several times, an hour apart: a sole member that was
rejected may not answer a newcomer again, which then waits for its hour to end. In all more than the
blocks after which a registration is given up that a host called stored and lost."""

names = st.sampled_from(NAMES)
small = st.integers(0, 7)
salts = st.integers(0, 2**16)


class Network(RuleBasedStateMachine):
    """See the module."""

    trust = Trust.UNVERIFIED

    @initialize(started=st.booleans())
    def start(self, started: bool) -> None:
        self.world = World(trust=self.trust, finality=10)
        self.world.rounds(9)
        self.world.add("a", bootstrap=True)
        if started:
            self.world.until(lambda: self.world.active(*self.world.guests))
            self.world.rounds(11)
        for name in NAMES[1:]:
            self.world.add(name)
        self.hostile = Hostile(self.world)
        self.watch = Watch(self.world)
        self.censored: set[str] = set()

    # --- frames ---------------------------------------------------------------------------------

    @rule(name=names, count=st.integers(1, 6))
    def the_host_works(self, name: str, count: int) -> None:
        for _ in range(count):
            self.world._step(self.world.hosts[name])

    @rule()
    def everybody_talks(self) -> None:
        self.world.talk()

    @rule(name=names, at=small)
    def a_frame_overtakes(self, name: str, at: int) -> None:
        toward = self.world.hosts[name].toward
        if toward:
            toward.rotate(-(at % len(toward)))
            self.tell(self.world.hosts[name], toward.popleft())

    @rule(name=names)
    def a_frame_to_the_guest_is_lost(self, name: str) -> None:
        if self.world.hosts[name].toward:
            self.world.hosts[name].toward.popleft()

    @rule(name=names)
    def a_frame_of_the_guest_is_lost(self, name: str) -> None:
        said = self.world.hosts[name].guest.said
        if said:
            said.popleft()

    @rule(name=names, at=salts)
    def a_frame_is_replayed(self, name: str, at: int) -> None:
        told = self.hostile.told[name]
        if told:
            self.tell(self.world.hosts[name], told[at % len(told)])

    @rule(name=names, other=names, at=salts)
    def a_frame_goes_to_the_wrong_guest(self, name: str, other: str, at: int) -> None:
        told = self.hostile.told[other]
        if told:
            self.tell(self.world.hosts[name], told[at % len(told)])

    @rule(name=names, kind=st.integers(0, 10), salt=salts)
    def a_frame_is_forged(self, name: str, kind: int, salt: int) -> None:
        host = self.world.hosts[name]
        self.tell(host, self.hostile.forged_frame(host, kind, salt))

    @rule(name=names, at=salts)
    def a_bit_of_a_frame_flips(self, name: str, at: int) -> None:
        host = self.world.hosts[name]
        if host.toward and not (isinstance(host.toward[0], View) and not self.lies_allowed):
            message = self.hostile.flipped(host.toward.popleft(), at)
            if message is not None:
                self.tell(host, message)

    @rule(name=names, lie=st.sampled_from(LIES), salt=salts, count=st.integers(1, 8))
    def the_host_lies_about_the_chain(self, name: str, lie: str, salt: int, count: int) -> None:
        def shown(need: NeedView) -> UnverifiedView:
            return self.hostile.lying_view(need, lie, salt)

        if self.lies_allowed:
            self.world.hosts[name].lies.extend([shown] * count)

    # --- machines -------------------------------------------------------------------------------

    @rule(name=names)
    def the_platform_answers(self, name: str) -> None:
        guest = self.world.hosts[name].guest
        if guest.work and guest.exit is None:
            guest.run_platform_once()

    @rule(name=names)
    def the_platform_is_held(self, name: str) -> None:
        guest = self.world.hosts[name].guest
        guest.platform_held = not guest.platform_held

    @rule(name=names)
    def the_platform_fails(self, name: str) -> None:
        guest = self.world.hosts[name].guest
        if guest.work and guest.exit is None and isinstance(guest.work[0], MakeQuote):
            guest.fail_platform_once()

    @rule(name=names)
    def a_guest_is_killed(self, name: str) -> None:
        if self.hostile.expendable(name) or (name != "a" and not self.is_member(name)):
            self.world.reboot(name)

    @rule(name=names)
    def the_link_breaks(self, name: str) -> None:
        host = self.world.hosts[name]
        if host.guest.exit is None:
            host.disconnect()

    @rule(name=names)
    def the_guest_dials(self, name: str) -> None:
        host = self.world.hosts[name]
        if not host.up and host.guest.exit is None:
            host.connect()

    @rule(name=names, seconds=st.integers(1, 25))
    def time_passes_for_the_guests_alone(self, name: str, seconds: int) -> None:
        self.world.clock.now += seconds
        if self.world.hosts[name].guest.exit is None:
            self.world.hosts[name].guest.tick()

    # --- the chain ------------------------------------------------------------------------------

    @rule()
    def a_round(self) -> None:
        self.block()
        for host in self.world.hosts.values():
            if host.guest.exit is None:
                if host.up:
                    host.news()
                host.guest.tick()
        self.world.talk()

    @rule(count=st.integers(2, 5))
    def some_rounds(self, count: int) -> None:
        for _ in range(count):
            self.a_round()

    @rule(count=st.integers(1, 4))
    def blocks(self, count: int) -> None:
        for _ in range(count):
            self.block()

    @rule(name=names)
    def news_comes(self, name: str) -> None:
        host = self.world.hosts[name]
        if host.up and host.guest.exit is None:
            host.news()

    @rule(depth=st.integers(1, 8))
    def blocks_are_replaced(self, depth: int) -> None:
        self.hostile.reorg(min(depth, self.world.chain.head.number - 2))

    @rule(name=names)
    def a_host_is_censored(self, name: str) -> None:
        self.censored ^= {name}

    @rule(seconds=st.sampled_from((30, 90, 1800, 3700, 24 * 3600, 4 * 24 * 3600)))
    def hours_pass(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(name=names, at=salts)
    def an_old_post_is_posted_again(self, name: str, at: int) -> None:
        posts = [
            post
            for post in self.world.hosts[name].guest.all_said
            if isinstance(post, Posts) and not isinstance(post, PostBootstrap)
        ]
        if posts:
            self.world.contract.submit(posts[at % len(posts)])

    @rule(kind=small)
    def a_forged_machine_registers(self, kind: int) -> None:
        post = self.hostile.forged_registration(kind)
        for host in self.world.hosts.values():
            if host.up and self.is_member(host.guest.name):
                host.toward.append(Newcomer(post.document))

    @rule(member=names, newcomer=names, opens=st.booleans())
    def a_wrong_answer_wins(self, member: str, newcomer: str, opens: bool) -> None:
        """The wrong answer is mined before any right one, and the newcomer hears of it."""
        guests = {name: host.guest for name, host in self.world.hosts.items()}
        if self.world.status(guests[newcomer]) is not Status.PENDING:
            return
        self.hostile.rogue_answer(guests[member], guests[newcomer], opens=opens)
        self.world.contract.mine()
        self.news_comes(newcomer)
        self.world.talk()

    @rule(name=names)
    def the_next_post_is_lost(self, name: str) -> None:
        self.world.hosts[name].loses += 1

    @rule(member=names, newcomer=names, opens=st.booleans())
    def a_member_key_signs_a_wrong_answer(self, member: str, newcomer: str, opens: bool) -> None:
        guests = {name: host.guest for name, host in self.world.hosts.items()}
        self.hostile.rogue_answer(guests[member], guests[newcomer], opens=opens)

    @rule(name=names)
    def somebody_is_expired(self, name: str) -> None:
        address = self.world.hosts[name].guest.address
        if not self.is_member(name) or self.hostile.expendable(name):
            self.world.contract.submit(Expire(address))

    @rule(name=names, sure=small)
    def somebody_is_revoked(self, name: str, sure: int) -> None:
        waits = self.world.contract.node(self.world.hosts[name].guest.address).status
        if sure == 0 and self.hostile.expendable(name) and waits is not Status.NONE:
            self.world.contract.submit(Revoke(self.world.hosts[name].guest.address), owner=True)

    # --- judging --------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if hasattr(self, "watch"):
            try:
                self.watch.check()
            except BaseException:
                self.save()
                raise

    def teardown(self) -> None:
        if not hasattr(self, "watch"):
            return
        try:
            self.hosts_turn_honest()
        except BaseException:
            self.save()
            raise

    def hosts_turn_honest(self) -> None:
        """From here on everybody does its work, and within a bounded time everybody is Active."""
        self.censored.clear()
        for host in self.world.hosts.values():
            host.guest.platform_held = False
            host.loses = 0
            host.lies.clear()
            if host.guest.exit is None:
                host.disconnect()
                host.connect()
        for _ in range(HOURS):
            for _ in range(ROUNDS):
                self.revive()
                if self.everybody_is_active():
                    return
                self.world.round()
                self.watch.check()
            self.world.advance(3700)
        states = {g.name: (g.state, g.exit, g.refusals[-3:]) for g in self.world.guests}
        raise AssertionError(f"not Active though every host was honest: {states}")

    def revive(self) -> None:
        for name, host in self.world.hosts.items():
            if host.guest.exit is not None and host.guest.exit.rejoin:
                self.world.reboot(name)

    def everybody_is_active(self) -> bool:
        alive = [g for g in self.world.guests if g.exit is None or g.exit.rejoin]
        return self.world.active(*alive)

    # --- inside ---------------------------------------------------------------------------------

    @property
    def lies_allowed(self) -> bool:
        """Lies about the chain go to guests that can refuse them; the others believe anything."""
        return self.trust is Trust.WITNESSED

    def is_member(self, name: str) -> bool:
        return isinstance(self.world.hosts[name].guest.node._phase, Member)

    def block(self) -> None:
        held = [name for name in self.censored if self.world.hosts[name].up]
        for name in held:
            self.world.hosts[name].up = False
        self.world.block()
        for name in held:
            self.world.hosts[name].up = True

    def tell(self, host: Host, message: FromHost) -> None:
        """Tell a guest something; what it calls a violation has changed nothing at all."""
        if host.guest.exit is not None or not host.up:
            return
        if not self.hostile.harmless(host, message):
            return
        before, errors = snapshot(host.guest.node), len(host.errors)
        self.hostile.deliver(host, message)
        if host.errors[errors:] and host.errors[-1].startswith(ProtocolViolation.__name__):
            invariant_an_illegal_event_changes_nothing(before, host)

    def save(self) -> None:
        HISTORIES.mkdir(exist_ok=True)
        path = HISTORIES / f"{self.trust}-failing.jsonl"
        path.write_text("\n".join(self.world.history) + "\n")


def invariant_an_illegal_event_changes_nothing(before: object, host: Host) -> None:
    assert snapshot(host.guest.node) == before, host.errors[-1]


class WitnessedNetwork(Network):
    """The same where a witness signs headers: here hosts also lie about the chain."""

    trust = Trust.WITNESSED


_EXPLORING = "MODEL_EXAMPLES" in os.environ
_limits = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "100")),
    stateful_step_count=40,
    deadline=None,
    # To shrink takes minutes: the first failing history is saved as it is, unless somebody explores.
    phases=tuple(Phase) if _EXPLORING else (Phase.explicit, Phase.reuse, Phase.generate),
)
TestUnverified = Network.TestCase
TestUnverified.settings = _limits
TestWitnessed = WitnessedNetwork.TestCase
TestWitnessed.settings = _limits
