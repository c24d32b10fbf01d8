"""What a stranger can do for the price of gas: fill the queue, speak of others, choose a young anchor."""

import pytest

from guest.chain.layout import Status
from guest.core.waiting_room import MAX_BYTES, MAX_WAITING, WaitingRoom
from guest.protocol import document as document_format
from guest.protocol.digests import Domain, document_hash
from guest.protocol.document import UnverifiedDocument
from guest.protocol.errors import Refused
from guest.protocol.link import Newcomer, PostOnboards, Turned
from guest.protocol.messages import Register
from tests.fakes.adversary import Forger, Forgery
from tests.fakes.guest_shell import IMAGE
from tests.model.world import World


def junk(node: bytes, salt: int, size: int = 4) -> bytes:
    """Return a document that decodes, names `node`, and proves nothing."""
    claim = Register(node, bytes(32), IMAGE.measurement_id, 0, bytes(32))
    quote = salt.to_bytes(4, "big") + bytes(size - 4)
    return document_format.encode(
        UnverifiedDocument(1, claim, None, bytes(1216), quote, b"\xc0", b"")
    )


def stranger(number: int) -> bytes:
    return (number + 1).to_bytes(20, "big")


@pytest.mark.parametrize("count", [1, 64, MAX_WAITING])
def test_documents_of_nodes_that_never_registered_keep_no_newcomer_waiting(count: int) -> None:
    world = World()
    world.started()
    for i in range(count):
        world.hosts["founder"].tell(Newcomer(junk(stranger(i), i)))
    world.talk()
    b = world.add("b")
    world.until(lambda: world.active(b), limit=60)


def test_a_document_that_speaks_of_another_node_does_not_take_its_place() -> None:
    world = World()
    (a,) = world.started()
    blocks = world.chain.blocks
    anchor = blocks[max(0, len(blocks) - 9)]
    good = Forger(world.network).registration(anchor, world.chain.head.timestamp, Forgery())
    world.contract.do(good)
    host = world.hosts["founder"]
    host.tell(Newcomer(good.document))
    host.tell(Newcomer(junk(good.message.node, 7)))
    world.rounds(3)
    assert len(a.posts(PostOnboards)) == 1
    assert document_hash(good.document) not in [turn.document_hash for turn in a.posts(Turned)]


def test_an_anchor_that_a_reorg_could_kill_is_answered_only_when_it_lies_deep() -> None:
    world = World(finality=10)
    (a,) = world.started()
    world.rounds(12)
    anchor = world.chain.head
    young = Forger(world.network).registration(anchor, anchor.timestamp, Forgery())
    world.contract.do(young)
    world.hosts["founder"].tell(Newcomer(young.document))
    world.talk()
    while world.chain.head.number - anchor.number < 8:
        assert not a.posts(PostOnboards)
        world.round()
    world.rounds(2)
    assert len(a.posts(PostOnboards)) == 1
    assert world.contract.node(young.message.node).status is Status.ONBOARDED


DOMAIN = Domain(31337, b"\x01" * 20, test=True)


def test_the_room_is_bounded_in_count_and_bytes() -> None:
    room = WaitingRoom(DOMAIN)
    for i in range(MAX_WAITING):
        room.admit(junk(stranger(i), i), 0.0)
    with pytest.raises(Refused, match="too many newcomers"):
        room.admit(junk(stranger(MAX_WAITING), 0), 0.0)
    fat = WaitingRoom(DOMAIN)
    size = len(junk(stranger(0), 0, size=16 * 1024))
    for i in range(MAX_BYTES // size):
        fat.admit(junk(stranger(i), i, size=16 * 1024), 0.0)
    with pytest.raises(Refused, match="too many newcomers"):
        fat.admit(junk(stranger(MAX_WAITING * 8), 0, size=16 * 1024), 0.0)
    assert sum(len(waiting.document) for waiting in fat) <= MAX_BYTES


def test_who_was_looked_at_in_vain_makes_place_when_the_room_is_full() -> None:
    room = WaitingRoom(DOMAIN)
    for i in range(MAX_WAITING):
        room.admit(junk(stranger(i), i), 0.0)
    (first,) = room.next(1)
    room.undecided(first)
    assert room.next(MAX_WAITING)[-1].name == first.name
    room.admit(junk(stranger(9999), 1), 1.0)
    assert len(room) == MAX_WAITING
    assert first.name not in {waiting.name for waiting in room}


def test_of_two_documents_of_one_node_one_is_looked_at_in_each_turn() -> None:
    room = WaitingRoom(DOMAIN)
    room.admit(junk(stranger(1), 1), 0.0)
    room.admit(junk(stranger(1), 2), 0.0)
    (one,) = room.next(8)
    room.undecided(one)
    (other,) = room.next(8)
    assert {one.name, other.name} == {waiting.name for waiting in room}


def test_a_document_that_is_offered_twice_waits_once() -> None:
    room = WaitingRoom(DOMAIN)
    for _ in range(3):
        room.admit(junk(stranger(1), 1), 0.0)
    assert len(room) == 1
    room.remove(next(iter(room)))
    assert not room
