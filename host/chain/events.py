"""The contract's events as typed records. They are what a node told us: claims, not facts.

Owns one dataclass per event, fields in the order of the ABI (a test compares), and their decoding.
Enough to discover what to ask the guest; whatever it acts on, it proves from storage itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import cast

from guest.protocol.errors import MalformedInput
from host.chain import abi
from host.chain.blocks import BlockRef, LogEntry


class Status(IntEnum):
    """Where a node is in its life (contracts, IKeyManagerTypes.Status)."""

    NONE = 0
    PENDING = 1
    ONBOARDED = 2
    ACTIVE = 3
    FAILED = 4
    REVOKED = 5
    EXPIRED = 6
    UNCONFIRMED = 7


class Refusal(IntEnum):
    """Why an entry does not apply (contracts, IKeyManagerTypes.Refusal)."""

    NONE = 0
    NOT_PENDING = 1
    TOO_LATE = 2
    OTHER_ATTEMPT = 3
    OTHER_COMMITMENT = 4
    IMAGE_NOT_ALLOWED = 5
    MEMBER_REJECTED = 6
    NOT_ONBOARDED = 7
    OTHER_HANDOVER = 8
    OTHER_EPOCH = 9


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """The first node started the network; `lease` is unix seconds."""

    node: bytes
    enc_pub: bytes
    measurement_id: bytes
    anchor_number: int
    anchor_hash: bytes
    x_pub: bytes
    app_root: bytes
    document_hash: bytes
    lease: int


@dataclass(frozen=True, slots=True)
class EpochStarted:
    """An epoch began, with the addresses of its keys."""

    epoch: int
    x_pub: bytes
    app_root: bytes


@dataclass(frozen=True, slots=True)
class Registered:
    """A newcomer is Pending until `expires`, unix seconds.

    With its `sig` the event holds all that anyone needs to post the registration again.
    """

    node: bytes
    enc_pub: bytes
    measurement_id: bytes
    anchor_number: int
    anchor_hash: bytes
    document_hash: bytes
    seed: int
    expires: int
    sig: bytes


@dataclass(frozen=True, slots=True)
class Onboarded:
    """The member `by` handed the secret over, encrypted."""

    node: bytes
    by: bytes
    epoch: int
    attempt: int
    handover: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry of a batch did not apply; `by` is zero in a batch of receipts."""

    node: bytes
    by: bytes
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The newcomer is Active until `lease`, unix seconds."""

    node: bytes
    handover: bytes
    lease: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The newcomer refused the answer of `by`; `attempt` is the one refused."""

    node: bytes
    by: bytes
    attempt: int
    reason: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """A node's lease runs until `lease`, unix seconds."""

    node: bytes
    lease: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """A node was ended; `left` says whether by its own wish."""

    node: bytes
    was: Status
    left: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A newcomer rejected its last answer."""

    node: bytes


@dataclass(frozen=True, slots=True)
class Expired:
    """A node's time ran out."""

    node: bytes


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A newcomer got an answer and never said whether it was right."""

    node: bytes


@dataclass(frozen=True, slots=True)
class MeasurementProposed:
    """An image was proposed; it may be allowed from `active_from`, unix seconds."""

    id: bytes
    index: int
    image_hash: bytes
    active_from: int
    genesis: bool


@dataclass(frozen=True, slots=True)
class MeasurementActivated:
    """An image is allowed."""

    id: bytes
    index: int


@dataclass(frozen=True, slots=True)
class MeasurementCancelled:
    """A proposal was taken back."""

    id: bytes
    index: int


@dataclass(frozen=True, slots=True)
class MeasurementRemoved:
    """An image was taken out for ever."""

    id: bytes
    index: int


@dataclass(frozen=True, slots=True)
class ContainerProposed:
    """The app's container changes at `active_from`, unix seconds."""

    container: str
    active_from: int


ContractEvent = (
    Bootstrapped
    | EpochStarted
    | Registered
    | Onboarded
    | Skipped
    | Confirmed
    | Rejected
    | Renewed
    | Revoked
    | Failed
    | Expired
    | Unconfirmed
    | MeasurementProposed
    | MeasurementActivated
    | MeasurementCancelled
    | MeasurementRemoved
    | ContainerProposed
)

EVENT_TYPES: tuple[type[ContractEvent], ...] = (
    Bootstrapped,
    EpochStarted,
    Registered,
    Onboarded,
    Skipped,
    Confirmed,
    Rejected,
    Renewed,
    Revoked,
    Failed,
    Expired,
    Unconfirmed,
    MeasurementProposed,
    MeasurementActivated,
    MeasurementCancelled,
    MeasurementRemoved,
    ContainerProposed,
)


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event and where it stands: block, transaction, index of the log in its block."""

    event: ContractEvent
    block: BlockRef
    tx_hash: bytes
    index: int


@cache
def _by_topic() -> dict[bytes, tuple[abi.Entry, type[ContractEvent]]]:
    entries = {entry.name: entry for entry in abi.release().of_kind("event")}
    return {entries[t.__name__].topic: (entries[t.__name__], t) for t in EVENT_TYPES}


def decode_event(log: LogEntry) -> SeenEvent | None:
    """Decode one log; None for events that no host acts on (ownership).

    Raises `MalformedInput` for a log that the contract cannot have made.
    """
    known = _by_topic().get(log.topics[0]) if log.topics else None
    if known is None:
        return None
    entry, record = known
    indexed = [p.type for p in entry.inputs if p.indexed]
    if len(indexed) != len(log.topics) - 1:
        raise MalformedInput(f"a log of {entry.name} has other topics", got=len(log.topics))
    named = iter(abi.decode(indexed, b"".join(log.topics[1:])))
    plain = iter(abi.decode([p.type for p in entry.inputs if not p.indexed], log.data))
    values = [next(named) if p.indexed else next(plain) for p in entry.inputs]
    return SeenEvent(_record(record, values), log.block, log.tx_hash, log.index)


def _record(record: type[ContractEvent], values: list[abi.AbiValue]) -> ContractEvent:
    try:
        if record is Skipped:
            values[-1] = Refusal(cast("int", values[-1]))
        elif record is Revoked:
            values[1] = Status(cast("int", values[1]))
    except ValueError:
        raise MalformedInput(f"a log of {record.__name__} has an unknown enum value") from None
    return cast("Callable[..., ContractEvent]", record)(*values)
