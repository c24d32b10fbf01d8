"""Reorgs of 1 to 8 blocks at each step of a join: it completes, and no second ciphertext is made."""

import pytest

from guest.chain.layout import Status
from guest.protocol.link import PostConfirm, PostOnboards, PostRegister
from guest.protocol.network import Trust
from tests.fakes.guest_shell import GuestShell
from tests.model.world import World

STEPS = {"pending": Status.PENDING, "onboarded": Status.ONBOARDED, "active": Status.ACTIVE}


def joined_up_to(world: World, wanted: Status) -> GuestShell:
    b = world.add("b")
    world.until(lambda: world.status(b) is wanted)
    return b


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.WITNESSED])
@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_join_survives_a_reorg(step: str, depth: int, trust: Trust) -> None:
    world = World(finality=10, trust=trust)
    (a,) = world.started()
    b = joined_up_to(world, STEPS[step])
    world.reorg(depth)
    world.until(lambda: world.active(a, b), limit=90)
    world.rounds(12)
    assert world.active(a, b)
    assert len(b.posts(PostRegister)) == 1
    assert len(a.ciphertexts(b.address)) == 1
    assert len({post.handover for post in b.posts(PostConfirm)}) == 1
    assert a.apps is not None
    assert b.apps is not None
    assert a.apps.secret.matches(b.apps.secret)


def test_an_answer_whose_view_a_reorg_dropped_is_signed_again_with_the_same_ciphertext() -> None:
    world = World(finality=10)
    (a,) = world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.talk()
    (first,) = a.posts(PostOnboards)
    assert first.view_number == world.chain.head.number
    world.reorg(1)
    world.until(lambda: world.active(a, b))
    again = a.posts(PostOnboards)[-1]
    assert (again.key, again.replace) == (first.key, True)
    assert again.items == first.items
    assert again.view_hash != first.view_hash


def test_a_reorg_at_every_round_only_delays() -> None:
    world = World(finality=10)
    (a,) = world.started()
    world.rounds(8)
    b = world.add("b")
    for _ in range(12):
        world.round()
        world.reorg(2)
    world.until(lambda: world.active(a, b), limit=90)
    assert len(a.ciphertexts(b.address)) == 1
    assert len(b.posts(PostRegister)) == 1


def test_when_a_reorg_lets_another_member_win_the_newcomer_takes_what_storage_names() -> None:
    world = World(finality=10)
    a, c = world.started("c")
    world.hosts["c"].disconnect()
    b = joined_up_to(world, Status.ONBOARDED)
    world.hosts["founder"].outbox.clear()
    world.hosts["founder"].disconnect()
    world.reorg(2)
    assert world.status(b) in (Status.NONE, Status.PENDING)
    world.hosts["c"].connect()
    world.until(lambda: world.active(b), limit=90)
    assert len({post.handover for post in b.posts(PostConfirm)}) == 2
    assert len(c.ciphertexts(b.address)) == 1
    assert len(a.ciphertexts(b.address)) == 1


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_bootstrap_survives_a_reorg(depth: int) -> None:
    world = World(finality=10)
    world.rounds(10)
    a = world.add("a", bootstrap=True)
    world.until(lambda: world.active(a))
    x_pub = world.contract.head().x_pub
    world.reorg(depth)
    world.until(lambda: world.active(a), limit=90)
    assert world.contract.head().x_pub == x_pub
    b = world.add("b")
    world.until(lambda: world.active(a, b), limit=60)
