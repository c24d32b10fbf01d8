"""What a host may do to its own guest by words alone: stop it, and nothing else."""

from dataclasses import replace

import pytest

from guest.chain.layout import Status
from guest.core.effects import Exit, Seal
from guest.core.member import Member
from guest.protocol import document as document_format
from guest.protocol.errors import Reason
from guest.protocol.link import (
    CollateralFound,
    HandedOver,
    Newcomer,
    PostConfirm,
    PostOnboards,
    PostRegister,
    PostRenew,
    Stale,
)
from host.chain import events
from host.devplatform.registers import registers_for
from tests.fakes.adversary import Forger, Forgery
from tests.fakes.fake_chain import Block
from tests.fakes.guest_shell import IMAGE, GuestShell, Machine
from tests.fakes.key_manager import Revoke
from tests.model.world import World

DAY = 24 * 3600


def deep_block(world: World) -> Block:
    """Return an anchor as deep as a newcomer takes it, which no reorg of ours reaches."""
    blocks = world.chain.blocks
    return blocks[max(0, len(blocks) - 9)]


def held_before_its_seal(world: World) -> GuestShell:
    """A newcomer whose Active is proven and whose platform has not sealed yet."""
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.ONBOARDED)
    b.platform_held = True
    world.until(lambda: any(isinstance(asked, Seal) for asked in b.work))
    return b


def test_a_registration_called_stale_during_the_seal_does_not_wipe_the_keys() -> None:
    world = World()
    (a,) = world.started()
    b = held_before_its_seal(world)
    register = b.posts(PostRegister)[-1]
    world.hosts["b"].tell(Stale(register.key))
    world.rounds(3)
    b.platform_held = False
    world.until(lambda: world.active(a, b))
    assert a.apps is not None
    assert b.apps is not None
    assert a.apps.secret.matches(b.apps.secret)
    assert len(b.posts(PostRegister)) == 1


def test_a_lapse_shown_during_the_seal_does_not_wipe_the_keys() -> None:
    world = World()
    world.started("c")
    b = held_before_its_seal(world)
    world.contract.submit(Revoke(b.address), owner=True)
    world.rounds(3)
    b.platform_held = False
    world.until(lambda: b.exit is not None, limit=80)
    assert b.exit is not None
    assert b.exit.reason is Reason.REVOKED


def test_a_newcomer_with_a_broken_encryption_key_costs_nobody_else_anything() -> None:
    world = World()
    (a,) = world.started()
    host = world.hosts["founder"]
    forger = Forger(world.network)
    broken = forger.registration(
        deep_block(world), world.chain.head.timestamp, Forgery(broken_key=True)
    )
    host.store(broken)
    b = world.add("b")
    world.until(lambda: world.active(b))
    assert world.contract.node(broken.message.node).status is Status.PENDING
    assert [r.reason for r in a.refusals] == [Reason.DOCUMENT_MESSAGE]


def test_a_broken_newcomer_does_not_swallow_the_lease_renewal() -> None:
    world = World()
    (a,) = world.started()
    forger = Forger(world.network)
    world.advance(3 * DAY + 43000)
    broken = forger.registration(
        deep_block(world), world.chain.head.timestamp, Forgery(broken_key=True)
    )
    world.contract.do(broken)
    world.hosts["founder"].up = False
    world.advance(600)
    world.hosts["founder"].up = True
    world.hosts["founder"].tell(Newcomer(broken.document))
    world.talk()
    assert len(a.posts(PostRenew)) == 1


def test_documents_swapped_between_question_and_answer_lose_no_effects() -> None:
    other = Machine(registers_for("a second allowed image"))
    world = World(images=(IMAGE.measurement_id, other.registers.measurement_id))
    (a,) = world.started()
    forger = Forger(world.network)
    now, anchor = world.chain.head.timestamp, deep_block(world)
    second = forger.registration(anchor, now, Forgery(registers=other.registers))
    world.contract.do(second)
    host = world.hosts["founder"]
    host.tell(Newcomer(_same_node_other_image(world, second)))
    host.tell(Newcomer(second.document))  # before the view, which proves the first one's image
    before = len(host.errors)
    world.talk()
    assert host.errors[before:] == []
    assert isinstance(a.node._phase, Member)
    assert len(a.ciphertexts(second.message.node)) == 1


def test_a_flood_of_the_same_old_answer_does_not_push_out_the_right_one() -> None:
    world = World()
    world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    b_host = world.hosts["b"]
    world.block()
    world.block()
    (answer,) = _answers(world, b)
    b_host.tell(answer)
    for _ in range(40):
        b_host.tell(Forger(world.network).garbage(b"\x01" * 20))
    world.until(lambda: world.active(b))


