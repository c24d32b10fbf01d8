"""The rows of the outbox: actions, the transactions signed for them, and what the chain says of these.

Owns shapes only; `host.chain.outbox` decides over them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from host.chain.blocks import BlockRef
from host.chain.fees import Fees


class State(StrEnum):
    """Where an action is."""

    INTENDED = "intended"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    STALE = "stale"
    CANCELLING = "cancelling"


TERMINAL = frozenset({State.FINAL, State.SUPERSEDED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do on the chain, once.

    `target` is 20 bytes, or empty to create a contract. After block `good_until` the calldata cannot
    succeed. `block`, `tx_hash` and `gas_used` say where it was mined. `changed_at` is a block number,
    `created` and `updated` are unix seconds.
    """

    key: str
    kind: str
    target: bytes
    calldata: bytes
    good_until: int | None
    created: int
    updated: int
    state: State = State.INTENDED
    nonce: int | None = None
    tx_hash: bytes | None = None
    block: BlockRef | None = None
    gas_used: int | None = None
    verdict: State | None = None
    detail: str = ""
    changed_at: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction for an action; `cancels` if it is the empty transfer in its place.

    `refused`: a node found its fees too low.
    """

    tx_hash: bytes
    key: str
    nonce: int
    raw: bytes
    cancels: bool
    gas: int
    fees: Fees
    made_at: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says about a mined attempt."""

    tx_hash: bytes
    block: BlockRef
    succeeded: bool
    gas_used: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What one node says at one moment.

    `count`, `final_count` and `pending_count` are the key's transaction counts at the newest block, at
    the finalised one and with the pool; `finalized` is a block number, -1 if nothing is final.
    """

    head: int
    count: int
    final_count: int
    pending_count: int
    finalized: int
    receipts: Mapping[bytes, Receipt]
    in_pool: frozenset[bytes]
