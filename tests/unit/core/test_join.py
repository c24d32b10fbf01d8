"""Stories of networks whose hosts are honest: start, join, batch, and who may do what when."""

import pytest

from guest.chain.layout import Status
from guest.protocol.link import Depart, PostConfirm, PostOnboards, PostRegister
from guest.protocol.network import Trust
from tests.fakes.guest_shell import GuestShell
from tests.model.world import World


def secrets_of(*guests: GuestShell) -> set[bytes]:
    return {g.apps.secret.expose() for g in guests if g.apps is not None}


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.WITNESSED])
def test_a_network_starts_and_two_newcomers_join(trust: Trust) -> None:
    world = World(trust=trust)
    a, b, c = world.started("b", "c")
    assert world.contract.head().members == 3
    assert world.contract.head().pending == 0
    assert len(secrets_of(a, b, c)) == 1
    assert [guest.machine.sealed for guest in (a, b, c)] == [True] * 3
    assert [host.errors for host in world.hosts.values()] == [[], [], []]
    assert [host.reverted for host in world.hosts.values()] == [[], [], []]


def test_a_member_that_joined_hands_over_when_the_founder_is_down() -> None:
    world = World()
    a, b = world.started("b")
    world.hosts["founder"].disconnect()
    c = world.add("c")
    world.until(lambda: world.active(c))
    assert b.posts(PostOnboards)
    assert not a.posts(PostOnboards) or a.posts(PostOnboards)[-1].items[0].node != c.address
    assert len(secrets_of(b, c)) == 1


def test_newcomers_that_come_together_are_answered_together() -> None:
    world = World()
    (a,) = world.started()
    guests = [world.add(f"n{i}") for i in range(5)]
    world.until(lambda: world.active(*guests))
    posts = a.posts(PostOnboards)
    assert len(posts) <= 2  # the first view was asked for when one newcomer was known
    answered = [item.node for post in posts for item in post.items]
    assert sorted(answered) == sorted(guest.address for guest in guests)
    assert len(secrets_of(a, *guests)) == 1


def test_two_members_may_answer_and_the_first_wins() -> None:
    world = World()
    a, b = world.started("b")
    c = world.add("c")
    world.until(lambda: world.active(c))
    answers = [*a.posts(PostOnboards), *b.posts(PostOnboards)]
    assert len([p for p in answers if p.items[0].node == c.address]) == 2
    assert len(c.posts(PostConfirm)) == 1


def test_a_newcomer_waits_until_the_network_has_a_first_node() -> None:
    world = World()
    b = world.add("b")
    world.rounds(5)
    assert b.state == "surveying"
    assert not b.posts(PostRegister)
    a = world.add("a", bootstrap=True)
    world.until(lambda: world.active(a, b))


def test_a_host_that_says_bootstrap_on_a_started_network_gets_a_newcomer() -> None:
    world = World()
    world.started()
    b = world.add("b", bootstrap=True)
    world.until(lambda: world.active(b))
    assert len(b.posts(PostRegister)) == 1
    assert world.contract.genesis().node != b.address


def test_a_member_that_is_not_final_yet_gives_nothing() -> None:
    world = World(finality=12)
    a = world.add("a", bootstrap=True)
    world.until(lambda: world.active(a))
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.rounds(6)
    assert world.chain.finalised.number < world.contract.genesis().block
    assert world.status(b) is Status.PENDING
    assert not a.posts(PostOnboards)
    world.until(lambda: world.active(b))
    assert world.chain.finalised.number >= world.contract.genesis().block


def test_a_member_whose_own_place_is_not_final_gives_nothing() -> None:
    world = World(finality=12)
    world.rounds(15)
    a = world.add("a", bootstrap=True)
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.rounds(4)
    assert world.chain.finalised.number > 2  # the contract is final, the bootstrap is not
    assert world.chain.finalised.number < world.contract.genesis().block
    assert not a.posts(PostOnboards)
    assert "not-yet-final" in {str(refusal.reason) for refusal in a.refusals}
    world.until(lambda: world.active(b))


def test_keys_of_a_registration_are_never_used_twice() -> None:
    world = World()
    guests = world.started("b", "c")
    for _ in range(3):
        world.reboot("b")
        world.until(lambda: world.active(guests[1]))
    keys = [p.message.node for g in guests for p in g.posts(PostRegister)]
    drawn = [k for k, what in world.canaries.values.items() if what.startswith("entropy")]
    assert len(set(keys)) == len(keys)
    assert len(set(drawn)) == len(drawn)


def test_a_node_that_leaves_is_revoked_and_stays_out() -> None:
    world = World()
    a, b = world.started("b")
    world.hosts["b"].tell(Depart(force=False))
    world.until(lambda: b.exit is not None, limit=60)
    assert world.contract.node(b.address).status is Status.REVOKED
    assert b.exit is not None
    assert not b.exit.rejoin
    assert world.active(a)
