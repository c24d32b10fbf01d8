"""The link may go at any frame: what was signed is said again until the host says that it is stored."""

import re

import pytest

from guest.chain.layout import Status
from guest.core.effects import Say
from guest.core.events import LinkUp
from guest.core.history import parse_event
from guest.protocol.errors import MalformedInput
from guest.protocol.link import (
    VERSION,
    Hello,
    NeedView,
    PostBootstrap,
    PostConfirm,
    PostOnboards,
    PostRegister,
    Posts,
    Stored,
    Welcome,
)
from tests.fakes.guest_shell import GuestShell, SeededEntropy, new_node, snapshot
from tests.model.world import World


def posts_on_link_up(guest: GuestShell) -> list[str]:
    """Lose the link, dial again; return the keys of the posts that follow the greeting at once."""
    guest.link_down()
    effects = guest.handle(LinkUp(guest.clock.now))
    said = [effect.message for effect in effects if isinstance(effect, Say)]
    assert isinstance(said[0], Hello)
    return [message.key for message in said[1:] if isinstance(message, Posts)]


def test_a_post_is_said_again_at_every_dial_until_it_is_stored() -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.talk()
    (register,) = b.posts(PostRegister)
    b.node._unstored[register.key] = register  # as if `Stored` had been lost with the link
    assert posts_on_link_up(b) == [register.key]
    assert posts_on_link_up(b) == [register.key]
    b.tell(Welcome(VERSION, bootstrap=False))
    b.tell(Stored(register.key))
    assert posts_on_link_up(b) == []


@pytest.mark.parametrize("kind", [PostBootstrap, PostRegister, PostOnboards, PostConfirm])
def test_a_host_that_dies_before_it_stores_gets_the_same_bytes_again(
    kind: type[PostBootstrap | PostRegister | PostOnboards | PostConfirm],
) -> None:
    world = World()
    if kind is PostBootstrap:
        guest = world.add("a", bootstrap=True)
        host = world.hosts["a"]
    else:
        (a,) = world.started()
        b = world.add("b")
        guest = a if kind is PostOnboards else b
        host = world.hosts[guest.name]
    lost: list[object] = []
    store = host.store

    def dies_first(post: Posts) -> None:
        if isinstance(post, kind) and not lost:
            lost.append(post)
            host.disconnect()
            host.connect()
            return
        store(post)

    host.store = dies_first  # type: ignore[method-assign]
    world.until(lambda: world.active(*world.guests))
    said = guest.posts(kind)
    assert len(lost) == 1
    assert said[0] == said[1] == lost[0]


def test_a_link_that_breaks_before_each_frame_only_delays() -> None:
    world = World()
    (a,) = world.started()
    b = world.add("b")
    for number in range(60):
        if world.active(b):
            break
        world.block()
        for host in world.hosts.values():
            host.news()
            host.guest.tick()
        for _ in range(number % 7 + 1):
            world._step(world.hosts["b"])
            world._step(world.hosts["founder"])
        world.hosts["b" if number % 2 else "founder"].disconnect()
        world.hosts["b" if number % 2 else "founder"].connect()
    world.until(lambda: world.active(a, b), limit=90)
    assert len(a.ciphertexts(b.address)) <= 2


def test_a_view_that_never_comes_is_asked_for_again() -> None:
    world = World()
    b = world.add("b")
    b.tell(Welcome(VERSION, bootstrap=False))
    (first,) = b.posts(NeedView)
    world.clock.now += 19
    b.tick()
    assert b.posts(NeedView) == [first]
    world.clock.now += 2
    b.tick()
    _, second = b.posts(NeedView)
    assert second.request > first.request


def test_a_restart_of_the_guest_makes_a_new_node_and_the_old_slot_is_a_ghost() -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    old = b.address
    world.reboot("b")
    world.until(lambda: world.active(b))
    assert b.address != old
    assert world.contract.node(old).status in (Status.PENDING, Status.ONBOARDED)


# --- histories ----------------------------------------------------------------------------------


def test_a_history_replays_to_the_same_machine() -> None:
    world = World()
    a, b = world.started("b")
    again = new_node(world.network, SeededEntropy(b.node_name), b.machine.registers.measurement_id)
    for line in world.history:
        parsed = parse_event(line)
        if parsed is not None and parsed[0] == b.node_name:
            again.handle(parsed[1])
    assert _comparable(again) == _comparable(b.node)
    assert a.node_name != b.node_name


def test_effects_in_a_history_are_for_readers_and_are_skipped() -> None:
    world = World()
    world.started()
    effects = [line for line in world.history if '"effect"' in line]
    assert effects
    assert all(parse_event(line) is None for line in effects)
    assert any('"OpenApps"' in line and '"EpochKeys"' in line for line in effects)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"node": "a"}',
        '{"node": "a", "event": "Nothing", "at": 1}',
        '{"node": "a", "event": "Quoted", "at": 1, "request": 1, "quote": "zz"}',
        '{"node": "a", "event": "HostSaid", "at": 1, "frame": "00"}',
        '{"node": "a", "event": "Ticked", "at": "soon"}',
        "[" * 5000,
    ],
)
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(MalformedInput):
        parse_event(line)


def _comparable(node: object) -> str:
    """A machine's state without what differs by object identity (keys of libraries)."""
    return re.sub(r"\('[A-Za-z0-9]+', \d{9,}\)", "", repr(snapshot(node)))
