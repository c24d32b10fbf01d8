"""Whom a member turns away, and by which reason; whose image is out; what a member is that is out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from guest.chain.layout import Status
from guest.core.effects import SEAL_EVENT
from guest.evidence import collateral as collateral_format
from guest.evidence import eventlog
from guest.evidence.collateral import from_json
from guest.protocol import document as document_format
from guest.protocol.digests import BOOTSTRAP_TAG, REGISTER_TAG, Domain, digest, document_hash
from guest.protocol.document import UnverifiedDocument
from guest.protocol.errors import Reason
from guest.protocol.link import Newcomer, PostOnboards, PostRegister, Turned
from guest.protocol.messages import Register, RegisterTx
from host.devplatform.registers import registers_for
from host.devplatform.tcbdata import Scenario
from tests.fakes.adversary import OTHER_IMAGE, Forger, Forgery
from tests.fakes.fake_chain import Block
from tests.fakes.guest_shell import IMAGE, GuestShell, Machine
from tests.fakes.key_manager import Activate, Expire, Propose, Remove, Revoke
from tests.model.world import World

DAY = 24 * 3600
HOUR = 3600
DATA = Path(__file__).parents[2] / "data" / "dcap"
SEALED = eventlog.extended(bytes(48), eventlog.Event(SEAL_EVENT, b"").digest())
SEAL_LOG = eventlog.encode((eventlog.Event(SEAL_EVENT, b""),))

FORGERIES = {
    "a debug machine": (Forgery(td_attributes=1 << 28 | 1), Reason.QUOTE_DEBUG),
    "other attributes": (Forgery(td_attributes=0), Reason.QUOTE_ATTRIBUTES),
    "an app's quote": (Forgery(rtmr3=SEALED, event_log=SEAL_LOG), Reason.QUOTE_RTMR3),
    "an app's quote, log hidden": (Forgery(rtmr3=SEALED), Reason.QUOTE_RTMR3),
    "a log without a register": (Forgery(event_log=SEAL_LOG), Reason.QUOTE_EVENT_LOG),
    "another image under the right name": (
        Forgery(registers=OTHER_IMAGE, claimed_image=IMAGE.measurement_id),
        Reason.QUOTE_MEASUREMENT,
    ),
    "report data of something else": (Forgery(report_data=b"\x01" * 64), Reason.QUOTE_REPORT_DATA),
    "another encryption key": (Forgery(other_key=True), Reason.DOCUMENT_MESSAGE),
    "a quote that was changed": (Forgery(tamper=True), Reason.QUOTE_INVALID),
    "old collateral": (Forgery(collateral_age=8 * DAY), Reason.QUOTE_COLLATERAL_OLD),
    "a key that is none": (Forgery(broken_key=True), Reason.DOCUMENT_MESSAGE),
}


def deep_block(world: World) -> Block:
    """Return an anchor as deep as a newcomer takes it, which no reorg of ours reaches."""
    blocks = world.chain.blocks
    return blocks[max(0, len(blocks) - 9)]


def offered(world: World, register: PostRegister, document: bytes) -> None:
    """Put a registration on the chain and its document before the founder."""
    world.contract.do(register)
    world.hosts["founder"].tell(Newcomer(document))
    world.talk()


def turned(guest: GuestShell) -> list[tuple[str, bool]]:
    return [(turn.reason, turn.final) for turn in guest.posts(Turned)]


@pytest.mark.parametrize("name", sorted(FORGERIES))
def test_a_member_gives_nothing_for(name: str) -> None:
    forgery, reason = FORGERIES[name]
    world = World()
    (a,) = world.started()
    anchor, now = deep_block(world), world.chain.head.timestamp
    register = Forger(world.network).registration(anchor, now, forgery)
    offered(world, register, register.document)
    assert world.contract.node(register.message.node).status is Status.PENDING
    assert turned(a) == [(reason, True)]
    assert not a.posts(PostOnboards)


def test_a_good_document_of_the_same_forger_would_have_been_answered() -> None:
    world = World()
    (a,) = world.started()
    anchor, now = deep_block(world), world.chain.head.timestamp
    register = Forger(world.network).registration(anchor, now, Forgery())
    offered(world, register, register.document)
    assert len(a.posts(PostOnboards)) == 1


def _other_reports() -> dict[str, Callable[[Domain, Register], bytes]]:
    """Report data of a perfect claim for something else: 64 bytes from our domain and the claim."""
    return {
        "a bootstrap": lambda domain, claim: digest(domain, claim) + BOOTSTRAP_TAG,
        "another deployment (G5)": lambda domain, claim: (
            digest(replace(domain, contract=b"\x99" * 20), claim) + REGISTER_TAG
        ),
        "another chain (G5)": lambda domain, claim: (
            digest(replace(domain, chain_id=5), claim) + REGISTER_TAG
        ),
    }


@pytest.mark.parametrize("what", sorted(_other_reports()))
def test_g5_a_quote_made_for_something_else_admits_nobody(what: str) -> None:
    world = World()
    (a,) = world.started()
    forger = Forger(world.network)
    anchor, now = deep_block(world), world.chain.head.timestamp
    claim = forger.registration(anchor, now, Forgery())
    forgery = Forgery(report_data=_other_reports()[what](world.network.domain, claim.message))
    identity = forger.made[0]
    document = forger.document(claim.message, identity.decryption_key.public, now, forgery)
    signed = RegisterTx(digest(world.network.domain, claim.message), document_hash(document))
    signature = identity.sign(world.network.domain, signed)
    offered(world, PostRegister(claim.key, claim.message, signature, document), document)
    assert turned(a) == [(Reason.QUOTE_REPORT_DATA, True)]


def test_a_genuine_quote_of_another_root_admits_nobody_to_a_test_network() -> None:
    world = World()
    (a,) = world.started()
    forger = Forger(world.network)
    identity = forger.identity()
    public = identity.decryption_key.public
    anchor = deep_block(world)
    message = Register(
        identity.address,
        identity.encryption_key_hash,
        IMAGE.measurement_id,
        anchor.number,
        anchor.hash,
    )
    document = document_format.encode(
        UnverifiedDocument(
            version=document_format.VERSION,
            register=message,
            bootstrap=None,
            encryption_key=public,
            quote=(DATA / "tdx_quote").read_bytes(),
            event_log=b"\xc0",
            collateral=_intel_collateral(),
        )
    )
    signed = RegisterTx(digest(world.network.domain, message), document_hash(document))
    signature = identity.sign(world.network.domain, signed)
    offered(world, PostRegister("register/x", message, signature, document), document)
    assert turned(a) == [(Reason.QUOTE_WRONG_ROOT, True)]


def test_a_document_that_the_chain_does_not_name_admits_nobody() -> None:
    world = World()
    (a,) = world.started()
    forger = Forger(world.network)
    anchor, now = deep_block(world), world.chain.head.timestamp
    good = forger.registration(anchor, now, Forgery())
    public = forger.made[0].decryption_key.public
    other = forger.document(good.message, public, now - 1800, Forgery(collateral_age=7200))
    assert other != good.document
    offered(world, good, other)
    assert turned(a) == [(Reason.COMMITMENT, True)]
    world.hosts["founder"].tell(Newcomer(good.document))
    world.talk()
    assert len(a.posts(PostOnboards)) == 1


@pytest.mark.parametrize("end", [Revoke, Expire])
def test_a_registration_that_is_over_is_given_nothing(end: type[Revoke | Expire]) -> None:
    world = World()
    (a,) = world.started()
    anchor, now = world.chain.blocks[-3], world.chain.head.timestamp
    register = Forger(world.network).registration(anchor, now, Forgery())
    world.contract.do(register)
    world.hosts["founder"].up = False
    world.advance(HOUR + 100)
    world.hosts["founder"].up = True
    world.contract.do(end(register.message.node), owner=True)
    world.hosts["founder"].tell(Newcomer(register.document))
    world.talk()
    assert turned(a) == [(Reason.NOT_PENDING, False)]
    assert not a.posts(PostOnboards)


def test_a_registration_past_its_hour_is_given_nothing_before_anyone_expires_it() -> None:
    world = World()
    (a,) = world.started()
    anchor, now = world.chain.blocks[-3], world.chain.head.timestamp
    register = Forger(world.network).registration(anchor, now, Forgery())
    world.contract.do(register)
    world.hosts["founder"].up = False
    world.advance(HOUR + 100)
    world.hosts["founder"].up = True
    world.hosts["founder"].tell(Newcomer(register.document))
    world.talk()
    assert world.contract.node(register.message.node).status is Status.PENDING
    assert turned(a) == [(Reason.REGISTRATION_EXPIRED, True)]
    assert not a.posts(PostOnboards)


def test_a_newcomer_signs_nothing_whose_own_evidence_would_be_refused() -> None:
    world = World()
    world.started()
    world.scenario = Scenario(status="OutOfDate")
    b = world.add("b")
    world.rounds(3)
    assert not b.posts(PostRegister)
    assert Reason.QUOTE_TCB_STATUS in {str(refusal.reason) for refusal in b.refusals}
    world.scenario = Scenario()
    world.until(lambda: world.active(b))


def test_bytes_that_are_no_document_leave_the_member_as_it_was() -> None:
    world = World()
    (a,) = world.started()
    host = world.hosts["founder"]
    for garbage in (b"", b"\xc0", b"\x00" * 100, a.node._context.network.attestation_root):
        host.tell(Newcomer(garbage))
        assert host.errors.pop().startswith("MalformedInput")
    assert world.documents
    bootstrap = next(iter(world.documents.values()))
    host.tell(Newcomer(bootstrap))
    assert "document-message" in host.errors.pop()


# --- images -------------------------------------------------------------------------------------


def test_a_removed_image_neither_receives_nor_gives() -> None:
    old = Machine(registers_for("an image with a hole"))
    world = World(images=(IMAGE.measurement_id, old.registers.measurement_id), finality=12)
    world.add("founder", bootstrap=True, machine=old)
    founder = world.hosts["founder"].guest
    world.until(lambda: world.active(founder))
    world.rounds(14)
    world.contract.do(Remove(old.registers.measurement_id), owner=True)
    final = world.chain.finalised
    assert world.contract.measurement(old.registers.measurement_id).removed_at > final.timestamp
    b = world.add("b")
    world.until(lambda: world.status(b) is Status.PENDING)
    world.rounds(6)
    assert founder.closed_for == Reason.MEASUREMENT_NOT_ALLOWED
    assert not founder.posts(PostOnboards)
    assert founder.exit is None


def test_an_image_removed_after_the_registration_receives_nothing() -> None:
    bad = Machine(registers_for("an image with a hole"))
    world = World(images=(IMAGE.measurement_id, bad.registers.measurement_id), finality=12)
    (a,) = world.started()
    world.hosts["founder"].disconnect()
    b = world.add("b", machine=bad)
    world.until(lambda: world.status(b) is Status.PENDING)
    world.contract.do(Remove(bad.registers.measurement_id), owner=True)
    world.hosts["founder"].connect()
    world.rounds(8)
    assert world.status(b) is Status.PENDING
    assert not a.posts(PostOnboards)


def test_a_new_image_receives_only_once_its_permission_is_final() -> None:
    new = Machine(registers_for("the next release"))
    world = World(finality=12)
    (a,) = world.started()
    world.contract.do(Propose(new.registers.measurement_id), owner=True)
    world.contract.do(Activate(new.registers.measurement_id))
    allowed_at = world.chain.head.number
    b = world.add("b", machine=new)
    world.until(lambda: world.status(b) is Status.PENDING)
    world.rounds(3)
    assert world.chain.finalised.number < allowed_at
    assert not a.posts(PostOnboards)
    world.until(lambda: world.active(b))
    assert world.chain.finalised.number >= allowed_at


def test_a_newcomer_of_an_image_that_nobody_allowed_registers_nothing() -> None:
    world = World()
    world.started()
    b = world.add("b", machine=Machine(OTHER_IMAGE))
    world.rounds(5)
    assert not b.posts(PostRegister)
    assert b.exit is None


def test_a_member_whose_image_is_out_does_not_ask_for_a_renewal_again_and_again() -> None:
    world = World()
    (a,) = world.started()
    world.contract.do(Remove(IMAGE.measurement_id), owner=True)
    world.advance(4 * DAY)
    world.rounds(5)
    assert a.apps is None
    assert [m for m in a.all_said if type(m).__name__ == "PostRenew"] == []


def _intel_collateral() -> bytes:
    text = (DATA / "tdx_quote_collateral.json").read_text()
    content = json.loads(text)
    content.pop("pck_certificate_chain", None)
    return collateral_format.encode(from_json(json.dumps(content).encode()))
