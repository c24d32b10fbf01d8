"""Every digest against its vectors, against an independent EIP-712, and against look-alikes."""

# ruff: noqa: ANN401 - messages of every kind, as plain values, for an implementation without types

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode as abi_encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.protocol import digests, messages
from guest.protocol.digests import Domain
from guest.protocol.primitives import sign_digest
from guest.protocol.secret import Secret
from tests.unit.protocol.wire_strategies import records

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "digests.json").read_text())
DOMAIN = Domain(31337, bytes.fromhex(VECTORS["contract"][2:]), test=True)
KINDS: tuple[type, ...] = tuple(digests._TYPES)
SIGNED = tuple(kind for kind in KINDS if kind not in (messages.OnboardEntry, messages.Witness))
signed_kinds = pytest.mark.parametrize("kind", SIGNED, ids=lambda kind: kind.__name__)


def unhex(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def any_message(kind: type) -> st.SearchStrategy[Any]:
    """Messages with fields over the whole of their range; batches of up to five entries."""
    if kind is not messages.OnboardBatch:
        return records(kind)
    words = st.binary(min_size=32, max_size=32)
    return st.builds(
        messages.OnboardBatch,
        st.binary(min_size=20, max_size=20),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
        words,
        st.lists(records(messages.OnboardEntry), max_size=5).map(tuple),
    )


# --- an independent EIP-712, from the type texts of the protocol's own specification ------------

SPECIFIED = {
    messages.Register: "address node,bytes32 encPub,bytes32 measurementId,uint64 anchorNumber,"
    "bytes32 anchorHash",
    messages.RegisterTx: "bytes32 registerDigest,bytes32 documentHash",
    messages.Bootstrap: "address node,bytes32 encPub,bytes32 measurementId,uint64 anchorNumber,"
    "bytes32 anchorHash,address xPub,address appRoot",
    messages.Handover: "address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment",
    messages.Onboard: "address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment,"
    "uint64 viewNumber,bytes32 viewHash,bytes32 ciphertextHash",
    messages.OnboardBatch: "address by,uint32 epoch,uint64 viewNumber,bytes32 viewHash,"
    "OnboardEntry[] entries",
    messages.OnboardEntry: "address node,uint8 attempt,bytes32 commitment,bytes32 ciphertextHash",
    messages.Confirm: "address node,bytes32 handover",
    messages.Reject: "address node,bytes32 handover,uint8 reason,uint64 viewNumber,bytes32 viewHash",
    messages.Renew: "address node,uint64 viewNumber,bytes32 viewHash",
    messages.Leave: "address node,bytes32 commitment",
    messages.AppData: "bytes32 appData",
    messages.Witness: "uint64 number,bytes32 hash,uint64 finalizedNumber,bytes32 finalizedHash",
}


def members(kind: type) -> list[dict[str, str]]:
    pairs = [member.split(" ") for member in SPECIFIED[kind].split(",")]
    return [{"name": name, "type": of} for of, name in pairs]


def plain(message: Any) -> dict[str, Any]:
    """The message under Solidity's member names, as the other implementation wants it."""
    values = [getattr(message, field.name) for field in fields(message)]
    return {
        member["name"]: [plain(entry) for entry in value] if isinstance(value, tuple) else value
        for member, value in zip(members(type(message)), values, strict=True)
    }


def oracle_digest(message: Any, domain: dict[str, Any]) -> bytes:
    name = type(message).__name__
    kinds = {name: members(type(message))}
    if name == "OnboardBatch":
        kinds["OnboardEntry"] = members(messages.OnboardEntry)
    signable = encode_typed_data(domain, kinds, plain(message))
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def oracle_domain(domain: Domain) -> dict[str, Any]:
    return {
        "name": "Replicatoor TEST" if domain.test else "Replicatoor",
        "version": "1",
        "chainId": domain.chain_id,
        "verifyingContract": "0x" + domain.contract.hex(),
    }


def test_the_specification_here_covers_every_message() -> None:
    assert set(SPECIFIED) == set(KINDS)


@signed_kinds
@settings(max_examples=25)
@given(data=st.data())
def test_an_independent_eip_712_makes_the_same_digest(kind: type, data: st.DataObject) -> None:
    message = data.draw(any_message(kind))
    domain = Domain(
        data.draw(st.integers(0, 2**256 - 1)),
        data.draw(st.binary(min_size=20, max_size=20)),
        test=data.draw(st.booleans()),
    )
    assert digests.digest(domain, message) == oracle_digest(message, oracle_domain(domain))


@settings(max_examples=25)
@given(records(messages.Witness), st.integers(1, 2**64))
def test_an_independent_eip_712_makes_the_same_witness_digest(
    statement: messages.Witness, chain_id: int
) -> None:
    domain = {"name": "Replicatoor witness", "version": "1", "chainId": chain_id}
    assert digests.witness_digest(chain_id, statement) == oracle_digest(statement, domain)


# --- vectors ------------------------------------------------------------------------------------

NAMED = {
    "register": messages.Register,
    "registerTx": messages.RegisterTx,
    "bootstrap": messages.Bootstrap,
    "handover": messages.Handover,
    "onboard": messages.Onboard,
    "onboardBatch": messages.OnboardBatch,
    "confirm": messages.Confirm,
    "reject": messages.Reject,
    "renew": messages.Renew,
    "leave": messages.Leave,
    "appData": messages.AppData,
}


def from_vector(kind: type, content: dict[str, Any]) -> Any:
    def value(member: dict[str, str]) -> Any:
        raw = content[member["name"]]
        if isinstance(raw, list):
            return tuple(from_vector(messages.OnboardEntry, entry) for entry in raw)
        return unhex(raw) if isinstance(raw, str) else raw

    return kind(*[value(member) for member in members(kind)])


@pytest.mark.parametrize(("name", "kind"), NAMED.items(), ids=NAMED)
def test_the_shared_vectors_hold(name: str, kind: type) -> None:
    vector = VECTORS[name]
    message = from_vector(kind, vector)
    digest = digests.digest(DOMAIN, message)
    assert digests.struct_hash(message) == unhex(vector["structHash"])
    assert digest == unhex(vector["digest"])
    assert sign_digest(Secret(unhex(VECTORS["signerKey"])), digest) == unhex(vector["signature"])
    recovered = Account._recover_hash(digest, signature=unhex(vector["signature"]))
    assert unhex(recovered.lower()) == unhex(VECTORS["signer"])


def test_the_vectors_name_every_signed_message() -> None:
    assert set(NAMED.values()) == set(SIGNED)


def test_the_shared_vectors_of_everything_else_hold() -> None:
    assert DOMAIN.separator == unhex(VECTORS["domainSeparator"])
    real = Domain(VECTORS["realChainId"], DOMAIN.contract, test=False)
    assert real.separator == unhex(VECTORS["realDomainSeparator"])
    network_id = unhex(VECTORS["networkId"])
    assert digests.app_id(network_id) == unhex(VECTORS["appId"])
    assert digests.app_id(network_id) == keccak(b"replicatoor/app" + network_id)[-20:]
    handover = from_vector(messages.Handover, VECTORS["handover"])
    named = VECTORS["handoverId"]
    identifier = digests.handover_id(DOMAIN, handover, unhex(named["ciphertextHash"]))
    assert identifier == unhex(named["id"])
    statement = from_vector(messages.Witness, VECTORS["witness"])
    assert digests.witness_digest(31337, statement) == unhex(VECTORS["witness"]["digest"])


# --- separation ---------------------------------------------------------------------------------


@signed_kinds
@settings(max_examples=20)
@given(data=st.data())
def test_k4_a_signature_counts_on_one_chain_one_contract_and_one_kind_of_network(
    kind: type, data: st.DataObject
) -> None:
    message = data.draw(any_message(kind))
    others = [
        Domain(1, DOMAIN.contract, test=True),
        Domain(11155111, DOMAIN.contract, test=True),
        Domain(31337, bytes(19) + b"\x01", test=True),
        Domain(31337, DOMAIN.contract, test=False),
    ]
    assert len({digests.digest(domain, message) for domain in [DOMAIN, *others]}) == 5


@signed_kinds
@settings(max_examples=40)
@given(data=st.data())
def test_finding_554_two_messages_with_one_digest_are_one_message(
    kind: type, data: st.DataObject
) -> None:
    """Every field counts: a change of any single one changes the digest."""
    message = data.draw(any_message(kind))
    other = data.draw(any_message(kind))
    same = digests.digest(DOMAIN, message) == digests.digest(DOMAIN, other)
    assert same == (message == other)
    for field in fields(kind):
        changed = replace(message, **{field.name: getattr(other, field.name)})
        same = digests.digest(DOMAIN, message) == digests.digest(DOMAIN, changed)
        assert same == (message == changed)


def test_g3_bytes_cannot_move_from_one_field_into_the_next() -> None:
    """The original hashed tag and data joined: ("ab", "cd") and ("abcd", "") were one message."""
    zeros, ones = bytes(32), b"\x01" * 32
    pairs = [
        (messages.Leave(b"\x01" * 20, zeros), messages.Leave(bytes(20), ones)),
        (messages.RegisterTx(zeros, ones), messages.RegisterTx(ones, zeros)),
    ]
    for left, right in pairs:
        assert digests.digest(DOMAIN, left) != digests.digest(DOMAIN, right)


def test_g3_messages_with_equal_fields_and_other_types_differ() -> None:
    node, word = b"\x11" * 20, b"\x22" * 32
    confirm, leave = messages.Confirm(node, word), messages.Leave(node, word)
    assert digests.struct_hash(confirm) != digests.struct_hash(leave)
    assert digests.digest(DOMAIN, confirm) != digests.digest(DOMAIN, leave)
    assert len(set(digests._TYPE_HASHES.values())) == len(KINDS)


def entry(number: int) -> messages.OnboardEntry:
    return messages.OnboardEntry(bytes([number]) * 20, number, bytes(32), bytes(32))


def test_the_entries_of_a_batch_count_by_order_and_number() -> None:
    def batch(*entries: messages.OnboardEntry) -> bytes:
        return digests.digest(DOMAIN, messages.OnboardBatch(bytes(20), 1, 2, bytes(32), entries))

    one, two = entry(1), entry(2)
    batches = [(), (one,), (two,), (one, two), (two, one), (one, one), (one, two, two)]
    assert len({batch(*entries) for entries in batches}) == len(batches)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=10)
