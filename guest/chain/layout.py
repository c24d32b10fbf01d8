"""Where the contract keeps which fact: storage slots, and how each packs its fields.

Owns the twin of `contracts/src/KeyManagerStorage.sol`; a test ties it to
`contracts/release/storage-layout.json`. A slot's value decodes to a frozen record or raises
`MalformedInput`. Whether a value was proven is for `guest.chain.state` to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from guest.protocol.errors import MalformedInput, ProtocolViolation
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import Address, Bytes32, Uint8, Uint16, Uint32

MAX_SLOTS = 512
"""The most slots that one view proves (the bound of `NeedView`)."""


class Base(IntEnum):
    """The declared slot of each variable that guests read."""

    HEAD = 0
    GENESIS_DOCUMENT = 1
    GENESIS = 2
    NODES = 3
    EPOCHS = 4
    MEASUREMENTS = 5
    ALLOWED = 6
    REJECTED = 10


# Fields of one slot from the low bits up: name, bits.
HEAD_FIELDS = (
    ("xPub", 160),
    ("epoch", 16),
    ("appEpoch", 16),
    ("members", 24),
    ("pending", 24),
    ("flags", 16),
)
NODE_FIELDS = (
    ("commitment", 160),
    ("status", 8),
    ("attempt", 8),
    ("epoch", 16),
    ("until", 32),
    ("measurement", 16),
    ("seed", 16),
)
EPOCH_FIELDS = (("xPub", 160), ("since", 64))
APP_ROOT_FIELDS = (("appRoot", 160), ("retired", 64))
MEASUREMENT_FIELDS = (
    ("index", 16),
    ("state", 8),
    ("genesis", 8),
    ("activeFrom", 40),
    ("removedAt", 40),
)
GENESIS_FIELDS = (("node", 160), ("number", 48), ("time", 48))

_FLAG_ROTATION_DUE = 1


class Status(IntEnum):
    """Where a node is in its life; from `FAILED` on it is over for good."""

    NONE = 0
    PENDING = 1
    ONBOARDED = 2
    ACTIVE = 3
    FAILED = 4
    REVOKED = 5
    EXPIRED = 6
    UNCONFIRMED = 7


class MeasurementState(IntEnum):
    """Where the measurement of an image is in its life."""

    NONE = 0
    PROPOSED = 1
    ALLOWED = 2
    CANCELLED = 3
    REMOVED = 4


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """The network's present: `x_pub` of the current epoch, counters, whether a rotation is due."""

    x_pub: Address
    epoch: Uint16
    app_epoch: Uint16
    members: int
    pending: int
    rotation_due: bool


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """The addresses of one epoch; `since` is the Unix time of its start."""

    x_pub: Address
    app_root: Address
    since: int


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node. `commitment`: the low 20 bytes of C while Pending, of H from Onboarded on.

    `until` is Unix time: the end of its hour (Pending, Onboarded) or of its lease (Active).
    """

    commitment: Address
    status: Status
    attempt: Uint8
    epoch: Uint16
    until: Uint32
    measurement_index: Uint16
    seed: Uint16


@dataclass(frozen=True, slots=True)
class MeasurementRecord:
    """The measurement of an image. Times are Unix seconds, 0 for never; index 0: unknown."""

    index: Uint16
    state: MeasurementState
    genesis: bool
    active_from: int
    removed_at: int


@dataclass(frozen=True, slots=True)
class GenesisRecord:
    """Who bootstrapped the network, with which document, in which block, when; zeros before."""

    document_hash: Bytes32
    node: Address
    block: int
    time: int


# --- slots --------------------------------------------------------------------------------------


def base_slot(base: Base) -> bytes:
    """Return the slot of a variable that is no mapping."""
    return int(base).to_bytes(32, "big")


def node_slot(node: Address) -> bytes:
    """Return the slot of `nodes[node]`."""
    return _mapping(_word(node), base_slot(Base.NODES))


def epoch_slots(epoch: int) -> tuple[bytes, bytes]:
    """Return the first two slots of `epochs[epoch]`: xPub with since, appRoot with retired."""
    first = int.from_bytes(_mapping(epoch.to_bytes(32, "big"), base_slot(Base.EPOCHS)), "big")
    return first.to_bytes(32, "big"), ((first + 1) % 2**256).to_bytes(32, "big")


def measurement_slot(measurement: Bytes32) -> bytes:
    """Return the slot of `measurements[id]`."""
    return _mapping(measurement, base_slot(Base.MEASUREMENTS))


def allowed_slot(word: int) -> bytes:
    """Return the slot of one word of the `allowed` bitmap: the indices from 256 * word on."""
    return _mapping(word.to_bytes(32, "big"), base_slot(Base.ALLOWED))


def rejected_slot(node: Address, by: Address) -> bytes:
    """Return the slot of `rejected[node][by]`."""
    return _mapping(_word(by), _mapping(_word(node), base_slot(Base.REJECTED)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts a view has to prove. The head always comes along.

    `allowed_words` are words of the bitmap (index >> 8); `rejected` holds pairs (node, by).
    """

    nodes: tuple[Address, ...] = ()
    measurements: tuple[Bytes32, ...] = ()
    epochs: tuple[int, ...] = ()
    allowed_words: tuple[int, ...] = ()
    rejected: tuple[tuple[Address, Address], ...] = ()
    genesis: bool = False

    def slots(self) -> tuple[bytes, ...]:
        """Return the slots to prove, each once; raises `ProtocolViolation` above `MAX_SLOTS`."""
        slots = [base_slot(Base.HEAD)]
        slots += [node_slot(node) for node in self.nodes]
        slots += [measurement_slot(measurement) for measurement in self.measurements]
        slots += [slot for epoch in self.epochs for slot in epoch_slots(epoch)]
        slots += [allowed_slot(word) for word in self.allowed_words]
        slots += [rejected_slot(node, by) for node, by in self.rejected]
        if self.genesis:
            slots += [base_slot(Base.GENESIS_DOCUMENT), base_slot(Base.GENESIS)]
        unique = tuple(dict.fromkeys(slots))
        if len(unique) > MAX_SLOTS:
            raise ProtocolViolation("a view wants too many slots", got=len(unique), expected=512)
        return unique


