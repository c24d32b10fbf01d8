"""Stories of the first node: the one call that cannot be repeated, and all that may come between."""

from guest.core.joiner import Joiner
from guest.core.member import Member
from guest.protocol.errors import Reason
from guest.protocol.link import HeadSeen, PostBootstrap, PostRegister, Report, Stale
from tests.fakes.guest_shell import GuestShell
from tests.model.world import World


def candidates(guest: GuestShell) -> list[PostBootstrap]:
    return guest.posts(PostBootstrap)


def reports(guest: GuestShell) -> list[Report]:
    return guest.posts(Report)


def censored(world: World, blocks: int) -> GuestShell:
    """A founder whose bootstrap nobody mines for that many blocks."""
    guest = world.add("a", bootstrap=True)
    for _ in range(blocks):
        world.hosts["a"].outbox.clear()
        world.round()
    return guest


def test_an_anchor_that_dies_costs_new_keys_and_the_new_bootstrap_lands() -> None:
    world = World()
    a = censored(world, 250)
    first, second = candidates(a)
    assert first.message.node != second.message.node
    assert first.message.x_pub != second.message.x_pub
    assert first.key == second.key
    world.contract.submit(second, owner=True)
    world.until(lambda: world.active(a))
    assert world.contract.genesis().node == second.message.node


def test_when_the_old_bootstrap_lands_after_all_its_keys_are_still_there() -> None:
    world = World()
    a = censored(world, 245)
    first, second = candidates(a)
    world.hosts["a"].outbox.clear()
    world.contract.submit(first, owner=True)
    world.until(lambda: world.active(a))
    assert world.contract.genesis().node == first.message.node
    assert a.apps is not None
    assert a.apps.addresses.x_pub == first.message.x_pub != second.message.x_pub
    b = world.add("b")
    world.until(lambda: world.active(b))


def test_of_two_candidates_none_is_wiped_before_one_is_final() -> None:
    world = World(finality=12)
    a = censored(world, 245)
    first, second = candidates(a)
    world.hosts["a"].outbox.clear()
    world.contract.submit(second, owner=True)
    world.rounds(4)
    assert a.apps is None
    assert not a.machine.sealed
    world.chain.reorg(5)
    world.hosts["a"].outbox.clear()
    world.contract.submit(first, owner=True)
    world.until(lambda: world.active(a), limit=40)
    assert a.address == first.message.node
    assert world.chain.finalised.number >= world.contract.genesis().block


def test_another_founder_that_a_reorg_takes_back_does_not_cost_us_our_keys() -> None:
    world, rival = World(finality=12), World(finality=12)
    world.rounds(10)
    rival.rounds(10)
    a = world.add("a", bootstrap=True)
    world.talk()
    (ours,) = candidates(a)
    z = rival.add("z", bootstrap=True)
    rival.talk()
    (theirs,) = candidates(z)
    assert theirs.message.anchor_hash == ours.message.anchor_hash
    world.hosts["a"].outbox.clear()
    world.contract.submit(theirs, owner=True)
    world.rounds(3)
    assert world.contract.genesis().node == theirs.message.node
    world.chain.reorg(4)
    world.contract.submit(ours, owner=True)
    world.until(lambda: world.active(a), limit=60)
    assert world.contract.genesis().node == ours.message.node


def test_findings_610_1305_when_another_founder_is_final_the_node_joins_instead() -> None:
    world = World()
    a = world.add("a", bootstrap=True)
    world.talk()
    z = world.add("z", bootstrap=True)
    world.talk()
    world.hosts["a"].outbox.clear()
    world.until(lambda: world.active(z))
    world.until(lambda: world.active(a))
    assert world.contract.genesis().node == z.address
    assert len(a.posts(PostRegister)) == 1


def test_a_host_that_calls_every_bootstrap_stale_only_makes_the_founder_give_up() -> None:
    world = World()
    a = world.add("a", bootstrap=True)
    host = world.hosts["a"]
    for _ in range(12):
        host.outbox.clear()
        host.tell(Stale("bootstrap"))
        if a.exit is not None:
            break
        world.round()
    assert a.exit is not None
    assert a.exit.reason is Reason.ANCHOR_DEAD
    nodes = {post.message.node for post in candidates(a)}
    assert len(nodes) == len(candidates(a)) == 8


def test_a_founder_whose_image_is_not_allowed_waits_and_says_so() -> None:
    world = World(images=(b"\x11" * 32,))
    a = world.add("a", bootstrap=True)
    world.rounds(5)
    assert not candidates(a)
    assert "measurement-not-allowed" in reports(a)[-1].detail


def test_a_quote_under_way_ends_when_an_older_bootstrap_lands() -> None:
    world = World()
    a = censored(world, 238)
    (first,) = candidates(a)
    a.platform_held = True
    while not a.work:
        world.hosts["a"].outbox.clear()
        world.round()
    world.hosts["a"].outbox.clear()
    world.contract.submit(first, owner=True)
    world.rounds(40)
    a.platform_held = False
    world.hosts["a"].tell(HeadSeen(world.chain.head.number))
    world.until(lambda: world.active(a))
    assert candidates(a) == [first]
    assert isinstance(a.node._phase, Member)
    assert not isinstance(a.node._phase, Joiner)
