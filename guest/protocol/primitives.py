"""Every low-level cryptographic call of the protocol, each with the reason why its use is safe.

Nothing else in `guest` may import `coincurve`, `Crypto` or `cryptography.hazmat` (the linter says
so). X.509 parsing has its own file, `guest.evidence.certificates`.
"""

import hashlib
from typing import final

import coincurve
from Crypto.Hash import keccak
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from guest.protocol.errors import MalformedInput, Reason, Refused
from guest.protocol.secret import Secret
from guest.protocol.sizes import ZERO_ADDRESS

SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_HALF_ORDER = SECP256K1_ORDER // 2
_MLKEM_PUBLIC = 1184
_ENCRYPTION_SEED = 96
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of Ethereum (not the later SHA3-256, which pads differently)."""
    return keccak.new(digest_bits=256, data=data).digest()


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256."""
    return hashlib.sha256(data).digest()


def sha384(data: bytes) -> bytes:
    """Return the 48-byte SHA-384, the hash of TDX's registers."""
    return hashlib.sha384(data).digest()


def hkdf_extract(salt: bytes, secret: Secret) -> Secret:
    """HKDF-Extract with SHA-256 (RFC 5869, 2.2)."""
    return Secret(HKDF.extract(hashes.SHA256(), salt, secret.expose()))


def hkdf_expand(key: Secret, info: bytes, size: int) -> Secret:
    """HKDF-Expand with SHA-256 (RFC 5869, 2.3) to `size` bytes, at most 8,160."""
    return Secret(HKDFExpand(hashes.SHA256(), size, info).derive(key.expose()))


def hkdf(salt: bytes, secret: Secret, info: bytes, size: int) -> Secret:
    """HKDF with SHA-256 in one go (RFC 5869), for schedules that others fixed."""
    return hkdf_expand(hkdf_extract(salt, secret), info, size)


def scalar_from_uniform(uniform: Secret) -> Secret:
    """Map 48 uniform bytes to a secp256k1 private key, int mod (n - 1) + 1, as 32 bytes.

    16 bytes more than the order make the bias below 2**-128 (FIPS 186-5, A.2.1).
    """
    if len(uniform) != 48:
        raise ValueError("a scalar is made from 48 uniform bytes")
    number = int.from_bytes(uniform.expose(), "big") % (SECP256K1_ORDER - 1) + 1
    return Secret(number.to_bytes(32, "big"))


def secp256k1_address(private_key: Secret) -> bytes:
    """Return the 20-byte Ethereum address of a private key."""
    return _address(coincurve.PublicKey.from_secret(private_key.expose()))


def secp256k1_public(private_key: Secret) -> bytes:
    """Return the 33-byte compressed public key of a private key."""
    return coincurve.PublicKey.from_secret(private_key.expose()).format(compressed=True)


def sign_digest(private_key: Secret, digest: bytes) -> bytes:
    """Sign 32 bytes: r, s, v with low s and v 27 or 28.

    RFC 6979 nonces, so no randomness can fail us. Callers sign only digests they made themselves in
    `guest.protocol.digests`; nothing that arrives as a digest is ever signed.
    """
    signature = sign_recoverable(private_key, digest)
    return signature[:64] + bytes([27 + signature[64]])


def sign_recoverable(private_key: Secret, digest: bytes) -> bytes:
    """Like `sign_digest`, with the bare recovery id (0 or 1) last: the form of dstack's key chains.

    The contract takes no such signature, so one can never stand in for the other.
    """
    return coincurve.PrivateKey(private_key.expose()).sign_recoverable(digest, hasher=None)


def recover_address(digest: bytes, signature: bytes) -> bytes:
    """Return the address that signed `digest`; raises `Refused(SIGNATURE)`."""
    return address_of(recover_public_key(digest, signature))


def recover_public_key(digest: bytes, signature: bytes) -> bytes:
    """Return the compressed public key (33 bytes) that signed `digest`; raises `Refused(SIGNATURE)`.

    Length 65, v 27 or 28 and low s, as the contract demands, so that a signature has one form only.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise Refused(Reason.SIGNATURE, "a signature is 65 bytes with v 27 or 28", got=signature)
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise Refused(Reason.SIGNATURE, "the signature's s is in the upper half of the order")
    compact = signature[:64] + bytes([signature[64] - 27])
    try:
        key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except Exception:  # noqa: BLE001 - coincurve raises ValueError and bare Exception alike
        raise Refused(Reason.SIGNATURE, "the signature does not recover to any key") from None
    return key.format(compressed=True)


def address_of(public_key: bytes) -> bytes:
    """Return the Ethereum address of a compressed public key that this module made."""
    return _address(coincurve.PublicKey(public_key))


def require_signer(digest: bytes, signature: bytes, signer: bytes) -> None:
    """Refuse (`SIGNATURE`) unless `signer`, 20 bytes and not zero, signed `digest`."""
    recovered = recover_address(digest, signature)
    if signer == ZERO_ADDRESS or recovered != signer:
        raise Refused(Reason.SIGNATURE, "signed by another key", got=recovered, expected=signer)


@final
class DecryptionKey:
    """The private half of an ML-KEM-768 + X25519 HPKE pair. It has no serialisation."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: Secret) -> None:
        """Derive the pair from 96 uniform bytes: 64 for ML-KEM-768 (FIPS 203 d, z), 32 for X25519."""
        raw = seed.expose()
        if len(raw) != _ENCRYPTION_SEED:
            raise ValueError("an encryption key is made from 96 uniform bytes")
        post_quantum = mlkem.MLKEM768PrivateKey.from_seed_bytes(raw[:64])
        classical = x25519.X25519PrivateKey.from_private_bytes(raw[64:])
        self._key = hpke.MLKEM768X25519PrivateKey(post_quantum, classical)
        self.public: bytes = (
            post_quantum.public_key().public_bytes_raw() + classical.public_key().public_bytes_raw()
        )

    def open(self, ciphertext: bytes, info: bytes) -> Secret:
        """Open 1,168 bytes sealed under `info`; raises `Refused(CIPHERTEXT)`."""
        try:
            return Secret(_SUITE.decrypt(ciphertext, self._key, info=info))
        except (InvalidTag, ValueError):
            raise Refused(
                Reason.CIPHERTEXT, "the ciphertext does not open under this key"
            ) from None

    def __repr__(self) -> str:
        return "DecryptionKey(...)"

    def __reduce__(self) -> str:
        raise TypeError("a DecryptionKey cannot be pickled or copied")


def seal(secret: Secret, public_key: bytes, info: bytes) -> bytes:
    """Seal `secret` to an encryption key (1,216 bytes) with HPKE base mode (RFC 9180, 5.1.1).

    There is no aad: `info` enters the key schedule, so any change of it fails to open. The hybrid KEM
    is there because ciphertexts stay on a public chain for ever. Raises `MalformedInput` for a key
    that is not one.
    """
    try:
        key = hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC]),
            x25519.X25519PublicKey.from_public_bytes(public_key[_MLKEM_PUBLIC:]),
        )
        return _SUITE.encrypt(secret.expose(), key, info=info)
    except ValueError:
        raise MalformedInput("not an ML-KEM-768 + X25519 public key") from None


def _address(key: coincurve.PublicKey) -> bytes:
    return keccak256(key.format(compressed=False)[1:])[12:]
