"""The link between a guest and its host: every message that may cross it, and the frames.

The guest dials, the host answers; both speak at any time. A frame is a 4-byte big-endian length and
the RLP list [kind, record]. All that the host says is a claim. The guest asks for nothing by which the
host could name an app, a peer, a clock, a root or a role.
"""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from guest.protocol import codec, rlp
from guest.protocol.document import MAX_DOCUMENT
from guest.protocol.errors import MalformedInput
from guest.protocol.messages import Bootstrap, Register, Witness
from guest.protocol.sizes import (
    Address,
    AtMost,
    Bytes32,
    Ciphertext,
    Signature,
    Text,
    Uint8,
    Uint32,
    Uint64,
)

VERSION = 1
MAX_FRAME = 1024 * 1024
LENGTH_BYTES = 4
MAX_BATCH = 64

HeaderBytes = Annotated[bytes, AtMost(2048)]
TrieNode = Annotated[bytes, AtMost(1024)]
DocumentBytes = Annotated[bytes, AtMost(MAX_DOCUMENT)]


# --- what a host shows of the chain -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StateProof:
    """A header and the trie nodes that prove the contract's account and some of its slots."""

    header: HeaderBytes
    nodes: Annotated[tuple[TrieNode, ...], AtMost(4096)]


@dataclass(frozen=True, slots=True)
class WitnessStatement:
    """A witness's signed word, for networks that trust one."""

    statement: Witness
    signature: Signature


@dataclass(frozen=True, slots=True)
class UnverifiedView:
    """The newest state, headers just below it (newest first), and the finalised state if asked."""

    newest: StateProof
    ancestors: Annotated[tuple[HeaderBytes, ...], AtMost(16)]
    finalised: StateProof | None
    witness: WitnessStatement | None


# --- host to guest ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Welcome:
    """First frame of a host: may this node bootstrap the network if nobody has."""

    version: Uint8
    bootstrap: bool


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """A block was seen. A hint to ask for a view, nothing more."""

    number: Uint64


@dataclass(frozen=True, slots=True)
class View:
    """Answers `NeedView`; without a view the host could not fetch one."""

    request: Uint32
    view: UnverifiedView | None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A registration that waits; the document holds all that the guest has to check."""

    document: DocumentBytes


@dataclass(frozen=True, slots=True)
class HandedOver:
    """An Onboard to this guest's node was seen; storage must name its H."""

    by: Address
    epoch: Uint32
    attempt: Uint8
    ciphertext: Ciphertext


@dataclass(frozen=True, slots=True)
class CollateralFound:
    """Answers `NeedCollateral`; empty when the host could not fetch it."""

    request: Uint32
    collateral: Annotated[bytes, AtMost(64 * 1024)]


@dataclass(frozen=True, slots=True)
class GenesisFound:
    """Answers `NeedGenesis` with the bootstrap document's bytes."""

    request: Uint32
    document: DocumentBytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The action `key` is in the host's outbox and will survive its crash."""

    key: Text


@dataclass(frozen=True, slots=True)
class Stale:
    """What was signed for `key` can no longer be mined; prove anew and sign again."""

    key: Text


@dataclass(frozen=True, slots=True)
class Depart:
    """The operator asks the node to leave the network."""

    force: bool


FromHost = (
    Welcome
    | HeadSeen
    | View
    | Newcomer
    | HandedOver
    | CollateralFound
    | GenesisFound
    | Stored
    | Stale
    | Depart
)

# --- guest to host ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hello:
    """First frame of a guest."""

    version: Uint8
    network_id: Bytes32
    chain_id: Uint64
    contract: Address


@dataclass(frozen=True, slots=True)
class NeedView:
    """Asks for proofs of slots of the contract under the newest and, if any, the finalised header."""

    request: Uint32
    newest_slots: Annotated[tuple[Bytes32, ...], AtMost(512)]
    finalised_slots: Annotated[tuple[Bytes32, ...], AtMost(512)]
    ancestors: Uint8


@dataclass(frozen=True, slots=True)
class NeedCollateral:
    """Asks for the DCAP collateral of a platform family."""

    request: Uint32
    fmspc: Annotated[bytes, AtMost(6)]
    ca: Text


@dataclass(frozen=True, slots=True)
class NeedGenesis:
    """Asks for the document with this hash, which `bootstrap` published."""

    request: Uint32
    document_hash: Bytes32


@dataclass(frozen=True, slots=True)
class PostBootstrap:
    """Post `bootstrap`; only the owner's host can."""

    key: Text
    message: Bootstrap
    node_signature: Signature
    epoch_signature: Signature
    document: DocumentBytes


@dataclass(frozen=True, slots=True)
class PostRegister:
    """Publish the document, then post `register`."""

    key: Text
    message: Register
    signature: Signature
    document: DocumentBytes


