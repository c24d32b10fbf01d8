"""Each invariant sees its violation: planted here one by one in a world that is otherwise well."""

from dataclasses import replace

import pytest

from guest.core.effects import Exit, OpenApps, Say
from guest.core.events import Ticked
from guest.core.member import Member
from guest.protocol.errors import Reason
from guest.protocol.keys import EpochKeys
from guest.protocol.link import PostConfirm, PostOnboards, PostRegister, PostRenew, Report
from guest.protocol.messages import Confirm, Renew
from guest.protocol.network import Trust
from guest.protocol.secret import Secret
from tests.fakes.adversary import Forger, Forgery
from tests.model.invariants import Watch
from tests.model.test_network import Network, WitnessedNetwork
from tests.model.world import World


@pytest.fixture
def world() -> World:
    made = World(finality=10)
    made.started("b")
    return made


def judged(world: World) -> None:
    Watch(world).check()


def test_a_world_that_is_well_passes(world: World) -> None:
    judged(world)


def test_a_secret_in_a_frame_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    assert a.apps is not None
    leak = Report("active", "x", bytes(20), 1, bytes(20), a.apps.secret.expose()[:32])
    with pytest.raises(AssertionError, match="left the guest"):
        a._perform(Say(leak), Ticked(a.clock.now))


def test_an_epoch_key_in_the_history_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    assert a.apps is not None
    text = a.apps.scalar("epoch").expose().hex()
    leak = Report("active", text, bytes(20), 1, bytes(20), b"")
    with pytest.raises(AssertionError):
        world.canaries.require_absent(b"", text)
    a.canaries.require_absent(b"", leak.state)


def test_a_hand_over_to_a_forged_machine_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    post = a.posts(PostOnboards)[-1]
    forged = Forger(world.network).registration(world.chain.head, 1_800_000_000, Forgery())
    item = replace(post.items[0], node=forged.message.node)
    a.all_said.append(replace(post, items=(item,)))
    with pytest.raises(AssertionError, match="no guest of ours"):
        judged(world)


def test_a_hand_over_under_an_invented_block_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    a.all_said.append(replace(a.posts(PostOnboards)[-1], view_hash=b"\x01" * 32))
    with pytest.raises(AssertionError, match="never was"):
        judged(world)


def test_a_hand_over_before_the_member_is_final_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    early = world.chain.blocks[world.contract.genesis().block]
    post = replace(a.posts(PostOnboards)[-1], view_number=early.number, view_hash=early.hash)
    a.all_said.append(post)
    with pytest.raises(AssertionError, match="before it was final"):
        judged(world)


def test_a_confirmation_by_another_epoch_key_is_seen(world: World) -> None:
    b = world.hosts["b"].guest
    post = b.posts(PostConfirm)[-1]
    b.all_said.append(replace(post, epoch_signature=post.node_signature))
    with pytest.raises(Exception, match="signed by another key"):
        judged(world)


def test_keys_of_two_registrations_are_seen(world: World) -> None:
    b = world.hosts["b"].guest
    (post,) = b.posts(PostRegister)
    b.all_said.append(replace(post, key="register/again"))
    with pytest.raises(AssertionError, match="second registration"):
        judged(world)


def test_a_renewal_under_an_invented_block_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    phase = a.node._phase
    assert isinstance(phase, Member)
    message = Renew(a.address, 7, b"\x02" * 32)
    signature = phase._identity.sign(world.network.domain, message)
    a.all_said.append(PostRenew("renew/x", False, a.address, 7, b"\x02" * 32, signature))
    with pytest.raises(AssertionError, match="never was"):
        judged(world)


def test_a_confirmation_of_what_storage_never_named_is_seen(world: World) -> None:
    b = world.hosts["b"].guest
    phase = b.node._phase
    assert isinstance(phase, Member)
    message = Confirm(b.address, b"\x03" * 32)
    mine = phase._identity.sign(world.network.domain, message)
    theirs = phase._keys.sign(world.network.domain, message)
    b.all_said.append(PostConfirm("confirm/x", b.address, message.handover, mine, theirs))
    with pytest.raises(AssertionError, match="never named"):
        judged(world)


def test_a_second_ciphertext_is_seen(world: World) -> None:
    a = world.hosts["founder"].guest
    post = a.posts(PostOnboards)[-1]
    a.all_said.append(replace(post, items=(replace(post.items[0], ciphertext=bytes(1168)),)))
    with pytest.raises(AssertionError, match="second ciphertext"):
        judged(world)


def test_two_winners_of_one_attempt_are_seen(world: World) -> None:
    (won,) = [log for log in world.contract.log.values() if "Onboarded" in repr(log)]
    world.contract.log[world.chain.head.hash] = won
    with pytest.raises(AssertionError):
        judged(world)


def test_two_secrets_are_seen(world: World) -> None:
    phase = world.hosts["b"].guest.node._phase
    assert isinstance(phase, Member)
    phase._keys = EpochKeys(world.network.network_id, 1, Secret(b"\x09" * 32))
    with pytest.raises(AssertionError):
        judged(world)


def test_a_wiped_member_is_seen(world: World) -> None:
    phase = world.hosts["b"].guest.node._phase
    assert isinstance(phase, Member)
    phase._keys.wipe()
    with pytest.raises(AssertionError, match="wiped"):
        judged(world)


def test_a_host_that_stops_a_guest_for_good_is_seen(world: World) -> None:
    world.hosts["b"].guest.exit = Exit(Reason.GENESIS_INVALID, "", rejoin=False)
    with pytest.raises(AssertionError):
        judged(world)


def test_apps_before_the_seal_are_seen(world: World) -> None:
    b = world.hosts["b"].guest
    keys, b.apps = b.apps, None
    assert keys is not None
    b.machine.reboot()
    with pytest.raises(AssertionError, match="before the seal"):
        b._perform(OpenApps(keys), Ticked(b.clock.now))
    b.apps = keys
    with pytest.raises(AssertionError):
        judged(world)


@pytest.mark.parametrize("kind", [Network, WitnessedNetwork])
def test_a_guest_that_never_joins_is_seen(kind: type[Network]) -> None:
    machine = kind()
    machine.start(started=True)
    stuck = machine.world.hosts["c"].guest
    stuck.handle = lambda _: ()  # type: ignore[method-assign, assignment]
    with pytest.raises(AssertionError, match="not Active"):
        machine.hosts_turn_honest()
    assert machine.world.network.trust is (
        Trust.WITNESSED if kind is WitnessedNetwork else Trust.UNVERIFIED
    )