@given(data=st.data())
def test_findings_549_and_1268_a_value_is_never_padded_to_fit(
    kind: type, data: st.DataObject
) -> None:
    """A 20-byte hash in a 32-byte field would equal the hash that begins with twelve zeros."""
    message = data.draw(any_message(kind))
    for field, member in zip(fields(kind), members(kind), strict=True):
        wrong: list[Any] = {
            "address": [b"", bytes(19), bytes(21), bytes(32), 0],
            "bytes32": [b"", bytes(20), bytes(31), bytes(33), 0],
            "OnboardEntry[]": [bytes(32), 0],
        }.get(member["type"], [])
        if bits := re.fullmatch(r"uint(\d+)", member["type"]):
            wrong = [-1, 2 ** int(bits[1]), bytes(20), bytes(32), ()]
        assert wrong
        for value in wrong:
            with pytest.raises(ValueError, match="does not fit its type"):
                digests.struct_hash(replace(message, **{field.name: value}))


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_finding_1268_network_ids_and_hashes_have_one_length(size: int) -> None:
    handover = messages.Handover(bytes(20), bytes(20), 1, 0, bytes(32))
    for use in (
        digests.app_id,
        lambda value: digests.handover_id(DOMAIN, handover, value),
    ):
        with pytest.raises(ValueError, match="does not fit its type"):
            use(bytes(size))
    with pytest.raises(ValueError, match="does not fit its type"):
        _ = Domain(1, bytes(size + 1), test=True).separator