@dataclass(frozen=True, slots=True)
class OnboardItem:
    """One newcomer's ciphertext."""

    node: Address
    attempt: Uint8
    commitment: Bytes32
    ciphertext: Ciphertext


@dataclass(frozen=True, slots=True)
class PostOnboards:
    """Post `onboard` (one item) or `onboardBatch` (several); the signature fits the count.

    A key that was posted before, with `replace`, takes the place of what went stale.
    """

    key: Text
    replace: bool
    by: Address
    epoch: Uint32
    view_number: Uint64
    view_hash: Bytes32
    items: Annotated[tuple[OnboardItem, ...], AtMost(MAX_BATCH)]
    signature: Signature


@dataclass(frozen=True, slots=True)
class PostConfirm:
    """Post `confirm`."""

    key: Text
    node: Address
    handover: Bytes32
    node_signature: Signature
    epoch_signature: Signature


@dataclass(frozen=True, slots=True)
class PostReject:
    """Post `reject`."""

    key: Text
    replace: bool
    node: Address
    by: Address
    commitment: Bytes32
    ciphertext_hash: Bytes32
    reason: Uint8
    view_number: Uint64
    view_hash: Bytes32
    signature: Signature


@dataclass(frozen=True, slots=True)
class PostRenew:
    """Post `renew`."""

    key: Text
    replace: bool
    node: Address
    view_number: Uint64
    view_hash: Bytes32
    signature: Signature


@dataclass(frozen=True, slots=True)
class PostLeave:
    """Post `revoke` with the node's own Leave."""

    key: Text
    node: Address
    commitment: Bytes32
    signature: Signature


@dataclass(frozen=True, slots=True)
class Turned:
    """A newcomer was refused; if `final`, offering the same document again is pointless."""

    document_hash: Bytes32
    reason: Text
    final: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What people may know of the node: its state, why, and public facts of its keys."""

    state: Text
    detail: Text
    node: Address
    epoch: Uint32
    x_pub: Address
    fingerprint: Annotated[bytes, AtMost(32)]


FromGuest = (
    Hello
    | NeedView
    | NeedCollateral
    | NeedGenesis
    | PostBootstrap
    | PostRegister
    | PostOnboards
    | PostConfirm
    | PostReject
    | PostRenew
    | PostLeave
    | Turned
    | Report
)

Posts = (
    PostBootstrap | PostRegister | PostOnboards | PostConfirm | PostReject | PostRenew | PostLeave
)

_FROM_HOST: tuple[type[FromHost], ...] = (
    Welcome,
    HeadSeen,
    View,
    Newcomer,
    HandedOver,
    CollateralFound,
    GenesisFound,
    Stored,
    Stale,
    Depart,
)
_FROM_GUEST: tuple[type[FromGuest], ...] = (
    Hello,
    NeedView,
    NeedCollateral,
    NeedGenesis,
    PostBootstrap,
    PostRegister,
    PostOnboards,
    PostConfirm,
    PostReject,
    PostRenew,
    PostLeave,
    Turned,
    Report,
)
_Message = TypeVar("_Message")


def from_host(payload: bytes) -> FromHost:
    """Decode one frame payload that a host sent; raises `MalformedInput`."""
    return _decode(payload, _FROM_HOST)


def from_guest(payload: bytes) -> FromGuest:
    """Decode one frame payload that a guest sent; raises `MalformedInput`."""
    return _decode(payload, _FROM_GUEST)


def frame(message: FromHost | FromGuest) -> bytes:
    """Return the frame of a message, length first; raises `MalformedInput` above `MAX_FRAME`."""
    table: tuple[type, ...] = _FROM_HOST if isinstance(message, _FROM_HOST) else _FROM_GUEST
    kind = table.index(type(message)) + 1
    payload = rlp.encode([bytes([kind]), codec.to_item(message)])
    if len(payload) > MAX_FRAME:
        raise MalformedInput("frame too large", got=len(payload), expected=f"<= {MAX_FRAME}")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def payload_size(prefix: bytes) -> int:
    """Return the announced payload size, checked before anything is allocated for it."""
    size = int.from_bytes(prefix, "big")
    if not 0 < size <= MAX_FRAME:
        raise MalformedInput("frame has a bad size", got=size, expected=f"1 to {MAX_FRAME}")
    return size


def _decode(payload: bytes, table: tuple[type[_Message], ...]) -> _Message:
    item = rlp.decode(payload, max_size=MAX_FRAME)
    if not isinstance(item, list) or len(item) != 2:
        raise MalformedInput("a frame is [kind, record]")
    kind = item[0]
    if not isinstance(kind, bytes) or len(kind) != 1 or not 1 <= kind[0] <= len(table):
        raise MalformedInput("unknown frame kind", got=kind if isinstance(kind, bytes) else "list")
    return codec.from_item(table[kind[0] - 1], item[1])
