"""The contract's storage as proven under one header.

Owns the way from proven slots to records. A fact that was not proven cannot be read: asking for it is
our own bug and raises `ProtocolViolation`, for a missing proof must never read as zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from guest.chain import layout
from guest.chain.layout import (
    Base,
    EpochRecord,
    GenesisRecord,
    HeadRecord,
    MeasurementRecord,
    NodeRecord,
    Wanted,
)
from guest.evidence.header import Header
from guest.evidence.state_proof import ProvenAccount
from guest.protocol.errors import ProtocolViolation
from guest.protocol.sizes import Address, Bytes32

_Key = TypeVar("_Key")
_Fact = TypeVar("_Fact")


@dataclass(frozen=True, slots=True)
class ContractState:
    """Facts of the contract, all true under `header`. Made by `from_proof` only."""

    header: Header
    _head: HeadRecord = field(repr=False)
    _epochs: Mapping[int, EpochRecord] = field(repr=False)
    _nodes: Mapping[bytes, NodeRecord] = field(repr=False)
    _measurements: Mapping[bytes, MeasurementRecord] = field(repr=False)
    _allowed: Mapping[int, int] = field(repr=False)
    _rejected: Mapping[tuple[bytes, bytes], bool] = field(repr=False)
    _genesis: GenesisRecord | None = field(repr=False)

    def head(self) -> HeadRecord:
        """Return the head; every state has it."""
        return self._head

    def epoch(self, number: int) -> EpochRecord:
        """Return an epoch's addresses; zeros when it has not begun."""
        return _proven(self._epochs, number, "epoch")

    def node(self, address: Address) -> NodeRecord:
        """Return a node; status NONE when it never registered."""
        return _proven(self._nodes, address, "node")

    def measurement(self, measurement: Bytes32) -> MeasurementRecord:
        """Return a measurement; state NONE when it was never proposed."""
        return _proven(self._measurements, measurement, "measurement")

    def allowed(self, index: int) -> bool:
        """Return the bit of a measurement's index in the bitmap."""
        return bool(_proven(self._allowed, index >> 8, "bitmap word") >> (index & 0xFF) & 1)

    def rejected(self, node: Address, by: Address) -> bool:
        """Return whether `node` has rejected an answer of `by`."""
        return _proven(self._rejected, (node, by), "rejection")

    def genesis(self) -> GenesisRecord:
        """Return the genesis; zeros before the bootstrap."""
        if self._genesis is None:
            raise ProtocolViolation("this view did not ask for the genesis")
        return self._genesis


def from_proof(account: ProvenAccount, wanted: Wanted) -> ContractState:
    """Decode every wanted fact of a proven account at once; raises `MalformedInput`.

    Raises `ProtocolViolation` when the account was proven for other slots than `wanted` names.
    """
    slots = account.slots

    def at(slot: bytes) -> int:
        return _proven(slots, slot, "slot")

    genesis = None
    if wanted.genesis:
        document, packed = (
            at(layout.base_slot(base)) for base in (Base.GENESIS_DOCUMENT, Base.GENESIS)
        )
        genesis = layout.decode_genesis(document, packed)
    return ContractState(
        header=account.header,
        _head=layout.decode_head(at(layout.base_slot(Base.HEAD))),
        _epochs={
            epoch: layout.decode_epoch(*[at(slot) for slot in layout.epoch_slots(epoch)])
            for epoch in wanted.epochs
        },
        _nodes={node: layout.decode_node(at(layout.node_slot(node))) for node in wanted.nodes},
        _measurements={
            measurement: layout.decode_measurement(at(layout.measurement_slot(measurement)))
            for measurement in wanted.measurements
        },
        _allowed={word: at(layout.allowed_slot(word)) for word in wanted.allowed_words},
        _rejected={
            (node, by): layout.decode_rejected(at(layout.rejected_slot(node, by)))
            for node, by in wanted.rejected
        },
        _genesis=genesis,
    )


def _proven(facts: Mapping[_Key, _Fact], key: _Key, what: str) -> _Fact:
    try:
        return facts[key]
    except KeyError:
        raise ProtocolViolation(f"this view did not ask for that {what}", got=key) from None
