"""The low-level calls against published vectors, other implementations, and forgers."""

import hashlib
import hmac

import pytest
from eth_keys.backends.native import NativeECCBackend
from eth_keys.datatypes import PrivateKey
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.protocol.errors import MalformedInput, Reason, Refused
from guest.protocol.primitives import (
    SECP256K1_ORDER,
    DecryptionKey,
    hkdf,
    hkdf_expand,
    hkdf_extract,
    keccak256,
    recover_address,
    require_signer,
    scalar_from_uniform,
    seal,
    secp256k1_address,
    secp256k1_public,
    sha256,
    sha384,
    sign_digest,
    sign_recoverable,
)
from guest.protocol.secret import Secret

KEY = Secret(bytes(31) + b"\x07")
ADDRESS = secp256k1_address(KEY)
DIGEST = keccak256(b"digest")
keys = st.integers(1, SECP256K1_ORDER - 1).map(lambda n: n.to_bytes(32, "big"))


# --- hashes -------------------------------------------------------------------------------------


def test_keccak_is_ethereums_and_not_sha3() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == empty
    assert keccak256(b"") != hashlib.sha3_256(b"").digest()


@given(st.binary(max_size=300))
def test_hashes_agree_with_other_implementations(data: bytes) -> None:
    assert keccak256(data) == keccak(data)
    assert sha256(data) == hashlib.sha256(data).digest()
    assert sha384(data) == hashlib.sha384(data).digest()


# --- HKDF ---------------------------------------------------------------------------------------

RFC_5869 = [  # appendix A, the three cases with SHA-256
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x00, 0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("ikm", "salt", "info", "prk", "okm"), RFC_5869)
def test_hkdf_meets_the_vectors_of_rfc_5869(
    ikm: str, salt: str, info: str, prk: str, okm: str
) -> None:
    raw = [bytes.fromhex(text) for text in (ikm, salt, info)]
    extracted = hkdf_extract(raw[1], Secret(raw[0]))
    assert extracted.expose().hex() == prk
    assert hkdf_expand(extracted, raw[2], len(okm) // 2).expose().hex() == okm
    assert hkdf(raw[1], Secret(raw[0]), raw[2], len(okm) // 2).expose().hex() == okm


@given(st.binary(max_size=80), st.binary(min_size=1, max_size=80), st.binary(max_size=80))
def test_hkdf_agrees_with_an_independent_one(salt: bytes, ikm: bytes, info: bytes) -> None:
    prk = hmac.digest(salt or bytes(32), ikm, "sha256")
    first = hmac.digest(prk, info + b"\x01", "sha256")
    second = hmac.digest(prk, first + info + b"\x02", "sha256")
    assert hkdf(salt, Secret(ikm), info, 48).expose() == (first + second)[:48]


# --- scalars ------------------------------------------------------------------------------------


@given(st.binary(min_size=48, max_size=48))
def test_g10_every_derived_scalar_is_a_private_key(uniform: bytes) -> None:
    scalar = scalar_from_uniform(Secret(uniform)).expose()
    assert 1 <= int.from_bytes(scalar, "big") < SECP256K1_ORDER
    assert len(scalar) == 32
    assert len(secp256k1_address(Secret(scalar))) == 20


@pytest.mark.parametrize(
    ("uniform", "scalar"),
    [
        (0, 1),
        (SECP256K1_ORDER - 2, SECP256K1_ORDER - 1),
        (SECP256K1_ORDER - 1, 1),
        (SECP256K1_ORDER, 2),
        (2**384 - 1, (2**384 - 1) % (SECP256K1_ORDER - 1) + 1),
    ],
)
def test_g10_the_edges_of_the_range_wrap_to_valid_keys(uniform: int, scalar: int) -> None:
    derived = scalar_from_uniform(Secret(uniform.to_bytes(48, "big"))).expose()
    assert int.from_bytes(derived, "big") == scalar


@pytest.mark.parametrize("size", [0, 32, 47, 49, 64])
def test_g10_a_scalar_is_made_from_48_bytes_only(size: int) -> None:
    with pytest.raises(ValueError, match="48 uniform bytes"):
        scalar_from_uniform(Secret(bytes(size)))


@pytest.mark.parametrize("bad", [0, SECP256K1_ORDER, 2**256 - 1])
def test_g10_a_number_outside_the_curves_order_is_no_key(bad: int) -> None:
    raw = Secret(bad.to_bytes(32, "big"))
    for use in (secp256k1_address, secp256k1_public, lambda key: sign_digest(key, DIGEST)):
        with pytest.raises(ValueError):  # noqa: PT011 - the library's own words
            use(raw)


@settings(max_examples=25)
@given(keys)
def test_addresses_and_public_keys_agree_with_other_implementations(raw: bytes) -> None:
    other = PrivateKey(raw, backend=NativeECCBackend()).public_key
    assert secp256k1_address(Secret(raw)) == other.to_canonical_address()
    assert secp256k1_public(Secret(raw)) == other.to_compressed_bytes()


# --- signatures ---------------------------------------------------------------------------------


@settings(max_examples=25)
@given(keys, st.binary(min_size=32, max_size=32))
def test_signatures_are_canonical_and_equal_those_of_another_implementation(
    raw: bytes, digest: bytes
) -> None:
    signature = sign_digest(Secret(raw), digest)
    other = PrivateKey(raw, backend=NativeECCBackend()).sign_msg_hash(digest)
    assert sign_recoverable(Secret(raw), digest) == other.to_bytes()
    assert signature == other.to_bytes()[:64] + bytes([27 + other.v])
    assert int.from_bytes(signature[32:64], "big") <= SECP256K1_ORDER // 2
    assert signature[64] in (27, 28)
    require_signer(digest, signature, secp256k1_address(Secret(raw)))


def test_the_form_for_key_chains_is_no_signature_of_the_protocol() -> None:
    bare = sign_recoverable(KEY, DIGEST)
    assert bare[:64] + bytes([bare[64] + 27]) == sign_digest(KEY, DIGEST)
    assert_refused(DIGEST, bare)


def assert_refused(digest: bytes, signature: bytes, signer: bytes = ADDRESS) -> None:
    with pytest.raises(Refused) as caught:
        require_signer(digest, signature, signer)
    assert caught.value.reason is Reason.SIGNATURE


def test_k5_a_malleated_signature_is_refused() -> None:
    good = sign_digest(KEY, DIGEST)
    high = (SECP256K1_ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    for v in (27, 28):
        assert_refused(DIGEST, good[:32] + high + bytes([v]))


@pytest.mark.parametrize("v", [0, 1, 2, 26, 29, 30, 31, 37, 255])
def test_k5_a_recovery_byte_other_than_27_or_28_is_refused(v: int) -> None:
    assert_refused(DIGEST, sign_digest(KEY, DIGEST)[:64] + bytes([v]))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 66, 67, 130])
def test_k5_a_signature_of_another_length_is_refused(size: int) -> None:
    good = sign_digest(KEY, DIGEST)
    assert_refused(DIGEST, (good + bytes(65))[:size] if size > 65 else good[:size])


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (SECP256K1_ORDER, 1),
        (2**256 - 1, 1),
        (5, 1),  # no point of the curve has this x
    ],
)
def test_k1_numbers_that_recover_to_nothing_verify_for_no_one(numbers: tuple[int, int]) -> None:
    raw = b"".join(number.to_bytes(32, "big") for number in numbers)
    for v in (27, 28):
        with pytest.raises(Refused):
            recover_address(DIGEST, raw + bytes([v]))


