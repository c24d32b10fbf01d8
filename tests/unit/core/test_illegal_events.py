"""Every event in every phase: what is not legal raises, and the machine is as it was, to the last byte."""

from collections.abc import Callable

import pytest

from guest.chain.layout import Status
from guest.core.effects import MakeQuote, Seal
from guest.core.events import Event, HostSaid, LinkUp, Quoted, QuoteFailed, Sealed, Ticked
from guest.protocol.errors import ProtocolViolation
from guest.protocol.link import (
    VERSION,
    CollateralFound,
    Depart,
    FromHost,
    GenesisFound,
    HandedOver,
    NeedCollateral,
    NeedGenesis,
    NeedView,
    Newcomer,
    PostBootstrap,
    PostRegister,
    Stale,
    View,
    Welcome,
)
from tests.fakes.guest_shell import GuestShell, snapshot
from tests.fakes.key_manager import Revoke
from tests.model.world import World

NOBODY = 4_000_000_000
ANSWERS: tuple[FromHost, ...] = (
    View(NOBODY, None),
    CollateralFound(NOBODY, b"c"),
    GenesisFound(NOBODY, b"d"),
)
FOR_MEMBERS: tuple[FromHost, ...] = (Newcomer(b"d"), Depart(force=False))
OFFER = HandedOver(b"\x01" * 20, 1, 0, bytes(1168))


def unwelcome() -> GuestShell:
    return World().add("g")


def surveying_founder() -> GuestShell:
    world = World(images=(b"\x11" * 32,))
    guest = world.add("g", bootstrap=True)
    world.rounds(2)
    return guest


def quoting_founder() -> GuestShell:
    world = World()
    guest = world.add("g", bootstrap=True)
    guest.platform_held = True
    world.rounds(2)
    assert isinstance(guest.work[0], MakeQuote)
    return guest


def posted_founder() -> GuestShell:
    world = World()
    guest = world.add("g", bootstrap=True)
    world.talk()
    assert guest.posts(PostBootstrap)
    return guest


def surveying_newcomer() -> GuestShell:
    world = World()
    guest = world.add("g")
    world.rounds(2)
    return guest


def newcomer_without_genesis() -> GuestShell:
    world = World()
    world.started()
    world.documents.clear()
    guest = world.add("g")
    world.rounds(2)
    assert guest.posts(NeedGenesis)
    return guest


def quoting_newcomer() -> GuestShell:
    world = World()
    world.started()
    guest = world.add("g")
    guest.platform_held = True
    world.rounds(2)
    assert isinstance(guest.work[0], MakeQuote)
    return guest


def fetching_newcomer() -> GuestShell:
    world = World()
    world.started()
    guest = world.add("g")
    guest.platform_held = True
    world.rounds(2)
    guest.run_platform()
    assert guest.posts(NeedCollateral)
    return guest


def newcomer_at(status: Status) -> GuestShell:
    world = World()
    world.started()
    guest = world.add("g")
    world.until(lambda: world.status(guest) is status)
    world.talk()
    return guest


def sealing_newcomer() -> GuestShell:
    world = World()
    world.started()
    guest = world.add("g")
    world.until(lambda: world.status(guest) is Status.ONBOARDED)
    guest.platform_held = True
    world.until(lambda: bool(guest.work))
    assert isinstance(guest.work[0], Seal)
    return guest


def member() -> GuestShell:
    return World().started("g")[1]


Build = Callable[[], GuestShell]
BEFORE: dict[str, Build] = {"nobody said welcome": unwelcome}
FOUNDERS: dict[str, Build] = {
    "founder that surveys": surveying_founder,
    "founder that waits for a quote": quoting_founder,
    "founder that has posted": posted_founder,
}
NEWCOMERS: dict[str, Build] = {
    "newcomer that surveys": surveying_newcomer,
    "newcomer without the genesis": newcomer_without_genesis,
    "newcomer that waits for a quote": quoting_newcomer,
    "newcomer that waits for collateral": fetching_newcomer,
    "newcomer that is pending": lambda: newcomer_at(Status.PENDING),
    "newcomer that is onboarded": lambda: newcomer_at(Status.ONBOARDED),
}
MEMBERS: dict[str, Build] = {"member": member}
PHASES = BEFORE | FOUNDERS | NEWCOMERS | MEMBERS


