"""Blocks and logs as a node tells them: claims, with the header fields kept as they came.

Owns the reading of `eth_getBlockBy*` and `eth_getLogs` answers into bounded records. It judges
nothing: whether the fields hash to the claimed hash is for the guest, who gets them as a header.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from guest.protocol.errors import MalformedInput
from guest.protocol.primitives import keccak256
from host.chain.hexdata import Json, data, fixed, items, members, quantity

MAX_LOGS = 10_000
MAX_LOG_DATA = 128 * 1024
"""More than a transaction's calldata can be, and so more than our contract can emit."""

_MAX_FIELDS = 64
_MAX_FIELD = 4096
_BLOOM_BYTES = 256
_EMPTY_TRIE = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")
"""Root of a trie without entries (Yellow Paper, appendix D): a block without receipts."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """Which block: numbers alone do not name one."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class BlockFields:
    """One block's header as the node told it. `timestamp` in seconds, `base_fee` in wei.

    `fields` holds every text member of the JSON answer by its JSON-RPC name ("stateRoot", ...),
    unchanged, so that the header can be rebuilt from it.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: int
    fields: Mapping[str, str]

    @property
    def ref(self) -> BlockRef:
        """Number and hash."""
        return BlockRef(self.number, self.hash)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One log of the contract, and where it stands."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block: BlockRef
    tx_hash: bytes
    index: int


def parse_block(value: Json) -> BlockFields:
    """Read one block; raises `MalformedInput`, also for null (the node does not have it)."""
    block = members(value, "a block")
    if len(block) > _MAX_FIELDS:
        raise MalformedInput("a block has too many members", got=len(block))
    texts = {name: text for name, text in block.items() if isinstance(text, str)}
    if any(len(name) + len(text) > _MAX_FIELD for name, text in texts.items()):
        raise MalformedInput("a block's header has an oversized member")
    return BlockFields(
        number=quantity(block.get("number"), "a block's number", bits=64),
        hash=fixed(block.get("hash"), "a block's hash", 32),
        parent_hash=fixed(block.get("parentHash"), "a block's parent", 32),
        timestamp=quantity(block.get("timestamp"), "a block's time", bits=64),
        base_fee=quantity(block.get("baseFeePerGas", "0x0"), "a block's base fee", bits=128),
        fields=MappingProxyType(texts),
    )


def may_hold_logs(block: BlockFields, address: bytes) -> bool:
    """Whether `address` can have logged in `block`, so that idle blocks cost no `eth_getLogs`.

    Reads the header's bloom filter (Yellow Paper, 4.4.3). Says yes when in doubt: no bloom, or an
    all-zero one above a receipts trie that is not empty, as chains without bloom filters have it.
    """
    try:
        receipts = fixed(block.fields.get("receiptsRoot"), "receiptsRoot", 32)
        bloom = fixed(block.fields.get("logsBloom"), "logsBloom", _BLOOM_BYTES)
    except MalformedInput:
        return True
    if receipts == _EMPTY_TRIE:
        return False
    if not any(bloom):
        return True
    digest = keccak256(address)
    bits = [int.from_bytes(digest[i : i + 2], "big") & 2047 for i in (0, 2, 4)]
    return all(bloom[_BLOOM_BYTES - 1 - bit // 8] >> (bit % 8) & 1 for bit in bits)


def parse_logs(value: Json) -> tuple[LogEntry, ...]:
    """Read an `eth_getLogs` answer, in chain order; logs marked as removed are left out."""
    entries = [members(entry, "a log") for entry in items(value, "the logs", max_items=MAX_LOGS)]
    logs = [_log(entry) for entry in entries if entry.get("removed") is not True]
    return tuple(sorted(logs, key=lambda log: (log.block.number, log.index)))


def _log(log: dict[str, Json]) -> LogEntry:
    topics = items(log.get("topics"), "a log's topics", max_items=4)
    return LogEntry(
        address=fixed(log.get("address"), "a log's address", 20),
        topics=tuple(fixed(topic, "a log's topic", 32) for topic in topics),
        data=data(log.get("data"), "a log's data", max_size=MAX_LOG_DATA),
        block=BlockRef(
            quantity(log.get("blockNumber"), "a log's block number", bits=64),
            fixed(log.get("blockHash"), "a log's block hash", 32),
        ),
        tx_hash=fixed(log.get("transactionHash"), "a log's transaction", 32),
        index=quantity(log.get("logIndex"), "a log's index", bits=32),
    )