# --- values -------------------------------------------------------------------------------------


def decode_head(value: int) -> HeadRecord:
    """Decode the head."""
    x_pub, epoch, app_epoch, members, pending, flags = _unpack("the head", value, HEAD_FIELDS)
    due = _flag("the head's flags", flags, _FLAG_ROTATION_DUE)
    return HeadRecord(_address(x_pub), epoch, app_epoch, members, pending, due)


def decode_node(value: int) -> NodeRecord:
    """Decode a node's slot."""
    commitment, status, *rest = _unpack("a node", value, NODE_FIELDS)
    if status > max(Status):
        raise MalformedInput("a node has an unknown status", got=status)
    attempt, epoch, until, measurement, seed = rest
    return NodeRecord(
        _address(commitment), Status(status), attempt, epoch, until, measurement, seed
    )


def decode_epoch(first: int, second: int) -> EpochRecord:
    """Decode the first two slots of an epoch."""
    x_pub, since = _unpack("an epoch", first, EPOCH_FIELDS)
    app_root, _retired = _unpack("an epoch", second, APP_ROOT_FIELDS)
    return EpochRecord(_address(x_pub), _address(app_root), since)


def decode_measurement(value: int) -> MeasurementRecord:
    """Decode a measurement's slot."""
    index, state, genesis, active_from, removed_at = _unpack(
        "a measurement", value, MEASUREMENT_FIELDS
    )
    if state > max(MeasurementState):
        raise MalformedInput("a measurement has an unknown state", got=state)
    flag = _flag("a measurement's genesis flag", genesis, 1)
    return MeasurementRecord(index, MeasurementState(state), flag, active_from, removed_at)


def decode_genesis(document: int, value: int) -> GenesisRecord:
    """Decode the two slots of the genesis."""
    node, number, time = _unpack("the genesis", value, GENESIS_FIELDS)
    return GenesisRecord(document.to_bytes(32, "big"), _address(node), number, time)


def decode_rejected(value: int) -> bool:
    """Decode whether a node has rejected a member."""
    return _flag("a rejection", value, 1)


def _unpack(what: str, value: int, fields: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    parts = []
    for _, bits in fields:
        parts.append(value & ((1 << bits) - 1))
        value >>= bits
    if value:
        raise MalformedInput(f"{what} has bits above its fields", got=hex(value))
    return tuple(parts)


def _flag(what: str, value: int, bit: int) -> bool:
    if value not in (0, bit):
        raise MalformedInput(f"{what} has an unknown value", got=value)
    return value == bit


def _address(value: int) -> bytes:
    return value.to_bytes(20, "big")


def _word(address: Address) -> bytes:
    return address.rjust(32, b"\0")


def _mapping(key: Bytes32, base: Bytes32) -> bytes:
    """Return the slot of a mapping's entry (Solidity docs, "Mappings and Dynamic Arrays")."""
    return keccak256(key + base)