# --- derived names ------------------------------------------------------------------------------

registers = st.binary(min_size=48, max_size=48)


@given(st.integers(0, 2**32 - 1), registers, registers, registers, registers)
def test_the_measurement_id_is_what_solidity_would_hash(
    tee_type: int, mrtd: bytes, rtmr0: bytes, rtmr1: bytes, rtmr2: bytes
) -> None:
    types = ["uint16", "uint32", "bytes", "bytes", "bytes", "bytes"]
    encoded = abi_encode(types, [1, tee_type, mrtd, rtmr0, rtmr1, rtmr2])
    assert digests.measurement_id(tee_type, mrtd, rtmr0, rtmr1, rtmr2) == keccak(encoded)


def test_every_register_counts_in_the_measurement_id() -> None:
    base = [bytes([i]) * 48 for i in range(4)]
    ids = {digests.measurement_id(0x81, *base), digests.measurement_id(0x82, *base)}
    for i in range(4):
        ids.add(digests.measurement_id(0x81, *base[:i], b"\xff" * 48, *base[i + 1 :]))
        if i:
            swapped = [*base[: i - 1], base[i], base[i - 1], *base[i + 1 :]]
            ids.add(digests.measurement_id(0x81, *swapped))
    assert len(ids) == 2 + 4 + 3


