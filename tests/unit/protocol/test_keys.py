"""The key schedule: against vectors, against an HKDF written here, and against mixed-up contexts."""

import hmac
import itertools
import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.protocol.digests import Domain, digest
from guest.protocol.errors import Refused
from guest.protocol.keys import EpochKeys
from guest.protocol.messages import AppData, Confirm, Handover
from guest.protocol.primitives import (
    SECP256K1_ORDER,
    DecryptionKey,
    require_signer,
    seal,
    secp256k1_address,
)
from guest.protocol.secret import Secret

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "keys.json").read_text())
NETWORK_ID = bytes.fromhex(VECTORS["networkId"])
SECRET = bytes.fromhex(VECTORS["secret"])
DOMAIN = Domain(31337, b"\x11" * 20, test=True)


def epoch(secret: bytes = SECRET, network_id: bytes = NETWORK_ID, number: int = 1) -> EpochKeys:
    return EpochKeys(network_id, number, Secret(secret))


def independent_child(
    network_id: bytes, secret: bytes, label: str, parts: list[bytes], size: int
) -> bytes:
    """The schedule once more, from its description alone: HMAC and hashlib, no library's HKDF."""
    salt = sha256(b"replicatoor/1" + network_id).digest()
    prk = hmac.digest(salt, secret, "sha256")
    info = label.encode() + b"\x00"
    for part in parts:
        info += len(part).to_bytes(4, "big") + part
    block, out = b"", b""
    for counter in range(1, 256):
        if len(out) >= size:
            break
        block = hmac.digest(prk, block + info + bytes([counter]), "sha256")
        out += block
    return out[:size]


def independent_scalar(network_id: bytes, secret: bytes, label: str, parts: list[bytes]) -> bytes:
    uniform = independent_child(network_id, secret, label, parts, 48)
    return (int.from_bytes(uniform, "big") % (SECP256K1_ORDER - 1) + 1).to_bytes(32, "big")


labels = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=12)
contexts = st.lists(st.binary(max_size=12), max_size=3)
words = st.binary(min_size=32, max_size=32)


def test_the_vectors_hold() -> None:
    keys = epoch()
    assert keys.addresses.x_pub.hex() == VECTORS["xPub"]
    assert keys.addresses.app_root.hex() == VECTORS["appRoot"]
    assert keys.fingerprint().hex() == VECTORS["fingerprint"]
    for case in VECTORS["children"]:
        parts = [bytes.fromhex(part) for part in case["parts"]]
        assert keys.child(case["label"], *parts).expose().hex() == case["child32"]
        assert keys.scalar(case["label"], *parts).expose().hex() == case["scalar"]


@given(words, words, labels, contexts, st.integers(1, 200))
def test_finding_553_an_hkdf_written_from_the_description_derives_the_same(
    network_id: bytes, secret: bytes, label: str, parts: list[bytes], size: int
) -> None:
    """No key depends on how a library encodes another key: raw bytes go in, raw bytes come out."""
    keys = epoch(secret, network_id)
    expected = independent_child(network_id, secret, label, parts, size)
    assert keys.child(label, *parts, size=size).expose() == expected
    scalar = independent_scalar(network_id, secret, label, parts)
    assert keys.scalar(label, *parts).expose() == scalar
    assert 1 <= int.from_bytes(scalar, "big") < SECP256K1_ORDER


@settings(max_examples=20)
@given(words, words)
def test_the_addresses_on_the_contract_are_those_of_two_children(
    network_id: bytes, secret: bytes
) -> None:
    keys = epoch(secret, network_id)
    for label, address in (("epoch", keys.addresses.x_pub), ("root_k256", keys.addresses.app_root)):
        scalar = independent_scalar(network_id, secret, label, [])
        assert secp256k1_address(Secret(scalar)) == address


@given(st.tuples(labels, contexts), st.tuples(labels, contexts))
def test_finding_549_two_contexts_never_derive_one_key(
    left: tuple[str, list[bytes]], right: tuple[str, list[bytes]]
) -> None:
    keys = epoch()
    same = keys.child(left[0], *left[1]).matches(keys.child(right[0], *right[1]))
    assert same == (left == right)