def illegal_everywhere(at: float) -> list[Event]:
    return [
        *(HostSaid(at, message) for message in ANSWERS),
        HostSaid(at, Welcome(2, bootstrap=False)),
        Quoted(at, NOBODY, b"q"),
        QuoteFailed(at, NOBODY, "no"),
        Sealed(at),
    ]


def refused(guest: GuestShell, illegal: list[Event]) -> None:
    """Each event raises and changes nothing."""
    for event in illegal:
        before = snapshot(guest.node)
        drawn = len(guest.entropy.given)
        with pytest.raises(ProtocolViolation):
            guest.node.handle(event)
        assert snapshot(guest.node) == before, event
        assert len(guest.entropy.given) == drawn


@pytest.mark.parametrize("phase", sorted(PHASES))
def test_answers_to_questions_that_nobody_asked_change_nothing(phase: str) -> None:
    guest = PHASES[phase]()
    refused(guest, illegal_everywhere(guest.clock.now))


@pytest.mark.parametrize("off", [-1, 1])
def test_the_answer_to_another_question_changes_nothing(off: int) -> None:
    guest = World().add("g")
    guest.tell(Welcome(VERSION, bootstrap=False))
    (need,) = guest.posts(NeedView)
    refused(guest, [HostSaid(guest.clock.now, View(need.request + off, None))])


@pytest.mark.parametrize("phase", sorted(BEFORE | FOUNDERS | NEWCOMERS))
def test_who_is_no_member_is_offered_no_newcomers(phase: str) -> None:
    guest = PHASES[phase]()
    at = guest.clock.now
    refused(guest, [HostSaid(at, message) for message in FOR_MEMBERS])


@pytest.mark.parametrize("phase", sorted(BEFORE | FOUNDERS))
def test_who_has_not_registered_is_handed_nothing(phase: str) -> None:
    guest = PHASES[phase]()
    at = guest.clock.now
    refused(guest, [HostSaid(at, OFFER), HostSaid(at, Stale("register/00"))])


def test_an_answer_to_the_right_question_at_the_wrong_time_changes_nothing() -> None:
    guest = quoting_newcomer()
    asked = guest.work[0]
    assert isinstance(asked, MakeQuote)
    at = guest.clock.now
    refused(guest, [HostSaid(at, CollateralFound(asked.request, b"c"))])
    guest = fetching_newcomer()
    (need,) = guest.posts(NeedCollateral)
    refused(guest, [Quoted(at, need.request, b"q"), QuoteFailed(at, asked.request, "late")])


def test_nothing_is_legal_after_the_exit() -> None:
    world = World()
    (guest,) = world.started()
    world.contract.submit(Revoke(guest.address), owner=True)
    world.until(lambda: guest.exit is not None, limit=60)
    assert guest.exit is not None
    at = guest.clock.now
    later = [*illegal_everywhere(at), LinkUp(at), Ticked(at), HostSaid(at, OFFER)]
    refused(guest, later)


def test_while_it_seals_a_node_takes_no_word_of_anybody() -> None:
    guest = sealing_newcomer()
    register = guest.posts(PostRegister)[-1]
    at = guest.clock.now
    words = [*ANSWERS[1:], *FOR_MEMBERS, OFFER, Stale(register.key), Stale("bootstrap")]
    phase = snapshot(guest.node._phase)
    for word in words:
        guest.handle(HostSaid(at, word))
        assert snapshot(guest.node._phase) == phase
        assert snapshot(guest.node._sealing) is not None
    guest.run_platform()
    assert guest.apps is not None
    assert len(guest.apps.secret) == 32


def test_a_snapshot_sees_a_change() -> None:
    guest = quoting_newcomer()
    before = snapshot(guest.node)
    assert before == snapshot(guest.node)
    guest.run_platform()
    assert before != snapshot(guest.node)
