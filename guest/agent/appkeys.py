"""The keys that apps get, by dstack's derivations (v0) and bit for bit, from an epoch's app root.

Owns the app root key of one epoch and what it signs. The network's own keys stay out of reach: a path
is hashed under the app root key only, which itself is a hash of `root_k256`.
"""

from dataclasses import dataclass
from typing import final

from guest.protocol.digests import app_id
from guest.protocol.errors import MalformedInput
from guest.protocol.keys import EpochKeys
from guest.protocol.primitives import hkdf, keccak256, secp256k1_public, sign_recoverable
from guest.protocol.secret import Secret
from guest.protocol.sizes import Bytes32

_SALT = b"RATLS"
_ROOT_CONTEXT = b"app-key"
_ISSUED_TAG = b"dstack-kms-issued:"
_KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key for one path, and two 65-byte signatures (r, s, recovery id).

    The first is the app root key's over keccak256(purpose ":" hex(public key)), the second `root_k256`'s
    over keccak256("dstack-kms-issued:" app_id app_root_public_key).
    """

    key: Secret
    signature_chain: tuple[bytes, bytes]


@final
class AppKeys:
    """Issues the keys of this network's app. Holds the app root key; never `root_k256`."""

    __slots__ = ("_root", "_root_signature")

    def __init__(self, root: Secret, root_signature: bytes) -> None:
        """Take the app root key (32 bytes) and what `root_k256` signed about it (65 bytes)."""
        self._root = root
        self._root_signature = root_signature

    def issue(self, path: str, purpose: str) -> IssuedKey:
        """Return the secp256k1 key of `path`; raises `MalformedInput` for text that is not Unicode.

        `purpose` enters the signature and not the key, as in dstack. A key out of the curve's range
        has a chance below 2**-127 and raises ValueError: there is no second try to hide it.
        """
        try:
            info, claim = path.encode(), purpose.encode()
        except UnicodeEncodeError:
            raise MalformedInput("path and purpose have to be Unicode text") from None
        key = _derive(self._root, info)
        claim += b":" + secp256k1_public(key).hex().encode()
        signature = sign_recoverable(self._root, keccak256(claim))
        return IssuedKey(key, (signature, self._root_signature))

    def wipe(self) -> None:
        """Overwrite the app root key; nothing can be issued afterwards."""
        self._root.wipe()

    def __repr__(self) -> str:
        return "AppKeys(...)"

    def __reduce__(self) -> str:
        raise TypeError("AppKeys cannot be pickled or copied")


def app_keys(keys: EpochKeys, network_id: Bytes32) -> AppKeys:
    """Derive the app root key of an epoch and have `root_k256` sign it, once."""
    app = app_id(network_id)  # 20 bytes, always: what makes the joined fields below unambiguous
    network_root = keys.scalar("root_k256")
    root = _derive(network_root, app + _ROOT_CONTEXT)
    issued = keccak256(_ISSUED_TAG + app + secp256k1_public(root))
    signature = sign_recoverable(network_root, issued)
    network_root.wipe()
    return AppKeys(root, signature)


def _derive(parent: Secret, context: bytes) -> Secret:
    return hkdf(_SALT, parent, context, _KEY_SIZE)
