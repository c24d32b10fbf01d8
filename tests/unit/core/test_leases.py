"""Stories of time: leases, lapses, days without a host, and views that stand still."""

from guest.chain.layout import Status
from guest.core.effects import Exit
from guest.protocol.errors import Reason
from guest.protocol.link import (
    VERSION,
    HeadSeen,
    NeedView,
    Newcomer,
    PostOnboards,
    PostRenew,
    Stale,
    View,
    Welcome,
)
from guest.protocol.network import Trust
from tests.fakes.fake_chain import Block
from tests.fakes.guest_shell import GuestShell
from tests.fakes.key_manager import Expire
from tests.model.world import World

DAY = 24 * 3600
LEASE = 7 * DAY


def renewals(guest: GuestShell) -> list[PostRenew]:
    return guest.posts(PostRenew)


def test_a_lease_is_renewed_at_half_life_and_not_before() -> None:
    world = World()
    (a,) = world.started()
    until = world.contract.node(a.address).until
    world.advance(LEASE // 2 - 100)
    assert not renewals(a)
    world.advance(200)
    world.round()
    assert len(renewals(a)) == 1
    assert world.contract.node(a.address).until > until
    world.rounds(70)
    assert len(renewals(a)) == 1


def test_a_lapsed_member_answers_nothing_until_it_is_renewed() -> None:
    world = World()
    (a,) = world.started()
    host = world.hosts["founder"]
    host.disconnect()
    world.advance(LEASE + DAY)
    assert not renewals(a)
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    host.connect()
    host.tell(Newcomer(world.registers[b.address].document))
    world.talk()
    assert a.apps is None
    assert not a.posts(PostOnboards)
    assert len(renewals(a)) == 1
    world.until(lambda: world.active(a, b))
    assert a.posts(PostOnboards)


def test_a_member_whose_lease_is_about_to_end_gives_nothing_that_would_come_too_late() -> None:
    world = World()
    (a,) = world.started()
    host = world.hosts["founder"]
    host.disconnect()
    left = world.contract.node(a.address).until - world.chain.head.timestamp
    world.advance(left - 300)
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.contract.pool.clear()
    host.connect()
    host.tell(Welcome(VERSION, bootstrap=False))
    host.tell(Newcomer(world.registers[b.address].document))
    world.talk()
    assert world.contract.node(a.address).until > world.chain.head.timestamp
    assert not a.posts(PostOnboards)
    assert len(renewals(a)) == 1
    world.until(lambda: world.active(a, b))


def test_a_network_of_one_survives_its_own_lapse() -> None:
    world = World()
    (a,) = world.started()
    world.hosts["founder"].disconnect()
    world.advance(40 * DAY)
    assert world.contract.simulate(Expire(a.address)).error == "LastMember"
    world.hosts["founder"].connect()
    world.until(lambda: world.active(a))
    b = world.add("b")
    world.until(lambda: world.active(b))


def test_a_network_lives_for_thirty_days() -> None:
    world = World(trust=Trust.WITNESSED)
    guests = world.started("b", "c")
    for day in range(60):
        world.advance(DAY // 2)
        if day == 30:
            guests.append(world.add("d"))
            world.until(lambda: world.active(guests[-1]))
    world.rounds(4)
    assert world.active(*guests)
    assert all(len(renewals(guest)) in range(7, 12) for guest in guests[:3])
    assert [host.errors for host in world.hosts.values()] == [[]] * 4
    assert [guest.exit for guest in guests] == [None] * 4


def test_a_node_whose_host_was_down_for_eight_days_comes_back_by_itself() -> None:
    world = World()
    a, b = world.started("b")
    world.hosts["b"].disconnect()
    for _ in range(16):
        world.advance(DAY // 2)
    assert world.contract.node(b.address).until < world.chain.head.timestamp
    assert b.closed_for == Reason.STALE_VIEW
    world.hosts["b"].connect()
    world.until(lambda: world.active(a, b))
    assert len(renewals(b)) == 1


def test_a_node_that_was_expired_after_fifteen_days_starts_again_and_joins() -> None:
    world = World()
    _, b = world.started("b")
    old = b.address
    world.hosts["b"].disconnect()
    for _ in range(30):
        world.advance(DAY // 2)
    world.contract.do(Expire(old))
    world.hosts["b"].connect()
    world.talk()
    assert b.exit is not None
    assert (b.exit.reason, b.exit.rejoin) == (Reason.EXPIRED, True)
    world.reboot("b")
    world.until(lambda: world.active(b))
    assert b.address != old


def test_a_renewal_that_went_stale_is_signed_again() -> None:
    world = World()
    (a,) = world.started()
    world.advance(LEASE // 2 + 100)
    (first,) = renewals(a)
    world.hosts["founder"].outbox.clear()
    world.chain.mine()
    world.hosts["founder"].tell(Stale(first.key))
    world.talk()
    second = renewals(a)[-1]
    assert (second.key, second.replace) == (first.key, True)
    assert second.view_number > first.view_number
    world.until(lambda: world.contract.node(a.address).until > world.chain.head.timestamp + 6 * DAY)


def look(world: World) -> None:
    """Make the founder ask for a view now."""
    world.hosts["founder"].tell(Stale("nothing in particular"))
    world.talk()


def test_a_renewal_that_a_host_called_stored_and_lost_is_signed_again_in_time() -> None:
    world = World()
    (a,) = world.started()
    world.advance(LEASE // 2 + 100)
    (first,) = renewals(a)
    world.hosts["founder"].outbox.clear()
    world.until(lambda: len(renewals(a)) > 1, limit=300)
    assert world.active(a)
    world.until(lambda: world.contract.node(a.address).until > world.chain.head.timestamp + 6 * DAY)
    assert renewals(a)[1].key == first.key


# --- views that stand still ---------------------------------------------------------------------


def frozen(world: World, name: str, seconds: int, head: Block, final: Block) -> None:
    """The host of one guest goes on answering, with one old view, for that long."""
    host = world.hosts[name]
    host.up = False
    for _ in range(seconds):
        world.round()
        host.guest.tick()
        while host.guest.said:
            message = host.guest.said.popleft()
            if isinstance(message, NeedView):
                view = world.chain.view(
                    message.newest_slots,
                    message.finalised_slots,
                    message.ancestors,
                    newest=head,
                    finalised=final,
                    witnessed=world.network.trust is Trust.WITNESSED,
                )
                host.tell(View(message.request, view))
        host.tell(HeadSeen(head.number))
    host.up = True


def test_under_a_frozen_view_a_member_stops_giving_within_w_and_serving_within_2w() -> None:
    world = World(trust=Trust.WITNESSED)
    a, b = world.started("b")
    w = world.network.max_view_age
    for host in world.hosts.values():
        host.up = False
    newcomer = world.add("n")
    world.until(lambda: world.status(newcomer) is Status.PENDING)
    world.hosts["b"].up = True
    then = world.chain.head, world.chain.finalised
    frozen(world, "founder", w + 2, *then)
    assert a.apps is not None
    before = len(a.posts(PostOnboards))
    world.hosts["founder"].tell(Newcomer(world.registers[newcomer.address].document))
    frozen(world, "founder", 2, *then)
    assert len(a.posts(PostOnboards)) == before
    frozen(world, "founder", w, *then)
    assert a.apps is None
    assert a.closed_for == Reason.STALE_VIEW
    assert a.exit is None
    world.until(lambda: world.active(a, b), limit=60)


def test_silence_for_2w_closes_the_apps_and_a_view_opens_them() -> None:
    world = World()
    (a,) = world.started()
    world.hosts["founder"].disconnect()
    w = world.network.max_view_age
    world.rounds(2 * w - w // 2 - 5)  # the last view may be W/2 old
    assert a.apps is not None
    world.rounds(w // 2 + 7)
    assert a.apps is None
    world.hosts["founder"].connect()
    world.until(lambda: world.active(a))


def test_a_finalised_block_that_changes_is_fatal_where_a_witness_signs() -> None:
    world = World(trust=Trust.WITNESSED)
    (a,) = world.started()
    look(world)
    world.chain.reorg(6)
    look(world)
    assert isinstance(a.exit, Exit)
    assert (a.exit.reason, a.exit.rejoin) == (Reason.FINALITY_BROKEN, False)


def test_a_finalised_block_that_changes_is_only_counted_where_nobody_vouches() -> None:
    world = World()
    (a,) = world.started()
    look(world)
    world.chain.reorg(4)
    look(world)
    assert a.exit is None
    assert world.active(a)
    assert a.node._reader.trust.contradictions >= 1
