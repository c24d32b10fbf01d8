"""App keys: dstack's derivations bit for bit, and chains that end at the contract's appRoot."""

import copy
import hashlib
import hmac
import json
import pickle
from pathlib import Path

import pytest
from eth_keys.backends.native import NativeECCBackend
from eth_keys.datatypes import PrivateKey, PublicKey, Signature
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.agent.appkeys import AppKeys, IssuedKey, app_keys
from guest.protocol.digests import Domain, app_id, digest
from guest.protocol.errors import MalformedInput
from guest.protocol.keys import EpochKeys
from guest.protocol.messages import AppData, Confirm
from guest.protocol.primitives import SECP256K1_ORDER
from guest.protocol.secret import Secret

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "dstack-getkey.json").read_text())
NETWORK_ID = b"\x07" * 32
SECRET = b"\x2a" * 32
EPOCH = EpochKeys(NETWORK_ID, 1, Secret(SECRET))
KEYS = app_keys(EPOCH, NETWORK_ID)
texts = st.text(max_size=40)


def public(key: bytes) -> bytes:
    return PrivateKey(key, backend=NativeECCBackend()).public_key.to_compressed_bytes()


def signer(message: bytes, signature: bytes) -> bytes:
    """The compressed key that signed keccak256(message); another implementation than the guest's."""
    parsed = Signature(signature, backend=NativeECCBackend())
    return parsed.recover_public_key_from_msg_hash(keccak(message)).to_compressed_bytes()


def address(compressed: bytes) -> bytes:
    key = PublicKey.from_compressed_bytes(compressed, backend=NativeECCBackend())
    return key.to_canonical_address()


def verify(issued: IssuedKey, purpose: str, network_id: bytes = NETWORK_ID) -> bytes:
    """What a relying party does: walk the chain from the key to the root; return its address."""
    claim = f"{purpose}:{public(issued.key.expose()).hex()}".encode()
    app_root = signer(claim, issued.signature_chain[0])
    statement = b"dstack-kms-issued:" + app_id(network_id) + app_root
    return address(signer(statement, issued.signature_chain[1]))


# --- dstack's own vectors -----------------------------------------------------------------------


def test_the_derivation_meets_dstacks_vector() -> None:
    vector = VECTORS["derivation"]
    keys = AppKeys(Secret(bytes.fromhex(vector["app_k256_key"])), bytes(65))
    key = keys.issue(vector["path"], "").key.expose()
    assert key.hex() == vector["key"]
    assert public(key).hex() == vector["secp256k1_pubkey"]


RESPONSES = VECTORS["chain"]["responses"]


@pytest.mark.parametrize("vector", RESPONSES, ids=lambda vector: repr(vector["path"]))
def test_keys_and_chains_meet_dstacks_vectors(vector: dict[str, object]) -> None:
    source = VECTORS["chain"]
    keys = AppKeys(
        Secret(bytes.fromhex(source["app_k256_key"])), bytes.fromhex(source["k256_signature"])
    )
    issued = keys.issue(str(vector["path"]), str(vector["purpose"]))
    assert issued.key.expose().hex() == vector["key"]
    if vector["algorithm"] == "secp256k1":
        assert [link.hex() for link in issued.signature_chain] == vector["signature_chain"]
        assert signer(str(vector["signed_message_ascii"]).encode(), issued.signature_chain[0]) == (
            bytes.fromhex(source["app_public_key"])
        )


def test_the_root_of_dstacks_chain_recovers_as_published() -> None:
    source = VECTORS["chain"]
    message, signature = (bytes.fromhex(source[n]) for n in ("kms_message_hex", "k256_signature"))
    assert signer(message, signature).hex() == source["recovered_signer_if_app_id_is_attested_one"]


# --- from the epoch's secret to an app's key, once more and by hand ------------------------------


def hkdf(salt: bytes, key: bytes, info: bytes, size: int = 32) -> bytes:
    prk = hmac.digest(salt, key, "sha256")
    first = hmac.digest(prk, info + b"\x01", "sha256")
    return (first + hmac.digest(prk, first + info + b"\x02", "sha256"))[:size]


@settings(max_examples=15)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), texts)
def test_an_app_key_follows_from_the_epochs_secret_by_the_written_formulas(
    network_id: bytes, secret: bytes, path: str
) -> None:
    salt = hashlib.sha256(b"replicatoor/1" + network_id).digest()
    uniform = hkdf(salt, secret, b"root_k256\x00", 48)
    root = (int.from_bytes(uniform, "big") % (SECP256K1_ORDER - 1) + 1).to_bytes(32, "big")
    app = keccak(b"replicatoor/app" + network_id)[12:]
    app_root = hkdf(b"RATLS", root, app + b"app-key")
    keys = EpochKeys(network_id, 1, Secret(secret))
    issued = app_keys(keys, network_id).issue(path, "p")
    assert issued.key.expose() == hkdf(b"RATLS", app_root, path.encode())
    statement = b"dstack-kms-issued:" + app + public(app_root)
    assert signer(statement, issued.signature_chain[1]) == public(root)
    assert address(public(root)) == keys.addresses.app_root


