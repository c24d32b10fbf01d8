"""Events, errors, blocks and logs out of a node's mouth: typed, or refused by our own error."""

import contextlib
import re
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol.errors import MalformedInput
from host.chain import abi
from host.chain.blocks import (
    BlockFields,
    BlockRef,
    LogEntry,
    may_hold_logs,
    parse_block,
    parse_logs,
)
from host.chain.events import EVENT_TYPES, Refusal, Revoked, Skipped, Status, decode_event
from host.chain.hexdata import Json
from host.chain.reverts import decode_revert
from tests.fakes.chain_rpc import CONTRACT, FakeChain, Log

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.just("0x01")
    | st.just("0x" + "ab" * 32),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
)


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("record", EVENT_TYPES)
def test_a_record_has_the_fields_of_its_event_in_the_order_of_the_abi(record: type) -> None:
    entry = abi.release().entry("event", record.__name__)
    assert [snake(p.name) for p in entry.inputs] == [f.name for f in fields(record)]


def test_every_event_of_the_contract_has_a_record_or_is_about_ownership() -> None:
    known = {record.__name__ for record in EVENT_TYPES}
    rest = {entry.name for entry in abi.release().of_kind("event")} - known
    assert rest == {"OwnershipTransferStarted", "OwnershipTransferred", "EIP712DomainChanged"}


def test_no_struct_of_the_contract_holds_a_string() -> None:
    """`abi.decode` takes text inside structs for addresses."""
    types = [p.type for e in abi.release().entries for p in (*e.inputs, *e.outputs)]
    assert not [t for t in types if "(" in t and "string" in t]


def _log(record: type, values: list[object]) -> LogEntry:
    entry = abi.release().entry("event", record.__name__)
    pairs = list(zip(entry.inputs, values, strict=True))
    topics = [abi.encode([p.type], (v,)) for p, v in pairs if p.indexed]  # type: ignore[arg-type]
    plain = [(p.type, v) for p, v in pairs if not p.indexed]
    data = abi.encode([t for t, _ in plain], tuple(v for _, v in plain))  # type: ignore[arg-type]
    return LogEntry(CONTRACT, (entry.topic, *topics), data, BlockRef(1, bytes(32)), bytes(32), 0)


_SAMPLES: dict[str, object] = {
    "address": b"\x12" * 20,
    "bytes32": b"\x34" * 32,
    "bytes": b"\x56" * 1168,
    "bool": True,
    "string": "ghcr.io/app@sha256:00",
}


@pytest.mark.parametrize("record", EVENT_TYPES)
def test_each_event_decodes_to_what_was_emitted(record: type) -> None:
    entry = abi.release().entry("event", record.__name__)
    values = [_SAMPLES.get(p.type, 3) for p in entry.inputs]
    seen = decode_event(_log(record, values))
    assert seen is not None
    assert type(seen.event) is record
    assert [getattr(seen.event, f.name) for f in fields(record)] == values


def test_enums_have_names_and_unknown_ones_are_refused() -> None:
    seen = decode_event(_log(Skipped, [b"\1" * 20, b"\2" * 20, 6]))
    assert seen is not None
    assert seen.event == Skipped(b"\1" * 20, b"\2" * 20, Refusal.MEMBER_REJECTED)
    with pytest.raises(MalformedInput):
        decode_event(_log(Skipped, [b"\1" * 20, b"\2" * 20, 200]))
    with pytest.raises(MalformedInput):
        decode_event(_log(Revoked, [b"\1" * 20, 99, True]))
    assert Status(3).name == "ACTIVE"


@given(
    record=st.sampled_from(EVENT_TYPES),
    topics=st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    data=st.binary(max_size=400),
)
def test_any_log_decodes_or_is_malformed(record: type, topics: list[bytes], data: bytes) -> None:
    topic = abi.release().entry("event", record.__name__).topic
    log = LogEntry(CONTRACT, (topic, *topics), data, BlockRef(1, bytes(32)), bytes(32), 0)
    with contextlib.suppress(MalformedInput):
        decode_event(log)