def test_finding_549_parts_joined_without_lengths_would_collide_and_do_not() -> None:
    keys = epoch()
    splits: list[tuple[str, tuple[bytes, ...]]] = [
        ("disk", (b"abc",)),
        ("disk", (b"ab", b"c")),
        ("disk", (b"a", b"bc")),
        ("disk", (b"", b"abc")),
        ("disk", (b"abc", b"")),
        ("disk", (b"\0\0\0\3abc",)),
        ("diska", (b"bc",)),
        ("disk", ()),
        ("disk", (b"",)),
        ("disk", (b"", b"")),
    ]
    derived = {keys.child(label, *parts).expose() for label, parts in splits}
    assert len(derived) == len(splits)


def test_finding_549_a_label_cannot_hold_the_byte_that_ends_it() -> None:
    keys = epoch()
    keys.child("a", b"b\0")
    for derive in (keys.child, keys.scalar):
        with pytest.raises(ValueError, match="zero byte"):
            derive("a\0\0\0\0\2b")


LABELS = ("epoch", "root_k256", "root_ca", "tls", "disk", "wrap")


def test_g1_every_purpose_has_a_key_of_its_own() -> None:
    """The original used one value as signing key, KDF key, disk passphrase and replicated secret."""
    keys = epoch()
    values = [keys.child(label).expose() for label in LABELS]
    values += [keys.scalar(label).expose() for label in LABELS]
    values += [SECRET, NETWORK_ID]
    assert len(set(values)) == len(values)
    for one, other in itertools.permutations(values, 2):
        assert one[:8] not in other


def test_g1_the_epoch_key_and_the_app_root_are_two_keys() -> None:
    keys = epoch()
    assert keys.addresses.x_pub != keys.addresses.app_root
    message = AppData(bytes(32))
    signature = keys.sign(DOMAIN, message)
    require_signer(digest(DOMAIN, message), signature, keys.addresses.x_pub)


def test_g1_two_networks_with_one_secret_share_no_key() -> None:
    one, other = epoch(), epoch(network_id=b"\x01" * 32)
    assert one.addresses != other.addresses
    assert one.fingerprint() != other.fingerprint()
    for label in LABELS:
        assert not one.child(label).matches(other.child(label))


def test_a_successor_contract_keeps_every_key() -> None:
    """The salt is the networkId: keys are the same whatever contract a message is signed for."""
    keys = epoch()
    message = Confirm(bytes(20), bytes(32))
    other = Domain(31337, b"\x22" * 20, test=True)
    for domain in (DOMAIN, other):
        require_signer(digest(domain, message), keys.sign(domain, message), keys.addresses.x_pub)
    assert keys.sign(DOMAIN, message) != keys.sign(other, message)


def test_finding_552_a_rotation_changes_every_key() -> None:
    """A key's version is its epoch: each epoch has a secret of its own and so a tree of its own."""
    first, second = epoch(number=1), epoch(b"\x02" * 32, number=2)
    assert (first.epoch, second.epoch) == (1, 2)
    for label in LABELS:
        assert not first.child(label).matches(second.child(label))
        assert not first.scalar(label).matches(second.scalar(label))
    assert first.addresses != second.addresses


def test_finding_552_a_secret_handed_over_for_one_epoch_does_not_open_as_another() -> None:
    receiver = DecryptionKey(Secret(b"\x05" * 96))
    given_as = Handover(bytes(20), b"\x01" * 20, 1, 0, bytes(32))
    info = digest(DOMAIN, given_as)
    ciphertext = seal(Secret(SECRET), receiver.public, info)
    assert receiver.open(ciphertext, info).expose() == SECRET
    for other in (
        Handover(bytes(20), b"\x01" * 20, 2, 0, bytes(32)),
        Handover(bytes(20), b"\x01" * 20, 1, 1, bytes(32)),
        Handover(bytes(20), b"\x02" * 20, 1, 0, bytes(32)),
        Handover(b"\x01" * 20, b"\x01" * 20, 1, 0, bytes(32)),
        Handover(bytes(20), b"\x01" * 20, 1, 0, b"\x01" * 32),
    ):
        with pytest.raises(Refused, match="does not open"):
            receiver.open(ciphertext, digest(DOMAIN, other))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_secret_or_network_id_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        epoch(secret=bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        epoch(network_id=bytes(size))


def test_hkdf_gives_no_more_than_it_has() -> None:
    keys = epoch()
    assert len(keys.child("big", size=8160)) == 8160
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own words
        keys.child("big", size=8161)


def test_the_fingerprint_is_public_and_says_nothing_of_the_secret() -> None:
    keys = epoch()
    assert len(keys.fingerprint()) == 16
    assert keys.fingerprint() == epoch().fingerprint()
    assert keys.fingerprint() != epoch(b"\x09" * 32).fingerprint()