def test_collateral_that_nobody_asked_for_is_a_violation() -> None:
    world = World()
    (a,) = world.started()
    b = world.add("b")
    world.talk()
    for name in ("founder", "b"):
        world.hosts[name].tell(CollateralFound(99999, b"x"))
        assert "ProtocolViolation" in world.hosts[name].errors[-1]
    assert a.exit is None
    assert b.exit is None


def test_a_host_that_answers_late_costs_a_registration_and_not_the_network() -> None:
    world = World()
    world.started()
    b = world.add("b")
    b.platform_held = True
    world.rounds(70)
    assert any(r.reason == Reason.TIMEOUT for r in b.refusals)
    b.work.clear()
    b.platform_held = False
    world.until(lambda: world.active(b), limit=80)


def test_word_that_its_place_is_stale_ends_no_member_that_stands() -> None:
    world = World(finality=12)
    world.started()
    b = world.add("b")
    world.until(lambda: world.active(b))
    register = b.posts(PostRegister)[-1]
    world.hosts["b"].tell(Stale(register.key))
    world.rounds(4)
    assert b.exit is None
    assert world.active(b)


def test_word_that_a_registration_is_stale_throws_no_good_one_away() -> None:
    """A stranger copies our Register with a higher tip: ours reverts, and theirs stands for us."""
    world = World()
    world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    register = b.posts(PostRegister)[-1]
    world.hosts["b"].tell(Stale(register.key))
    world.until(lambda: world.active(b))
    assert len(b.posts(PostRegister)) == 1


def test_a_member_whose_place_a_reorg_took_for_good_starts_again() -> None:
    world = World(finality=12)
    world.started()
    b = world.add("b")
    world.until(lambda: world.active(b))
    register = b.posts(PostRegister)[-1]
    for host in world.hosts.values():
        host.outbox.clear()
    while world.status(b) is not Status.NONE:
        world.chain.reorg(1)
        world.chain.blocks.pop()
    while world.chain.head.number <= b.node._reader._newest:
        world.chain.mine()
    world.hosts["b"].tell(Stale(register.key))
    world.rounds(3)
    assert b.exit == Exit(Reason.ANCHOR_DEAD, b.exit.detail if b.exit else "", True)


def test_a_confirmation_that_its_host_lost_is_posted_again_after_a_reorg() -> None:
    world = World(finality=12)
    world.started()
    b = world.add("b")
    world.until(lambda: world.active(b))
    world.hosts["b"].outbox.clear()
    world.chain.reorg(1)
    assert world.status(b) is Status.ONBOARDED
    world.until(lambda: world.active(b), limit=40)
    assert len(b.posts(PostConfirm)) >= 2


@pytest.mark.parametrize("offers", [1, 3])
def test_word_that_an_answer_is_stale_never_makes_a_second_ciphertext(offers: int) -> None:
    world = World(finality=12)
    (a,) = world.started()
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.ONBOARDED)
    (post,) = a.posts(PostOnboards)
    host = world.hosts["founder"]
    host.tell(Stale(post.key))
    world.talk()  # the view shows the newcomer Onboarded, or Active already
    world.hosts["b"].outbox.clear()
    host.outbox.clear()
    while world.status(b) is not Status.PENDING:
        world.chain.reorg(1)
        world.chain.blocks.pop()
    while world.chain.head.number < a.node._reader._newest:
        world.chain.mine()
    for _ in range(offers):
        host.tell(Newcomer(next(iter(_documents_of(world, b)))))
        host.tell(Stale(post.key))
        world.talk()
    assert len(a.ciphertexts(b.address)) == 1


def _documents_of(world: World, guest: GuestShell) -> list[bytes]:
    return [world.registers[guest.address].document]


def _answers(world: World, guest: GuestShell) -> list[HandedOver]:
    return [
        HandedOver(e.by, e.epoch, e.attempt, e.ciphertext)
        for _, e in world.contract.events_since(-1)
        if isinstance(e, events.Onboarded) and e.node == guest.address
    ]


def _same_node_other_image(world: World, post: PostRegister) -> bytes:
    """A good document of the same keys on the image of the tests."""
    message = replace(post.message, measurement_id=IMAGE.measurement_id)
    public = document_format.decode(post.document).encryption_key
    now = world.chain.head.timestamp
    return Forger(world.network).document(message, public, now, Forgery())
