"""The key schedule: from an epoch's secret to every key that hangs below it.

PRK = HKDF-Extract(salt = SHA-256("replicatoor/1" || networkId), S_e); children are HKDF-Expand with
info = label, 0x00, then each part with a 4-byte length, so no two contexts share an info. The salt is
the networkId and not the contract: a successor contract keeps every key. Each child has one use.
"""

from dataclasses import dataclass
from typing import final

from guest.protocol.digests import Domain, digest
from guest.protocol.messages import AppData, Bootstrap, Confirm
from guest.protocol.primitives import (
    hkdf_expand,
    hkdf_extract,
    scalar_from_uniform,
    secp256k1_address,
    secp256k1_public,
    sha256,
    sign_digest,
)
from guest.protocol.secret import Secret
from guest.protocol.sizes import Address, Bytes32

SECRET_SIZE = 32
_SCALAR_BYTES = 48


@dataclass(frozen=True, slots=True)
class EpochAddresses:
    """What the contract stores of an epoch, and what a newcomer compares."""

    x_pub: Address
    app_root: Address


@final
class EpochKeys:
    """The keys of one epoch of one network. Holds the epoch's secret for as long as it lives."""

    __slots__ = ("_epoch_key", "_prk", "_root_k256", "addresses", "epoch", "secret")

    def __init__(self, network_id: Bytes32, epoch: int, secret: Secret) -> None:
        """Derive from `secret`, exactly 32 bytes like `network_id`; else raises ValueError."""
        if len(secret) != SECRET_SIZE or len(network_id) != SECRET_SIZE:
            raise ValueError("an epoch's secret and a networkId have 32 bytes each")
        self.epoch = epoch
        self.secret = secret
        self._prk = hkdf_extract(sha256(b"replicatoor/1" + network_id), secret)
        self._epoch_key = self.scalar("epoch")
        self._root_k256 = self.scalar("root_k256")
        self.addresses = EpochAddresses(
            secp256k1_address(self._epoch_key), secp256k1_address(self._root_k256)
        )

    def child(self, label: str, *parts: bytes, size: int = 32) -> Secret:
        """Return the child secret of `label` and its context `parts`."""
        return hkdf_expand(self._prk, _info(label, parts), size)

    def scalar(self, label: str, *parts: bytes) -> Secret:
        """Return a child as a secp256k1 private key."""
        return scalar_from_uniform(self.child(label, *parts, size=_SCALAR_BYTES))

    def fingerprint(self) -> bytes:
        """16 public bytes, equal at every holder of the secret: for people who compare nodes."""
        return sha256(b"replicatoor/fingerprint" + secp256k1_public(self._root_k256))[:16]

    def sign(self, domain: Domain, message: Confirm | Bootstrap | AppData) -> bytes:
        """Sign a typed message with the epoch key, which signs nothing else."""
        return sign_digest(self._epoch_key, digest(domain, message))

    def wipe(self) -> None:
        """Overwrite our copies."""
        for held in (self.secret, self._prk, self._epoch_key, self._root_k256):
            held.wipe()

    def __repr__(self) -> str:
        return f"EpochKeys(epoch={self.epoch}, ...)"

    def __reduce__(self) -> str:
        raise TypeError("EpochKeys cannot be pickled or copied")


def _info(label: str, parts: tuple[bytes, ...]) -> bytes:
    if "\0" in label:
        raise ValueError("a label ends at its first zero byte")
    return label.encode() + b"\0" + b"".join(len(p).to_bytes(4, "big") + p for p in parts)
