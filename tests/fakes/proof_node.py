"""A node (`host.chain.rpc.Node`) over the in-memory chain that serves headers and proofs as JSON."""

from collections.abc import Callable, Sequence

from guest.protocol import rlp
from host.chain.hexdata import Json, to_data
from host.chain.rpc import Call, RpcError
from tests.fakes.fake_chain import Block, FakeChain

NAMES = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
    "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash",
    "nonce", "baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas",
    "parentBeaconBlockRoot", "requestsHash", "blockAccessListHash", "slotNumber",
)  # fmt: skip
INTEGERS = {
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
    "excessBlobGas", "slotNumber",
}  # fmt: skip


def block_json(header: bytes, digest: bytes) -> dict[str, Json]:
    """A header as `eth_getBlockByNumber` tells it."""
    items = rlp.decode(header, max_size=2048)
    assert isinstance(items, list)
    told: dict[str, Json] = {"hash": to_data(digest), "size": "0x1", "transactions": []}
    for name, item in zip(NAMES, items, strict=False):
        assert isinstance(item, bytes)
        told[name] = hex(int.from_bytes(item, "big")) if name in INTEGERS else to_data(item)
    return told


class ProofNode:
    """`before` runs ahead of each request, `after` may spoil an answer; `requests` counts batches."""

    origin = "http://fake"

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.requests: list[list[str]] = []
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[Call, Json | RpcError], Json | RpcError] = lambda _, answer: answer

    async def call(self, method: str, *params: Json) -> Json:
        answer = (await self.batch([Call(method, params)]))[0]
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[Json | RpcError]:
        self.before(len(self.requests))
        self.requests.append([call.method for call in calls])
        return [self.after(call, self._answer(call)) for call in calls]

    def _answer(self, call: Call) -> Json | RpcError:
        if call.method == "eth_blockNumber":
            return hex(self.chain.head.number)
        if call.method == "evm_mine":
            self.chain.mine()
            return "0x0"
        if call.method == "eth_getBlockByNumber":
            block = self._at(call.params[0])
            return None if block is None else block_json(block.header, block.hash)
        assert call.method == "eth_getProof"
        address, keys, tag = call.params
        block = self._at(tag)
        assert isinstance(address, str)
        assert isinstance(keys, list)
        if block is None:
            return RpcError(self.origin, call.method, -32000, "header not found", b"")
        contract = bytes.fromhex(address[2:])
        whole = block.prove(contract, [])
        account: Json = [to_data(node) for node in whole.nodes]
        proofs: list[Json] = []
        for key in keys:
            nodes = block.prove(contract, [bytes.fromhex(str(key)[2:])]).nodes
            only: list[Json] = [to_data(n) for n in nodes if n not in whole.nodes]
            proofs.append({"key": key, "value": "0x0", "proof": only})
        return {"address": address, "accountProof": account, "storageProof": proofs}

    def _at(self, tag: Json) -> Block | None:
        assert isinstance(tag, str)
        named = {
            "latest": self.chain.head,
            "finalized": self.chain.finalised,
            "earliest": self.chain.blocks[0],
        }
        if tag in named:
            return named[tag]
        number = int(tag, 16)
        return self.chain.blocks[number] if number < len(self.chain.blocks) else None
