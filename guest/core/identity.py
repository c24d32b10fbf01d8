"""The keys of one registration: made new for each, in RAM only, never used twice.

A retry, a dead anchor or a reboot makes new ones, so there is nothing that a host could roll back.
"""

from collections.abc import Callable
from typing import final

from guest.protocol.digests import Domain, digest
from guest.protocol.messages import (
    Bootstrap,
    Confirm,
    Leave,
    Onboard,
    OnboardBatch,
    RegisterTx,
    Reject,
    Renew,
)
from guest.protocol.primitives import (
    DecryptionKey,
    keccak256,
    scalar_from_uniform,
    secp256k1_address,
    sign_digest,
)
from guest.protocol.secret import Secret

Entropy = Callable[[int], bytes]
"""Returns that many bytes of the kernel's randomness; injected, so that models can repeat."""

_NodeMessage = Bootstrap | RegisterTx | Onboard | OnboardBatch | Confirm | Reject | Renew | Leave


@final
class Identity:
    """A node key, whose address is the node's name, and an encryption key."""

    __slots__ = ("_node_key", "address", "decryption_key", "encryption_key_hash")

    def __init__(self, entropy: Entropy) -> None:
        """Draw both keys from `entropy`."""
        self._node_key = scalar_from_uniform(Secret(entropy(48)))
        self.address = secp256k1_address(self._node_key)
        self.decryption_key = DecryptionKey(Secret(entropy(96)))
        self.encryption_key_hash = keccak256(self.decryption_key.public)

    def sign(self, domain: Domain, message: _NodeMessage) -> bytes:
        """Sign a typed message with the node key, which signs nothing else."""
        return sign_digest(self._node_key, digest(domain, message))

    def wipe(self) -> None:
        """Overwrite the node key."""
        self._node_key.wipe()

    def __repr__(self) -> str:
        return f"Identity(0x{self.address.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("an Identity cannot be pickled or copied")
