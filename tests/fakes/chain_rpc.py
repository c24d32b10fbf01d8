"""A small Ethereum behind the `Node` interface: blocks, a pool, reorgs, finality, and bad manners.

Its one contract takes calldata b"do:<id>[:<block>]": the first one with an id succeeds, the same again
reverts; with a block number it reverts as UnknownBlock once that block is 256 old. Everything is
decided by the test that drives it, nothing by time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from guest.protocol import rlp
from guest.protocol.errors import Unavailable
from guest.protocol.primitives import keccak256, recover_address
from host.chain import abi
from host.chain.hexdata import Json
from host.chain.rpc import Call, RpcError

CONTRACT = b"\xc0" * 20
GWEI = 10**9
_EMPTY_TRIE = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


class CrashPoint(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Tx:
    hash: bytes
    raw: bytes
    sender: bytes
    nonce: int
    tip: int
    max_fee: int
    to: bytes
    data: bytes


@dataclass(frozen=True)
class Log:
    topics: tuple[bytes, ...]
    data: bytes
    address: bytes = CONTRACT


@dataclass
class Block:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    txs: list[Tx] = field(default_factory=list)
    failed: set[bytes] = field(default_factory=set)
    logs: list[Log] = field(default_factory=list)


def parse_tx(raw: bytes) -> Tx:
    assert raw[0] == 2
    f = rlp.decode(raw[1:], max_size=200_000)
    assert isinstance(f, list)
    i = [int.from_bytes(x, "big") if isinstance(x, bytes) else 0 for x in f]
    digest = keccak256(b"\x02" + rlp.encode(f[:9]))
    signature = i[10].to_bytes(32, "big") + i[11].to_bytes(32, "big") + bytes([27 + i[9]])
    to, data = f[5], f[7]
    assert isinstance(to, bytes)
    assert isinstance(data, bytes)
    return Tx(keccak256(raw), raw, recover_address(digest, signature), i[1], i[2], i[3], to, data)


class FakeChain:
    """Implements `Node`. `mine`, `reorg`, `drop_pool` drive it; `faults` breaks single calls."""

    origin = "http://fake"

    def __init__(self, *, final_depth: int = 2, chain_id: int = 31337) -> None:
        self.chain_id = chain_id
        self.final_depth = final_depth
        self.forks = 0
        self.base_fee = GWEI
        self.blocks: list[Block] = [Block(0, keccak256(b"genesis"), bytes(32), 1_700_000_000)]
        self.pool: dict[tuple[bytes, int], Tx] = {}
        self.calls: list[str] = []
        self.sent: list[bytes] = []
        self.fault: Callable[[str], None] = lambda _: None
        self.max_log_range = 10**9
        self.block_time = 12

    # --- driving ---

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def mine(self, count: int = 1, *, logs: Sequence[Log] = (), take_pool: bool = True) -> None:
        for _ in range(count):
            head = self.head
            name = keccak256(head.hash + bytes([self.forks % 256]) + head.number.to_bytes(8, "big"))
            block = Block(head.number + 1, name, head.hash, head.timestamp + self.block_time)
            block.logs = list(logs)
            self.blocks.append(block)
            if take_pool:
                self._fill(block)

    def _fill(self, block: Block) -> None:
        progress = True
        while progress:
            progress = False
            for key, tx in sorted(self.pool.items()):
                if tx.nonce == self.count(tx.sender) and tx.max_fee >= self.base_fee + tx.tip:
                    problem = self._run(tx.data, self.done() if tx.to == CONTRACT else set(), tx.to)
                    block.txs.append(tx)
                    if problem is not None:
                        block.failed.add(tx.hash)
                    del self.pool[key]
                    progress = True

    def reorg(self, depth: int, *, grow: int = 1, back_to_pool: bool = False) -> None:
        """Replace the last `depth` blocks by `depth + grow` empty ones."""
        self.forks += 1
        dropped = self.blocks[-depth:]
        del self.blocks[-depth:]
        for tx in [tx for block in dropped for tx in block.txs]:
            if back_to_pool:
                self.pool[tx.sender, tx.nonce] = tx
        self.mine(depth + grow, take_pool=False)

    def rollback(self, depth: int) -> None:
        self.forks += 1
        del self.blocks[-depth:]

    def drop_pool(self) -> None:
        self.pool.clear()

    def put(self, tx: Tx) -> None:
        self.pool[tx.sender, tx.nonce] = tx

    # --- reading ---

    def count(self, sender: bytes, upto: int | None = None) -> int:
        blocks = self.blocks if upto is None else self.blocks[: upto + 1]
        return sum(tx.sender == sender for block in blocks for tx in block.txs)

    def pending_count(self, sender: bytes) -> int:
        n = self.count(sender)
        while (sender, n) in self.pool:
            n += 1
        return n

    def done(self, *, pool: bool = False) -> set[bytes]:
        ids = {
            _id_of(tx.data)
            for block in self.blocks
            for tx in block.txs
            if tx.to == CONTRACT and tx.hash not in block.failed
        }
        return ids | ({_id_of(tx.data) for tx in self.pool.values()} if pool else set())

    def mined(self) -> list[tuple[Tx, bool]]:
        return [(tx, tx.hash not in b.failed) for b in self.blocks for tx in b.txs]

    @property
    def final(self) -> int:
        return max(-1, self.head.number - self.final_depth) if self.head.number else -1

    def _run(self, data: bytes, done: set[bytes], to: bytes) -> bytes | None:
        """Return revert data, or None for success."""
        if to != CONTRACT or not data.startswith(b"do:"):
            return None
        parts = data.split(b":")
        if len(parts) > 2 and self.head.number - int(parts[2]) > 256:
            entry = abi.release().entry("error", "UnknownBlock")
            return entry.selector + abi.encode(
                ["uint64", "bytes32", "bytes32"], (int(parts[2]), bytes(32), bytes(32))
            )
        if parts[1] in done:
            entry = abi.release().entry("error", "AlreadyBootstrapped")
            return entry.selector + abi.encode(["uint32"], (1,))
        return None

    # --- Node ---

    async def call(self, method: str, *params: Json) -> Json:
        answer = (await self.batch((Call(method, params),)))[0]
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Json | RpcError]:
        answers: list[Json | RpcError] = []
        for call in calls:
            self.calls.append(call.method)
            try:
                self.fault("before " + call.method)
                answers.append(self._answer(call))
            except RpcError as e:
                answers.append(e)
            self.fault("after " + call.method)
        return answers

    def _answer(self, call: Call) -> Json:
        method = getattr(self, "_" + call.method, None)
        if method is None:
            raise RpcError(self.origin, call.method, -32601, "method not found", b"")
        answer: Json = method(*call.params)
        return answer

    def _eth_chainId(self) -> Json:  # noqa: N802
        return hex(self.chain_id)

    def _eth_blockNumber(self) -> Json:  # noqa: N802
        return hex(self.head.number)

    def _at(self, tag: Json) -> int:
        if tag in ("latest", "pending"):
            return self.head.number
        if tag == "finalized":
            return self.final
        assert isinstance(tag, str)
        return int(tag, 16)

    def _eth_getBlockByNumber(self, tag: Json, full: Json) -> Json:  # noqa: N802
        assert full is False
        at = self._at(tag)
        if not 0 <= at < len(self.blocks):
            return None
        return self.block_json(self.blocks[at])

    def block_json(self, block: Block) -> dict[str, Json]:
        bloom = bytearray(256)
        for log in block.logs:
            digest = keccak256(log.address)
            for i in (0, 2, 4):
                bit = int.from_bytes(digest[i : i + 2], "big") & 2047
                bloom[255 - bit // 8] |= 1 << bit % 8
        receipts = "0x" + keccak256(block.hash).hex() if block.logs or block.txs else _EMPTY_TRIE
        return {
            "number": hex(block.number),
            "hash": "0x" + block.hash.hex(),
            "parentHash": "0x" + block.parent.hex(),
            "timestamp": hex(block.timestamp),
            "baseFeePerGas": hex(self.base_fee),
            "receiptsRoot": receipts,
            "logsBloom": "0x" + bloom.hex(),
            "transactions": [],
        }

    def _eth_getLogs(self, where: Json) -> Json:  # noqa: N802
        assert isinstance(where, dict)
        if "blockHash" in where:
            blocks = [b for b in self.blocks if "0x" + b.hash.hex() == where["blockHash"]]
            if not blocks:
                raise RpcError(self.origin, "eth_getLogs", -32000, "unknown block", b"")
        else:
            low, high = self._at(where["fromBlock"]), self._at(where["toBlock"])
            if high - low + 1 > self.max_log_range:
                raise RpcError(
                    self.origin,
                    "eth_getLogs",
                    -32600,
                    f"You can make eth_getLogs requests with up to a {self.max_log_range} block range",
                    b"",
                )
            blocks = self.blocks[low : high + 1]
        return [
            {
                "address": "0x" + log.address.hex(),
                "topics": ["0x" + topic.hex() for topic in log.topics],
                "data": "0x" + log.data.hex(),
                "blockNumber": hex(block.number),
                "blockHash": "0x" + block.hash.hex(),
                "transactionHash": "0x" + bytes(32).hex(),
                "logIndex": hex(i),
                "removed": False,
            }
            for block in blocks
            for i, log in enumerate(block.logs)
        ]

    def _eth_getTransactionCount(self, who: Json, tag: Json) -> Json:  # noqa: N802
        assert isinstance(who, str)
        sender = bytes.fromhex(who[2:])
        if tag == "pending":
            return hex(self.pending_count(sender))
        if self._at(tag) < 0:
            raise RpcError(self.origin, "eth_getTransactionCount", -32000, "no final block", b"")
        return hex(self.count(sender, self._at(tag)))

    def _eth_feeHistory(self, *_: Json) -> Json:  # noqa: N802
        return {"baseFeePerGas": [hex(self.base_fee)] * 6, "reward": [[hex(GWEI)]] * 5}

    def _eth_maxPriorityFeePerGas(self) -> Json:  # noqa: N802
        return hex(GWEI)

    def _eth_estimateGas(self, call: Json, tag: Json) -> Json:  # noqa: N802
        assert isinstance(call, dict)
        to, data = call.get("to", "0x"), call["data"]
        assert isinstance(to, str)
        assert isinstance(data, str)
        problem = self._run(
            bytes.fromhex(data[2:]), self.done(pool=tag == "pending"), bytes.fromhex(to[2:])
        )
        if problem is not None:
            raise RpcError(self.origin, "eth_estimateGas", 3, "execution reverted", problem)
        return hex(50_000)

    def _find(self, tx_hash: Json) -> tuple[Tx, Block | None] | None:
        for block in self.blocks:
            for tx in block.txs:
                if "0x" + tx.hash.hex() == tx_hash:
                    return tx, block
        for tx in self.pool.values():
            if "0x" + tx.hash.hex() == tx_hash:
                return tx, None
        return None

    def _eth_getTransactionByHash(self, tx_hash: Json) -> Json:  # noqa: N802
        return None if self._find(tx_hash) is None else {"hash": tx_hash}

    def _eth_getTransactionReceipt(self, tx_hash: Json) -> Json:  # noqa: N802
        found = self._find(tx_hash)
        if found is None or found[1] is None:
            return None
        tx, block = found
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(block.number),
            "blockHash": "0x" + block.hash.hex(),
            "status": "0x0" if tx.hash in block.failed else "0x1",
            "gasUsed": hex(40_000),
        }

    def _eth_sendRawTransaction(self, raw: Json) -> Json:  # noqa: N802
        assert isinstance(raw, str)
        tx = parse_tx(bytes.fromhex(raw[2:]))
        self.sent.append(tx.hash)
        if self._find("0x" + tx.hash.hex()) is not None:
            raise self._refusal("already known")
        if tx.nonce < self.count(tx.sender):
            raise self._refusal("nonce too low")
        old = self.pool.get((tx.sender, tx.nonce))
        if old and (tx.max_fee * 8 < old.max_fee * 9 or tx.tip * 8 < old.tip * 9):
            raise self._refusal("replacement transaction underpriced")
        self.put(tx)
        return "0x" + tx.hash.hex()

    def _refusal(self, text: str) -> RpcError:
        return RpcError(self.origin, "eth_sendRawTransaction", -32000, text, b"")


def _id_of(data: bytes) -> bytes:
    parts = data.split(b":")
    return parts[1] if len(parts) > 1 else b""


def unavailable(_: str) -> None:
    """A fault: the node does not answer."""
    raise Unavailable("fake node is away")


__all__ = ["CONTRACT", "Block", "CrashPoint", "FakeChain", "Log", "Tx", "parse_tx", "replace"]