# --- the chain ----------------------------------------------------------------------------------


@settings(max_examples=15)
@given(texts, texts)
def test_every_chain_ends_at_the_app_root_on_the_contract(path: str, purpose: str) -> None:
    assert verify(KEYS.issue(path, purpose), purpose) == EPOCH.addresses.app_root


def test_a_chain_for_another_purpose_network_or_key_ends_elsewhere() -> None:
    issued = KEYS.issue("wallet", "mainnet")
    root = EPOCH.addresses.app_root
    assert verify(issued, "mainnet") == root
    assert verify(issued, "testnet") != root
    assert verify(issued, "mainnet", b"\x08" * 32) != root
    assert verify(IssuedKey(Secret(b"\x01" * 32), issued.signature_chain), "mainnet") != root


def test_every_member_of_the_network_gives_the_same_key_and_chain() -> None:
    other = app_keys(EpochKeys(NETWORK_ID, 1, Secret(SECRET)), NETWORK_ID)
    one, two = KEYS.issue("a", "b"), other.issue("a", "b")
    assert one.key.matches(two.key)
    assert one.signature_chain == two.signature_chain


def test_signatures_are_65_bytes_with_low_s_and_a_bare_recovery_id() -> None:
    for number in range(16):
        for link in KEYS.issue(f"path/{number}", "p").signature_chain:
            assert len(link) == 65
            assert link[64] in (0, 1)
            assert int.from_bytes(link[32:64], "big") <= SECP256K1_ORDER // 2


def test_a_path_alone_decides_the_key_and_the_purpose_only_the_signature() -> None:
    one, other = KEYS.issue("a", "x"), KEYS.issue("a", "y")
    assert one.key.matches(other.key)
    assert one.signature_chain[0] != other.signature_chain[0]
    assert not KEYS.issue("a ", "x").key.matches(one.key)


# --- separation ---------------------------------------------------------------------------------


@given(texts)
def test_no_path_reaches_the_networks_own_keys(path: str) -> None:
    key = KEYS.issue(path, "").key
    for label in ("epoch", "root_k256", "root_ca", "tls", "disk", "wrap"):
        assert not key.matches(EPOCH.scalar(label))
        assert not key.matches(EPOCH.child(label))
    assert not key.matches(KEYS._root)


def test_no_path_gives_the_app_root_key_and_no_issued_key_gives_another() -> None:
    """The app root key derives with the app id in front; from it a path derives one level lower."""
    attempt = KEYS.issue("app-key", "").key
    assert not attempt.matches(KEYS._root)
    below = AppKeys(attempt, bytes(65)).issue("app-key", "").key
    assert not below.matches(KEYS.issue("app-keyapp-key", "").key)


def test_a_purpose_cannot_make_the_app_root_sign_a_message_of_the_protocol() -> None:
    """Its messages end in 66 hexadecimal digits; a typed message is hashed from binary words."""
    typed = digest(Domain(1, bytes(20), test=True), Confirm(bytes(20), bytes(32)))
    for purpose in ("\x19\x01", "\x19\x01" + "\0" * 64, "dstack-kms-issued"):
        issued = KEYS.issue("x", purpose)
        claim = f"{purpose}:{public(issued.key.expose()).hex()}".encode()
        assert keccak(claim) != typed
        assert claim[-66:].decode().strip("0123456789abcdef") == ""
        assert signer(claim, issued.signature_chain[0]) == public(KEYS._root.expose())
    assert EPOCH.sign(Domain(1, bytes(20), test=True), AppData(bytes(32)))[64] in (27, 28)


def test_a_rotation_gives_apps_other_keys_under_another_root() -> None:
    rotated = EpochKeys(NETWORK_ID, 2, Secret(b"\x2b" * 32))
    issued = app_keys(rotated, NETWORK_ID).issue("a", "p")
    assert not issued.key.matches(KEYS.issue("a", "p").key)
    assert verify(issued, "p") == rotated.addresses.app_root != EPOCH.addresses.app_root


@pytest.mark.parametrize(("path", "purpose"), [("\ud800", ""), ("", "\udfff"), ("a\ud834b", "")])
def test_text_that_is_not_unicode_is_refused(path: str, purpose: str) -> None:
    with pytest.raises(MalformedInput, match="Unicode"):
        KEYS.issue(path, purpose)


def test_the_holder_of_the_app_root_key_has_no_voice() -> None:
    assert repr(KEYS) == "AppKeys(...)"
    assert "Secret(...)" in repr(KEYS.issue("a", "b"))
    for use in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps, vars):
        with pytest.raises(TypeError):
            use(KEYS)  # type: ignore[operator]


def test_deriving_leaves_the_epochs_keys_as_they_are_and_wiping_ends_the_app() -> None:
    keys = app_keys(EPOCH, NETWORK_ID)
    before = keys.issue("a", "b").key
    keys.wipe()
    with pytest.raises(ValueError, match="wiped"):
        keys.issue("a", "b")
    assert app_keys(EPOCH, NETWORK_ID).issue("a", "b").key.matches(before)
