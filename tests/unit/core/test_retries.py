"""Stories of registrations that fail and are made anew, with new keys each time, until they are not."""

from dataclasses import replace

import pytest

from guest.chain.layout import Status
from guest.core.member import Member
from guest.protocol.errors import Reason
from guest.protocol.link import (
    HeadSeen,
    NeedCollateral,
    NeedView,
    PostConfirm,
    PostRegister,
    PostReject,
    Stale,
    View,
)
from guest.protocol.messages import RejectReason
from tests.fakes import contract_storage
from tests.fakes.adversary import Forger, RogueMember
from tests.fakes.guest_shell import GuestShell
from tests.fakes.key_manager import Expire, Revoke
from tests.model.world import World

HOUR = 3600


def registrations(guest: GuestShell) -> list[PostRegister]:
    return guest.posts(PostRegister)


def reasons(guest: GuestShell) -> list[str]:
    return [str(refusal.reason) for refusal in guest.refusals]


def rogue(world: World, member: GuestShell) -> RogueMember:
    """The member's own key in the hands of somebody else; its real guest says nothing more."""
    world.hosts[member.name].disconnect()
    return own_key(world, member)


def own_key(world: World, member: GuestShell) -> RogueMember:
    """The member's own key; its real guest goes on."""
    phase = member.node._phase
    assert isinstance(phase, Member)
    return RogueMember(phase._identity, world.network.domain)


def test_a_dead_anchor_costs_new_keys() -> None:
    world = World()
    world.started()
    b = world.add("b")
    for _ in range(260):
        world.hosts["b"].outbox.clear()
        world.round()
    first, second = registrations(b)
    assert first.message.node != second.message.node
    assert reasons(b) == [Reason.ANCHOR_DEAD]
    world.contract.submit(second)
    world.until(lambda: world.active(b))


def test_a_registration_that_the_host_calls_dead_costs_new_keys() -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.talk()
    (first,) = registrations(b)
    world.hosts["b"].outbox.clear()
    world.hosts["b"].tell(Stale(first.key))
    world.until(lambda: world.active(b))
    assert registrations(b)[1].message.node == b.address != first.message.node


def test_late_inclusion_costs_new_keys() -> None:
    world = World()
    a, *_ = world.started()
    world.hosts["founder"].disconnect()
    b = world.add("b")
    world.talk()
    (first,) = registrations(b)
    held = world.hosts["b"].outbox.pop(first.key)
    world.rounds(80)
    world.contract.submit(held.post)
    world.rounds(2)
    assert reasons(b) == [Reason.INCLUSION_LATE]
    world.hosts["founder"].connect()
    world.until(lambda: world.active(a, b))
    assert b.address != first.message.node


def test_late_inclusion_is_noticed_when_the_host_never_shows_the_pending_slot() -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.talk()
    (first,) = registrations(b)
    held = world.hosts["b"].outbox.pop(first.key)
    world.rounds(70)
    world.hosts["b"].up = False
    world.contract.submit(held.post)
    world.rounds(3)
    assert world.contract.node(first.message.node).status is Status.ONBOARDED
    world.hosts["b"].up = True
    world.rounds(2)
    assert reasons(b) == [Reason.INCLUSION_LATE]
    assert not b.posts(PostConfirm)
    world.until(lambda: world.active(b))


def test_an_hour_without_an_answer_costs_new_keys() -> None:
    world = World()
    world.started()
    world.hosts["founder"].disconnect()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    old = b.address
    world.round()
    world.advance(HOUR + 10)
    world.rounds(3)
    assert reasons(b) == [Reason.REGISTRATION_EXPIRED]
    world.hosts["founder"].connect()
    world.until(lambda: world.active(b))
    assert b.address != old


def test_an_expired_registration_costs_new_keys() -> None:
    world = World()
    world.started()
    world.hosts["founder"].disconnect()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.hosts["b"].up = False
    old = b.address
    world.chain.advance(HOUR + 10)
    world.clock.now += HOUR + 10
    world.contract.do(Expire(old))
    world.hosts["b"].up = True
    world.hosts["founder"].connect()
    world.until(lambda: world.active(b), limit=60)
    assert world.contract.node(old).status is Status.EXPIRED


def test_a_revoked_newcomer_stops_for_good() -> None:
    world = World()
    world.started()
    world.hosts["founder"].disconnect()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.contract.submit(Revoke(b.address), owner=True)
    world.until(lambda: b.exit is not None, limit=60)
    assert b.exit is not None
    assert (b.exit.reason, b.exit.rejoin) == (Reason.REVOKED, False)


def test_eight_failed_registrations_end_the_process_with_the_reason() -> None:
    world = World()
    world.started()
    b = world.add("b")
    for _ in range(12):
        world.talk()
        if b.exit is not None:
            break
        key = registrations(b)[-1].key
        world.hosts["b"].outbox.clear()
        world.hosts["b"].tell(Stale(key))
    assert b.exit is not None
    assert (b.exit.reason, b.exit.rejoin) == (Reason.ANCHOR_DEAD, True)
    assert len({post.message.node for post in registrations(b)}) == 8


def test_a_view_asked_for_before_the_registration_is_no_mistake_after_it() -> None:
    world = World()
    world.started()
    b = world.add("b")
    b.platform_held = True
    world.rounds(2)
    b.run_platform()
    host = world.hosts["b"]
    (need,) = b.posts(NeedCollateral)
    b.said.clear()
    world.clock.now += world.network.max_view_age / 2 + 1
    b.tick()
    view = b.posts(NeedView)[-1]
    assert b.said[-1] == view
    host.hear(need)
    host.tell(host.toward.pop())
    assert b.posts(PostRegister)
    host.tell(View(view.request, world.show(view)))
    assert host.errors == []
    b.platform_held = False
    world.until(lambda: world.active(b))


