"""Invented networks: a newcomer checks the first node under its own root before it signs anything."""

from dataclasses import replace

import pytest

from guest.core.effects import SEAL_EVENT
from guest.evidence import eventlog
from guest.protocol.errors import Reason
from guest.protocol.link import (
    CollateralFound,
    GenesisFound,
    HeadSeen,
    NeedCollateral,
    NeedGenesis,
    NeedView,
    PostConfirm,
    PostRegister,
    View,
)
from guest.protocol.network import Trust
from host.devplatform.registers import registers_for
from tests.fakes import contract_storage
from tests.fakes.adversary import OTHER_IMAGE, Forgery, InventedNetwork, invent
from tests.fakes.guest_shell import IMAGE, GuestShell, Machine
from tests.fakes.key_manager import Activate, Propose, Remove
from tests.model.world import World, collateral_at

SEALED = eventlog.extended(bytes(48), eventlog.Event(SEAL_EVENT, b"").digest())
LIES = {
    "a debug machine": Forgery(td_attributes=1 << 28 | 1),
    "an app's quote": Forgery(rtmr3=SEALED),
    "another image under the right name": Forgery(
        registers=OTHER_IMAGE, claimed_image=IMAGE.measurement_id
    ),
    "report data of something else": Forgery(report_data=b"\x01" * 64),
    "another encryption key": Forgery(other_key=True),
    "a quote that was changed": Forgery(tamper=True),
}


def show(world: World, name: str, lie: InventedNetwork, rounds: int = 4) -> GuestShell:
    """The host of `name` shows an invented chain and its first node's document."""
    host = world.hosts[name]
    host.up = False
    guest = host.guest
    for _ in range(rounds):
        host.tell(HeadSeen(lie.chain.head.number))
        while guest.said and guest.exit is None:
            match guest.said.popleft():
                case NeedView() as need:
                    witnessed = world.network.trust is Trust.WITNESSED
                    view = lie.chain.answer(need, witnessed=witnessed)
                    host.tell(View(need.request, view))
                case NeedGenesis(request, _):
                    host.tell(GenesisFound(request, lie.bootstrap.document))
                case NeedCollateral(request, _, _):
                    now = lie.chain.head.timestamp
                    host.tell(CollateralFound(request, collateral_at(now, world.scenario)))
                case _:
                    pass
            guest.run_platform()
        if guest.exit is not None:
            break
        guest.tick()
        lie.chain.mine()
        world.clock.now += 1
    return guest


def welcomed(world: World) -> None:
    """A newcomer whose host has said hello and nothing else."""
    guest = world.add("b")
    host = world.hosts["b"]
    host.hear(guest.said.popleft())
    host.tell(host.toward.popleft())
    host.toward.clear()


@pytest.mark.parametrize("name", sorted(LIES))
def test_an_invented_first_node_is_fatal(name: str) -> None:
    world = World()
    welcomed(world)
    guest = show(world, "b", invent(world.network, LIES[name], like=world.chain))
    assert guest.exit is not None
    assert (guest.exit.reason, guest.exit.rejoin) == (Reason.GENESIS_INVALID, False)
    assert not guest.posts(PostRegister)


def test_an_invented_network_of_another_image_is_fatal() -> None:
    world = World()
    welcomed(world)
    lie = invent(world.network, Forgery(registers=OTHER_IMAGE), like=world.chain)
    lie.contract.do(Propose(IMAGE.measurement_id), owner=True)
    lie.contract.do(Activate(IMAGE.measurement_id))
    guest = show(world, "b", lie, rounds=8)
    # The simulated root signs for every image, so this is the lie that only the chain can refute.
    assert guest.exit is None
    assert guest.posts(PostRegister)
    assert not guest.posts(PostConfirm)


def test_g8_a_document_of_another_node_than_the_genesis_node_is_fatal() -> None:
    world = World()
    welcomed(world)
    lie = invent(world.network, Forgery(), like=world.chain)
    other = replace(lie.contract.genesis(), node=b"\x05" * 20)
    lie.chain.mine(contract_storage.genesis(other))
    guest = show(world, "b", lie)
    assert guest.exit is not None
    assert guest.exit.reason is Reason.GENESIS_INVALID
    assert "genesis node" in guest.exit.detail