def test_k1_the_zero_address_signs_nothing() -> None:
    for signature in (bytes(65), bytes(64) + b"\x1b", sign_digest(KEY, DIGEST)):
        assert_refused(DIGEST, signature, bytes(20))


def test_a_signature_over_another_digest_or_by_another_key_is_refused() -> None:
    good = sign_digest(KEY, DIGEST)
    require_signer(DIGEST, good, ADDRESS)
    assert_refused(keccak256(b"other"), good)
    assert_refused(DIGEST, good, secp256k1_address(Secret(bytes(31) + b"\x08")))
    for size in (0, 31, 33):
        assert_refused(bytes(size), good)


@given(st.binary(min_size=60, max_size=70), st.binary(min_size=32, max_size=32))
def test_no_bytes_make_the_recovery_raise_something_else(signature: bytes, digest: bytes) -> None:
    try:
        assert len(recover_address(digest, signature)) == 20
    except Refused as error:
        assert error.reason is Reason.SIGNATURE  # noqa: PT017 - both ends are allowed here


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    good = sign_digest(KEY, DIGEST)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert_refused(DIGEST, bytes(bad))


# --- the hybrid HPKE ----------------------------------------------------------------------------

SECRET = bytes(range(32))
RECEIVER = DecryptionKey(Secret(b"\x01" * 96))
INFO = b"who gives what to whom"


