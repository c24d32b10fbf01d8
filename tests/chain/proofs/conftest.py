"""A real node and the real contract, driven through unlocked accounts."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from guest.protocol.digests import Domain
from guest.protocol.network import Kind, Network, TcbPolicy, Trust
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import ZERO_ADDRESS
from host.chain import abi
from host.chain.abi import AbiValue
from host.chain.hexdata import Json, to_data
from host.chain.rpc import RpcClient

_ROOT = Path(__file__).parents[3]
ANVIL = _ROOT / "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
CHAIN_ID = 31337
NETWORK_ID = keccak256(b"a network on a local chain")
ROOT_HASH = keccak256(b"the attestation root's public key")
Start = Callable[..., str]


class LiveContract:
    """The key manager on a local chain; every `send` is a block of its own."""

    def __init__(self, rpc: RpcClient, owner: str) -> None:
        self.rpc = rpc
        self.owner = owner
        self.address = ZERO_ADDRESS

    async def deploy(self) -> None:
        arguments = (bytes.fromhex(self.owner[2:]), NETWORK_ID, ROOT_HASH, 0, False)
        types = ["address", "bytes32", "bytes32", "uint32", "bool"]
        code = abi.release().creation_code + abi.encode(types, arguments)
        receipt = await self._mined({"from": self.owner, "data": to_data(code), "gas": "0x1c9c380"})
        self.address = bytes.fromhex(str(receipt["contractAddress"])[2:])

    async def send(self, name: str, *values: AbiValue) -> dict[str, Json]:
        call = to_data(abi.encode_call(name, *values))
        to = to_data(self.address)
        return await self._mined({"from": self.owner, "to": to, "data": call, "gas": "0x5b8d80"})

    async def read(self, name: str, *values: AbiValue) -> tuple[AbiValue, ...]:
        call = {"to": to_data(self.address), "data": to_data(abi.encode_call(name, *values))}
        answer = await self.rpc.call("eth_call", call, "latest")
        return abi.decode_result(name, bytes.fromhex(str(answer)[2:]))

    async def block(self, tag: str = "latest") -> tuple[int, bytes]:
        block = await self.rpc.call("eth_getBlockByNumber", tag, False)
        assert isinstance(block, dict)
        return int(str(block["number"]), 16), bytes.fromhex(str(block["hash"])[2:])

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc.call("evm_mine")

    async def network(self, trust: Trust, witness: bytes = ZERO_ADDRESS) -> Network:
        code = await self.rpc.call("eth_getCode", to_data(self.address), "latest")
        return Network(
            network_id=NETWORK_ID,
            kind=Kind.TEST,
            chain_id=CHAIN_ID,
            contract=self.address,
            code_hash=keccak256(bytes.fromhex(str(code)[2:])),
            attestation_root=b"\x30\x00",
            trust=trust,
            witness=witness,
            notice_floor=0,
            notice=0,
            max_view_age=60,
            tcb=TcbPolicy(("UpToDate",), (), 0),
        )

    @property
    def domain(self) -> Domain:
        return Domain(CHAIN_ID, self.address, test=True)

    async def _mined(self, transaction: dict[str, Json]) -> dict[str, Json]:
        digest = await self.rpc.call("eth_sendTransaction", transaction)
        await self.rpc.call("evm_mine")
        receipt = await self.rpc.call("eth_getTransactionReceipt", digest)
        assert isinstance(receipt, dict)
        assert receipt["status"] == "0x1", receipt
        return receipt


@pytest.fixture
def start_anvil() -> Iterator[Start]:
    """Starts nodes on ports of their own and returns their URLs; all are stopped afterwards."""
    with ExitStack() as stack:

        def start(*options: str) -> str:
            command = [ANVIL, "--port", "0", "--chain-id", str(CHAIN_ID), "--no-mining", *options]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Listening on "):
                    drain = threading.Thread(target=process.stdout.read, daemon=True)
                    drain.start()
                    stack.callback(drain.join, timeout=20)
                    stack.callback(process.terminate)
                    return "http://" + line.removeprefix("Listening on ").strip()
            raise AssertionError("anvil did not start")

        yield start
