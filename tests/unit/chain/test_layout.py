"""The guest's reading of the contract's storage is the contract's own layout."""

import re
from dataclasses import fields
from enum import IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.chain import layout
from guest.chain.layout import (
    Base,
    EpochRecord,
    GenesisRecord,
    HeadRecord,
    MeasurementRecord,
    MeasurementState,
    NodeRecord,
    Status,
    Wanted,
)
from guest.protocol.errors import MalformedInput, ProtocolViolation
from tests.fakes import contract_storage as contract

ROOT = Path(__file__).parents[3]

addresses = st.binary(min_size=20, max_size=20)
hashes = st.binary(min_size=32, max_size=32)


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


heads = st.builds(HeadRecord, addresses, uint(16), uint(16), uint(24), uint(24), st.booleans())
nodes = st.builds(
    NodeRecord, addresses, st.sampled_from(Status), uint(8), uint(16), uint(32), uint(16), uint(16)
)
epochs = st.builds(EpochRecord, addresses, addresses, uint(64))
measurements = st.builds(
    MeasurementRecord,
    uint(16),
    st.sampled_from(MeasurementState),
    st.booleans(),
    uint(40),
    uint(40),
)
geneses = st.builds(GenesisRecord, hashes, addresses, uint(48), uint(48))

VARIABLES = {
    Base.HEAD: "_head",
    Base.GENESIS_DOCUMENT: "_genesisDocument",
    Base.GENESIS: "_genesis",
    Base.NODES: "_nodes",
    Base.EPOCHS: "_epochs",
    Base.MEASUREMENTS: "_measurements",
    Base.ALLOWED: "_allowed",
    Base.REJECTED: "_rejected",
}
STRUCTS = {
    ("Head", 0): layout.HEAD_FIELDS,
    ("Node", 0): layout.NODE_FIELDS,
    ("Epoch", 0): layout.EPOCH_FIELDS,
    ("Epoch", 1): layout.APP_ROOT_FIELDS,
    ("Measurement", 0): layout.MEASUREMENT_FIELDS,
    ("Genesis", 0): layout.GENESIS_FIELDS,
}


@pytest.mark.parametrize("base", Base)
def test_every_variable_lies_where_the_contract_has_it(base: Base) -> None:
    declared = {entry["name"]: entry for entry in contract.LAYOUT["slots"]}
    assert declared[VARIABLES[base]]["slot"] == base
    assert declared[VARIABLES[base]]["offset"] == 0


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_slot_is_packed_as_the_contract_packs_it(struct: tuple[str, int]) -> None:
    name, slot = struct
    members = [m for m in contract.LAYOUT["structs"][name] if m["slot"] == slot]
    offset = 0
    for (field, bits), member in zip(STRUCTS[struct], members, strict=True):
        assert (field, bits // 8, offset) == (member["name"], member["bytes"], member["offset"])
        offset += bits // 8


@given(heads)
def test_a_head_is_read_as_written(record: HeadRecord) -> None:
    ((slot, value),) = contract.head(record).items()
    assert slot == layout.base_slot(Base.HEAD)
    assert layout.decode_head(value) == record


@given(addresses, nodes)
def test_a_node_is_read_as_written(address: bytes, record: NodeRecord) -> None:
    ((slot, value),) = contract.node(address, record).items()
    assert slot == layout.node_slot(address)
    assert layout.decode_node(value) == record


@given(uint(32), epochs, uint(64))
def test_an_epoch_is_read_as_written(number: int, record: EpochRecord, retired: int) -> None:
    entries = contract.epoch(number, record, retired=retired)
    first, second = layout.epoch_slots(number)
    assert layout.decode_epoch(entries[first], entries[second]) == record


@given(hashes, measurements)
def test_a_measurement_is_read_as_written(name: bytes, record: MeasurementRecord) -> None:
    ((slot, value),) = contract.measurement(name, record).items()
    assert slot == layout.measurement_slot(name)
    assert layout.decode_measurement(value) == record


@given(geneses)
def test_the_genesis_is_read_as_written(record: GenesisRecord) -> None:
    entries = contract.genesis(record)
    document = entries[layout.base_slot(Base.GENESIS_DOCUMENT)]
    assert layout.decode_genesis(document, entries[layout.base_slot(Base.GENESIS)]) == record


@given(addresses, addresses, uint(16))
def test_rejections_and_bitmap_words_lie_where_the_contract_has_them(
    node: bytes, by: bytes, index: int
) -> None:
    assert contract.rejected(node, by) == {layout.rejected_slot(node, by): 1}
    assert contract.allowed(index) == {layout.allowed_slot(index >> 8): 1 << (index & 255)}


@given(uint(256))
def test_any_word_decodes_or_is_malformed(value: int) -> None:
    for decode in (
        layout.decode_head,
        layout.decode_node,
        layout.decode_measurement,
        layout.decode_rejected,
        lambda word: layout.decode_epoch(word, word),
        lambda word: layout.decode_genesis(word, word),
    ):
        try:
            record = decode(value)
        except MalformedInput:
            continue
        assert record is not None


@pytest.mark.parametrize(
    ("decode", "value"),
    [
        (layout.decode_node, 8 << 160),
        (layout.decode_measurement, 5 << 16),
        (layout.decode_measurement, 2 << 24),
        (layout.decode_measurement, 1 << 112),
        (layout.decode_head, 2 << 240),
        (layout.decode_rejected, 2),
    ],
)
def test_what_the_contract_cannot_write_is_malformed(decode: object, value: int) -> None:
    assert callable(decode)
    with pytest.raises(MalformedInput):
        decode(value)


@pytest.mark.parametrize("kind", [Status, MeasurementState])
def test_the_enumerations_are_the_contracts(kind: type[IntEnum]) -> None:
    source = (ROOT / "contracts/src/interfaces/IKeyManager.sol").read_text()
    found = re.search(rf"enum {kind.__name__} \{{([^}}]*)\}}", source)
    assert found
    names = [name.strip().upper() for name in found[1].split(",")]
    assert names == [member.name for member in kind]
    assert [member.value for member in kind] == list(range(len(names)))


def test_wanted_names_each_slot_once_and_always_the_head() -> None:
    node = b"\x01" * 20
    wanted = Wanted(nodes=(node, node), epochs=(1, 1), genesis=True)
    slots = wanted.slots()
    assert slots[0] == layout.base_slot(Base.HEAD)
    assert len(slots) == len(set(slots)) == 1 + 1 + 2 + 2
    assert Wanted().slots() == (layout.base_slot(Base.HEAD),)


def test_wanting_more_than_a_view_can_prove_is_our_own_bug() -> None:
    wanted = Wanted(nodes=tuple(i.to_bytes(20, "big") for i in range(layout.MAX_SLOTS)))
    with pytest.raises(ProtocolViolation):
        wanted.slots()


def test_records_hold_every_field_of_their_slot_that_a_guest_decides_on() -> None:
    assert len(fields(NodeRecord)) == len(layout.NODE_FIELDS)
    assert len(fields(HeadRecord)) == len(layout.HEAD_FIELDS)
    assert len(fields(MeasurementRecord)) == len(layout.MEASUREMENT_FIELDS)