def test_a_sealed_secret_opens_with_its_key_and_its_info() -> None:
    ciphertext = seal(Secret(SECRET), RECEIVER.public, INFO)
    assert (len(RECEIVER.public), len(ciphertext)) == (1216, 1168)
    assert RECEIVER.open(ciphertext, INFO).expose() == SECRET
    assert seal(Secret(SECRET), RECEIVER.public, INFO) != ciphertext  # fresh each time


def assert_does_not_open(ciphertext: bytes, info: bytes, key: DecryptionKey = RECEIVER) -> None:
    with pytest.raises(Refused) as caught:
        key.open(ciphertext, info)
    assert caught.value.reason is Reason.CIPHERTEXT
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("info", [b"", INFO[:-1], INFO + b"\0", INFO.upper(), bytes(32)])
def test_any_change_of_the_info_fails_to_open(info: bytes) -> None:
    assert_does_not_open(seal(Secret(SECRET), RECEIVER.public, INFO), info)


@pytest.mark.parametrize(
    "seed",
    [b"\x02" * 96, b"\x01" * 64 + b"\x02" * 32, b"\x02" * 64 + b"\x01" * 32],
    ids=["another pair", "same ML-KEM half only", "same X25519 half only"],
)
def test_one_right_half_of_the_key_is_not_enough(seed: bytes) -> None:
    """Both halves enter the shared secret: a broken ML-KEM or a broken X25519 alone opens nothing."""
    ciphertext = seal(Secret(SECRET), RECEIVER.public, INFO)
    assert_does_not_open(ciphertext, INFO, DecryptionKey(Secret(seed)))


def test_a_flipped_bit_anywhere_in_a_ciphertext_fails_to_open() -> None:
    """Every byte, each with another bit: 1,088 of ML-KEM, 32 of X25519, 32 of secret, 16 of tag."""
    ciphertext = seal(Secret(SECRET), RECEIVER.public, INFO)
    for at in range(len(ciphertext)):
        bad = bytearray(ciphertext)
        bad[at] ^= 1 << at % 8
        assert_does_not_open(bytes(bad), INFO)


@pytest.mark.parametrize("size", [0, 1, 32, 1087, 1088, 1119, 1120, 1136, 1167, 1169, 4096])
def test_a_ciphertext_of_another_length_fails_to_open(size: int) -> None:
    ciphertext = seal(Secret(SECRET), RECEIVER.public, INFO) + bytes(4096)
    assert_does_not_open(ciphertext[:size], INFO)


def test_an_encapsulation_with_a_point_of_small_order_fails_to_open() -> None:
    ciphertext = seal(Secret(SECRET), RECEIVER.public, INFO)
    for point in (bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"):
        assert_does_not_open(ciphertext[:1088] + point + ciphertext[1120:], INFO)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        RECEIVER.public[:-1],
        RECEIVER.public + b"\0",
        RECEIVER.public[:1184],
        RECEIVER.public[1184:],
        b"\xff" * 1184 + RECEIVER.public[1184:],  # coefficients above the modulus (FIPS 203, 7.2)
        RECEIVER.public[:1184] + bytes(32),  # the neutral point
        RECEIVER.public[:1184] + b"\x01" + bytes(31),  # a point of small order
    ],
    ids=["empty", "short", "long", "no x25519", "no ml-kem", "modulus", "zero", "small order"],
)
def test_nothing_is_sealed_to_a_malformed_key(public: bytes) -> None:
    with pytest.raises(MalformedInput):
        seal(Secret(SECRET), public, INFO)


@settings(max_examples=50)
@given(st.binary(max_size=64) | st.binary(min_size=1216, max_size=1216))
def test_sealing_to_random_bytes_raises_nothing_else(public: bytes) -> None:
    try:
        assert len(seal(Secret(SECRET), public, INFO)) == 1168
    except MalformedInput:
        return


@pytest.mark.parametrize("size", [0, 32, 64, 95, 97])
def test_a_decryption_key_is_made_from_96_bytes_only(size: int) -> None:
    with pytest.raises(ValueError, match="96 uniform bytes"):
        DecryptionKey(Secret(bytes(size)))


def test_the_same_seed_makes_the_same_pair_and_each_part_of_it_counts() -> None:
    """FIPS 203: d makes the key pair, z only the implicit rejection, so z does not show."""

    def public(seed: bytes) -> bytes:
        return DecryptionKey(Secret(seed)).public

    base = b"\x01" * 96
    assert public(base) == RECEIVER.public
    assert public(b"\x02" + base[1:])[:1184] != RECEIVER.public[:1184]
    assert public(base[:32] + b"\x02" * 32 + base[64:]) == RECEIVER.public
    assert public(base[:-1] + b"\x03")[1184:] != RECEIVER.public[1184:]
