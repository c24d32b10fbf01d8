"""Writes the contract's facts as Solidity would: slots and packing out of the contract's own layout.

Reads `contracts/release/storage-layout.json`, so that whoever reads these slots back with
`guest.chain.layout` compares the two.
"""

import json
from functools import cache
from pathlib import Path

from guest.chain.layout import (
    EpochRecord,
    GenesisRecord,
    HeadRecord,
    MeasurementRecord,
    NodeRecord,
)
from guest.protocol.primitives import keccak256

_ROOT = Path(__file__).parents[2]
LAYOUT = json.loads((_ROOT / "contracts/release/storage-layout.json").read_text())
_BASES: dict[str, int] = {entry["name"]: entry["slot"] for entry in LAYOUT["slots"]}
Entries = dict[bytes, int]
"""Storage slot to value."""


def head(record: HeadRecord) -> Entries:
    return _packed(
        "Head",
        _BASES["_head"],
        xPub=record.x_pub,
        epoch=record.epoch,
        appEpoch=record.app_epoch,
        members=record.members,
        pending=record.pending,
        flags=int(record.rotation_due),
    )


def node(address: bytes, record: NodeRecord) -> Entries:
    return _packed(
        "Node",
        _entry(_BASES["_nodes"], address),
        commitment=record.commitment,
        status=record.status,
        attempt=record.attempt,
        epoch=record.epoch,
        until=record.until,
        measurement=record.measurement_index,
        seed=record.seed,
    )


def epoch(number: int, record: EpochRecord, *, retired: int = 0) -> Entries:
    return _packed(
        "Epoch",
        _entry(_BASES["_epochs"], number.to_bytes(32, "big")),
        xPub=record.x_pub,
        since=record.since,
        appRoot=record.app_root,
        retired=retired,
    )


def measurement(measurement_id: bytes, record: MeasurementRecord) -> Entries:
    return _packed(
        "Measurement",
        _entry(_BASES["_measurements"], measurement_id),
        index=record.index,
        state=record.state,
        genesis=int(record.genesis),
        activeFrom=record.active_from,
        removedAt=record.removed_at,
    )


def genesis(record: GenesisRecord) -> Entries:
    document = {_slot(_BASES["_genesisDocument"]): int.from_bytes(record.document_hash, "big")}
    return document | _packed(
        "Genesis", _BASES["_genesis"], node=record.node, number=record.block, time=record.time
    )


def allowed(*indices: int) -> Entries:
    """The whole bitmap with these bits set; words that have none are not in it."""
    words: Entries = {}
    for index in indices:
        slot = _slot(_entry(_BASES["_allowed"], (index >> 8).to_bytes(32, "big")))
        words[slot] = words.get(slot, 0) | 1 << (index & 0xFF)
    return words


def rejected(node_address: bytes, by: bytes) -> Entries:
    inner = _entry(_BASES["_rejected"], node_address)
    return {_slot(_entry(inner, by)): 1}


def _packed(struct: str, base: int, **fields: bytes | int) -> Entries:
    entries: Entries = {}
    for member in LAYOUT["structs"][struct]:
        value = fields.get(member["name"], 0)
        number = value if isinstance(value, int) else int.from_bytes(value, "big")
        assert number < 256 ** member["bytes"], member
        slot = _slot(base + member["slot"])
        entries[slot] = entries.get(slot, 0) | number << (8 * member["offset"])
    return entries


@cache
def _entry(base: int, key: bytes) -> int:
    return int.from_bytes(keccak256(key.rjust(32, b"\0") + _slot(base)), "big")


def _slot(number: int) -> bytes:
    return (number % 2**256).to_bytes(32, "big")