@pytest.mark.parametrize("size", [0, 47, 49, 96])
def test_a_register_of_another_length_has_no_measurement_id(size: int) -> None:
    good = bytes(48)
    for i in range(4):
        wrong = [bytes(size) if j == i else good for j in range(4)]
        with pytest.raises(ValueError, match="48 bytes"):
            digests.measurement_id(0x81, *wrong)


@given(records(messages.Handover), st.binary(min_size=32, max_size=32), st.data())
def test_a_hand_overs_name_survives_a_re_signing_under_another_view(
    handover: messages.Handover, ciphertext_hash: bytes, data: st.DataObject
) -> None:
    """H is made from the hand-over and the ciphertext; the view is in Onboard's digest alone."""
    views = [(1, bytes(32)), (data.draw(st.integers(2, 2**64 - 1)), b"\x07" * 32)]
    onboards = [
        messages.Onboard(
            handover.node,
            handover.by,
            handover.epoch,
            handover.attempt,
            handover.commitment,
            *view,
            ciphertext_hash,
        )
        for view in views
    ]
    assert digests.digest(DOMAIN, onboards[0]) != digests.digest(DOMAIN, onboards[1])
    names = {
        digests.handover_id(
            DOMAIN,
            messages.Handover(o.node, o.by, o.epoch, o.attempt, o.commitment),
            o.ciphertext_hash,
        )
        for o in onboards
    }
    inner = abi_encode(["bytes32", "bytes32"], [digests.digest(DOMAIN, handover), ciphertext_hash])
    assert names == {keccak(inner)}


def test_report_data_is_the_digest_and_a_tag_of_its_own() -> None:
    register = from_vector(messages.Register, VECTORS["register"])
    bootstrap = from_vector(messages.Bootstrap, VECTORS["bootstrap"])
    join, birth = digests.report_data(DOMAIN, register), digests.report_data(DOMAIN, bootstrap)
    assert join == unhex(VECTORS["register"]["digest"]) + keccak(b"replicatoor/register/1")
    assert birth == unhex(VECTORS["bootstrap"]["digest"]) + keccak(b"replicatoor/bootstrap/1")
    assert {join[32:], birth[32:]} == digests.RESERVED_TAGS


def test_the_commitment_binds_the_document() -> None:
    register = messages.RegisterTx(bytes(32), bytes(32))
    other = messages.RegisterTx(bytes(32), b"\x01" * 32)
    assert digests.commitment(register) == digests.struct_hash(register)
    assert digests.commitment(register) != digests.commitment(other)


def test_turns_rank_every_member_differently_at_each_attempt() -> None:
    people = [bytes([i]) * 20 for i in range(8)]
    orders = {
        tuple(sorted(people, key=lambda member: digests.turn(seed, attempt, member)))
        for seed in range(4)
        for attempt in range(4)
    }
    assert len(orders) > 12
