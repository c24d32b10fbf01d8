"""The signed messages of the protocol as plain records, named and ordered as their EIP-712 types.

Owns shapes only. `guest.protocol.digests` turns each into the 32 bytes that are signed; the contract
rebuilds the same bytes from its arguments (`contracts/src/libraries/Digests.sol`).
"""

from dataclasses import dataclass
from enum import IntEnum

from guest.protocol.sizes import Address, Bytes32, Uint8, Uint32, Uint64


@dataclass(frozen=True, slots=True)
class Register:
    """A newcomer's claim; its digest is the first half of the quote's report data."""

    node: Address
    encryption_key_hash: Bytes32
    measurement_id: Bytes32
    anchor_number: Uint64
    anchor_hash: Bytes32


@dataclass(frozen=True, slots=True)
class RegisterTx:
    """What the newcomer signs: the claim and the document that proves it."""

    register_digest: Bytes32
    document_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The first node's claim, with the addresses of epoch 1."""

    node: Address
    encryption_key_hash: Bytes32
    measurement_id: Bytes32
    anchor_number: Uint64
    anchor_hash: Bytes32
    x_pub: Address
    app_root: Address


@dataclass(frozen=True, slots=True)
class Handover:
    """Who gives the secret of which epoch to whom; its digest is the HPKE info."""

    node: Address
    by: Address
    epoch: Uint32
    attempt: Uint8
    commitment: Bytes32


@dataclass(frozen=True, slots=True)
class Onboard:
    """A member's answer, valid only on the chain that has `view_hash` at `view_number`."""

    node: Address
    by: Address
    epoch: Uint32
    attempt: Uint8
    commitment: Bytes32
    view_number: Uint64
    view_hash: Bytes32
    ciphertext_hash: Bytes32


@dataclass(frozen=True, slots=True)
class OnboardEntry:
    """One newcomer of a batch."""

    node: Address
    attempt: Uint8
    commitment: Bytes32
    ciphertext_hash: Bytes32


@dataclass(frozen=True, slots=True)
class OnboardBatch:
    """Several answers under one view and one signature."""

    by: Address
    epoch: Uint32
    view_number: Uint64
    view_hash: Bytes32
    entries: tuple[OnboardEntry, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """The newcomer's receipt; signed by the node key and by the epoch key."""

    node: Address
    handover: Bytes32


@dataclass(frozen=True, slots=True)
class Reject:
    """The newcomer's refusal of a ciphertext that did not hold the right secret."""

    node: Address
    handover: Bytes32
    reason: Uint8
    view_number: Uint64
    view_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Renew:
    """A lease for seven more days."""

    node: Address
    view_number: Uint64
    view_hash: Bytes32


@dataclass(frozen=True, slots=True)
class Leave:
    """A node's own farewell; anyone may post it to `revoke`."""

    node: Address
    commitment: Bytes32


@dataclass(frozen=True, slots=True)
class AppData:
    """What the epoch key signs for apps; `verify(appData, sig)` on the contract accepts it."""

    app_data: Bytes32


@dataclass(frozen=True, slots=True)
class Witness:
    """A test network's witness vouches for two headers of its chain."""

    number: Uint64
    hash: Bytes32
    finalized_number: Uint64
    finalized_hash: Bytes32


class RejectReason(IntEnum):
    """Why a ciphertext was rejected; a number, since it goes on the chain and accuses nobody."""

    DID_NOT_OPEN = 1
    WRONG_SECRET = 2


Signed = (
    Register
    | RegisterTx
    | Bootstrap
    | Handover
    | Onboard
    | OnboardBatch
    | Confirm
    | Reject
    | Renew
    | Leave
    | AppData
)