@pytest.mark.parametrize("status", [Status.PENDING, Status.ONBOARDED])
def test_active_by_a_hand_over_that_it_never_confirmed_ends_the_newcomer(status: Status) -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is status)
    for host in world.hosts.values():
        host.outbox.clear()
    world.hosts["founder"].disconnect()
    record = world.contract.node(b.address)
    lie = replace(record, status=Status.ACTIVE, commitment=b"\x07" * 20, until=record.until * 2)
    world.chain.mine(contract_storage.node(b.address, lie))
    world.until(lambda: b.exit is not None, limit=60)
    assert b.exit is not None
    assert b.exit.reason is Reason.COMMITMENT
    assert not b.machine.sealed


# --- wrong answers ------------------------------------------------------------------------------


def answer(world: World, member: RogueMember, guest: GuestShell, *, opens: bool) -> None:
    """The rogue answers with garbage, or with a secret that is not the network's."""
    register = world.registers[guest.address]
    attempt = world.contract.node(guest.address).attempt
    ciphertext = member.wrong_secret(register, attempt)
    if not opens:
        ciphertext = Forger(world.network).garbage(b"\x01" * 20, attempt).ciphertext
    post = member.answer(register, attempt, world.chain.head, ciphertext)
    world.contract.submit(post)
    world.round()


def test_garbage_is_rejected_and_another_member_answers() -> None:
    world = World()
    a, b = world.started("b")
    bad = rogue(world, a)
    world.hosts["b"].disconnect()
    c = world.add("c")
    world.until(lambda: world.status(c) is Status.PENDING)
    answer(world, bad, c, opens=False)
    for _ in range(3):  # the chain does not move: nothing new to say
        world.hosts["c"].tell(HeadSeen(1))
        world.talk()
    (reject,) = c.posts(PostReject)
    assert reject.reason == RejectReason.DID_NOT_OPEN
    assert reject.by == a.address
    world.hosts["b"].connect()
    world.until(lambda: world.active(c))
    assert world.contract.node(c.address).attempt == 1
    assert c.posts(PostReject) == [reject]
    assert b.apps is not None
    assert c.apps is not None
    assert b.apps.secret.matches(c.apps.secret)


def test_a_wrong_secret_is_rejected_and_never_used() -> None:
    world = World()
    a, b = world.started("b")
    bad = rogue(world, a)
    world.hosts["b"].disconnect()
    c = world.add("c")
    world.until(lambda: world.status(c) is Status.PENDING)
    answer(world, bad, c, opens=True)
    (reject,) = c.posts(PostReject)
    assert reject.reason == RejectReason.WRONG_SECRET
    assert not c.posts(PostConfirm)
    world.hosts["b"].connect()
    world.until(lambda: world.active(c))
    assert b.exit is None


def test_a_rejected_member_may_not_answer_again() -> None:
    world = World()
    (a,) = world.started()
    bad = own_key(world, a)
    world.hosts["founder"].up = False
    c = world.add("c")
    world.until(lambda: world.status(c) is Status.PENDING)
    answer(world, bad, c, opens=False)
    world.round()
    assert world.contract.node(c.address).attempt == 1
    world.hosts["founder"].up = True
    before = len(a.all_said)
    world.rounds(8)
    assert not [m for m in a.all_said[before:] if type(m).__name__ == "PostOnboards"]
    assert world.status(c) is Status.PENDING
    register = world.registers[c.address]
    again = bad.answer(register, 1, world.chain.head, b"\x01" * 1168)
    assert world.contract.simulate(again).error == "Refused"


def test_after_eight_rejections_the_newcomer_is_failed_and_stops() -> None:
    world = World()
    (a,) = world.started()
    names = [f"m{i}" for i in range(7)]
    members = [a, *[world.add(name) for name in names]]
    world.until(lambda: world.active(*members), limit=40)
    bad = [rogue(world, member) for member in members]
    c = world.add("c")
    world.until(lambda: world.status(c) is Status.PENDING)
    for number, member in enumerate(bad):
        assert world.contract.node(c.address).attempt == number
        answer(world, member, c, opens=bool(number % 2))
        world.round()
    assert world.status(c) is Status.FAILED
    world.until(lambda: c.exit is not None, limit=60)
    assert c.exit is not None
    assert (c.exit.reason, c.exit.rejoin) == (Reason.TOO_MANY_REJECTS, False)
    assert len(c.posts(PostReject)) == 8


def test_a_stale_rejection_is_signed_again_under_a_new_view() -> None:
    world = World()
    a, _ = world.started("b")
    bad = rogue(world, a)
    world.hosts["b"].disconnect()
    c = world.add("c")
    world.until(lambda: world.status(c) is Status.PENDING)
    answer(world, bad, c, opens=False)
    (first,) = c.posts(PostReject)
    world.hosts["c"].outbox.clear()
    world.round()
    world.hosts["c"].tell(Stale(first.key))
    world.talk()
    second = c.posts(PostReject)[-1]
    assert (second.key, second.replace, second.by) == (first.key, True, first.by)
    assert second.view_hash != first.view_hash
    world.hosts["b"].connect()
    world.until(lambda: world.active(c))