def test_a_log_without_topics_or_of_no_known_event_is_nobodys() -> None:
    for topics in ((), (bytes(32),)):
        log = LogEntry(CONTRACT, topics, b"", BlockRef(1, bytes(32)), bytes(32), 0)
        assert decode_event(log) is None


@given(data=st.binary(max_size=200))
def test_any_revert_data_has_a_text(data: bytes) -> None:
    assert str(decode_revert(data)).isprintable()


@pytest.mark.parametrize("entry", abi.release().of_kind("error"), ids=lambda e: e.name)
def test_every_custom_error_is_shown_by_name_and_arguments(entry: abi.Entry) -> None:
    values = tuple(_SAMPLES.get(p.type, 3) for p in entry.inputs)
    raw = entry.selector + abi.encode([p.type for p in entry.inputs], values)  # type: ignore[arg-type]
    revert = decode_revert(raw)
    assert revert.name == entry.name
    assert [name for name, _ in revert.arguments] == [p.name for p in entry.inputs]
    assert all(f"{p.name}=" in str(revert) for p in entry.inputs)


def test_what_solidity_itself_says_is_shown_too() -> None:
    text = bytes.fromhex("08c379a0") + abi.encode(["string"], ("no\nway",))
    panic = bytes.fromhex("4e487b71") + abi.encode(["uint256"], (17,))
    assert str(decode_revert(text)) == "Error(reason=no\\nway)"
    assert str(decode_revert(panic)) == "Panic(code=17)"


@given(value=JSON)
def test_any_json_is_a_block_or_malformed(value: Json) -> None:
    with contextlib.suppress(MalformedInput):
        parse_block(value)


@given(
    value=JSON | st.lists(st.fixed_dictionaries({"topics": JSON, "data": JSON, "address": JSON}))
)
def test_any_json_is_logs_or_malformed(value: Json) -> None:
    with contextlib.suppress(MalformedInput):
        parse_logs(value)


@given(name=st.sampled_from(["number", "hash", "parentHash", "timestamp"]), value=JSON)
def test_a_block_with_one_bad_field_is_malformed_or_right(name: str, value: Json) -> None:
    good = FakeChain().block_json(FakeChain().head)
    try:
        block = parse_block(good | {name: value})
    except MalformedInput:
        return
    assert isinstance(block, BlockFields)


@pytest.mark.parametrize(
    "oversized",
    [{"extraData": "0x" + "00" * 5000}, {str(n): "0x0" for n in range(100)}],
)
def test_a_header_that_no_chain_makes_is_refused(oversized: dict[str, str]) -> None:
    good = FakeChain().block_json(FakeChain().head)
    with pytest.raises(MalformedInput):
        parse_block(good | oversized)


def test_the_bloom_filter_finds_the_contract_and_doubt_means_yes() -> None:
    chain = FakeChain()
    chain.mine(logs=[Log((bytes(32),), b"")])
    chain.mine()
    with_log, without = (parse_block(chain.block_json(b)) for b in chain.blocks[1:])
    assert may_hold_logs(with_log, CONTRACT)
    assert not may_hold_logs(with_log, b"\x01" * 20)
    assert not may_hold_logs(without, CONTRACT)
    for odd in ({"logsBloom": "0x"}, {"logsBloom": "0x" + "00" * 256}, {"receiptsRoot": "0x1"}):
        assert may_hold_logs(parse_block(chain.block_json(chain.blocks[1]) | odd), CONTRACT)


def test_removed_logs_are_left_out_and_the_rest_is_in_chain_order() -> None:
    chain = FakeChain()
    for n in range(3):
        chain.mine(logs=[Log((bytes([n]) * 32,), b""), Log((bytes([n + 9]) * 32,), b"")])
    raw = chain._eth_getLogs({"address": "0x", "fromBlock": "0x0", "toBlock": "latest"})
    assert isinstance(raw, list)
    assert isinstance(raw[0], dict)
    raw[0]["removed"] = True
    logs = parse_logs(list(reversed(raw)))
    assert [(log.block.number, log.index) for log in logs] == [
        (1, 1),
        (2, 0),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