@pytest.mark.parametrize("changed", ["x_pub", "app_root"])
def test_epoch_keys_that_the_first_quote_does_not_vouch_for_are_fatal(changed: str) -> None:
    world = World()
    welcomed(world)
    lie = invent(world.network, Forgery(), like=world.chain)
    first = lie.contract.epoch(1)
    other = replace(first, x_pub=b"\x05" * 20)
    if changed == "app_root":
        other = replace(first, app_root=b"\x05" * 20)
    lie.chain.mine(contract_storage.epoch(1, other))
    guest = show(world, "b", lie)
    assert guest.exit is not None
    assert guest.exit.reason is Reason.GENESIS_INVALID
    assert "epoch" in guest.exit.detail


def test_an_invented_chain_is_refused_where_a_witness_signs() -> None:
    world = World(trust=Trust.WITNESSED)
    world.started()
    welcomed(world)
    lie = invent(world.network, Forgery(), like=world.chain)
    guest = show(world, "b", lie)
    assert guest.exit is None
    assert {str(refusal.reason) for refusal in guest.refusals} == {Reason.HEADER_UNVOUCHED}
    assert not guest.posts(PostRegister)
    world.hosts["b"].connect()
    world.until(lambda: world.active(guest))


def test_another_document_than_the_chain_names_is_refused_and_asked_for_again() -> None:
    world = World()
    (a,) = world.started()
    lie = invent(world.network, Forgery(), like=world.chain)
    (genuine,) = world.documents.items()
    world.documents[genuine[0]] = lie.bootstrap.document
    b = world.add("b")
    world.rounds(3)
    assert Reason.DOCUMENT_HASH in {str(refusal.reason) for refusal in b.refusals}
    assert not b.posts(PostRegister)
    world.documents[genuine[0]] = genuine[1]
    world.until(lambda: world.active(a, b))
    assert len(b.posts(NeedGenesis)) > 1


def test_garbage_for_the_genesis_document_is_asked_for_again() -> None:
    world = World()
    (a,) = world.started()
    ((name, genuine),) = world.documents.items()
    world.documents[name] = b"garbage"
    b = world.add("b")
    world.rounds(3)
    assert "MalformedInput" in world.hosts["b"].errors[0]
    world.documents[name] = genuine
    world.until(lambda: world.active(a, b))


def test_a_genesis_document_that_nobody_keeps_is_asked_for_until_somebody_does() -> None:
    world = World()
    (a,) = world.started()
    ((name, genuine),) = world.documents.items()
    del world.documents[name]
    b = world.add("b")
    world.rounds(70)
    assert 2 <= len(b.posts(NeedGenesis)) <= 4
    world.documents[name] = genuine
    world.until(lambda: world.active(a, b), limit=60)


def test_the_first_node_is_judged_as_of_its_own_day() -> None:
    world = World()
    world.started("b")
    world.advance(5 * 24 * 3600)
    world.advance(25 * 24 * 3600)
    world.rounds(2)
    c = world.add("c")
    world.until(lambda: world.active(c))


def test_a_first_image_that_was_removed_since_still_vouches_for_the_start() -> None:
    new = registers_for("the next release")
    world = World(images=(IMAGE.measurement_id, new.measurement_id))
    world.started()
    b = world.add("b", machine=Machine(new))
    world.until(lambda: world.active(b))
    world.rounds(4)
    world.contract.do(Remove(IMAGE.measurement_id), owner=True)
    c = world.add("c", machine=Machine(new))
    world.until(lambda: world.active(c))


def test_an_image_allowed_after_the_start_cannot_have_started_the_network() -> None:
    world = World(images=(OTHER_IMAGE.measurement_id,))
    welcomed(world)
    late = Forgery(registers=OTHER_IMAGE)
    lie = invent(world.network, late, like=world.chain)
    lie.contract.do(Propose(IMAGE.measurement_id), owner=True)
    lie.contract.do(Activate(IMAGE.measurement_id))
    record = lie.contract.measurement(OTHER_IMAGE.measurement_id)
    unmarked = replace(record, genesis=False)
    lie.chain.mine(contract_storage.measurement(OTHER_IMAGE.measurement_id, unmarked))
    guest = show(world, "b", lie)
    assert guest.exit is not None
    assert guest.exit.reason is Reason.GENESIS_INVALID
    assert "from the start" in guest.exit.detail
