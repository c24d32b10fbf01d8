"""The scanner on a real node with the real contract."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guest.protocol.errors import Misconfigured, Unavailable
from guest.protocol.primitives import keccak256
from host.chain import abi
from host.chain.events import MeasurementProposed
from host.chain.hexdata import Json, fixed, members, to_data
from host.chain.ledger import Identity, Ledger
from host.chain.rpc import RpcClient, RpcError
from host.chain.scanner import Scanner, Step
from host.chain.wallet import from_text
from tests.chain.conftest import CHAIN_ID, RICH_KEY, Anvil, StartAnvil

OWNER = from_text(RICH_KEY).address
Story = Callable[["Network"], Awaitable[None]]


class Network:
    """The contract, and a scanner whose steps can be awaited one by one."""

    def __init__(self, rpc: RpcClient, path: Path) -> None:
        self.rpc = rpc
        self.path = path
        self.address = b""
        self.steps: asyncio.Queue[Step] = asyncio.Queue()

    async def deploy(self) -> None:
        values = (OWNER, keccak256(b"network"), keccak256(b"root"), 0, False)
        types = ["address", "bytes32", "bytes32", "uint32", "bool"]
        code = abi.release().creation_code + abi.encode(types, values)
        receipt = await self.send({"data": to_data(code)})
        self.address = fixed(receipt["contractAddress"], "the contract", 20)

    async def propose(self, number: int) -> None:
        call = abi.encode_call("proposeMeasurement", bytes([number]) * 32, bytes(32))
        await self.send({"to": to_data(self.address), "data": to_data(call)})

    async def send(self, fields: dict[str, Json]) -> dict[str, Json]:
        tx = {"from": to_data(OWNER), "gas": "0x5b8d80"} | fields
        digest = await self.rpc.call("eth_sendTransaction", tx)
        await self.rpc.call("evm_mine")
        receipt = members(await self.rpc.call("eth_getTransactionReceipt", digest), "receipt")
        assert receipt["status"] == "0x1"
        return receipt

    async def follow(self, scanner: Scanner) -> None:
        async for step in scanner.steps():
            self.steps.put_nowait(step)

    async def until(self, enough: Callable[[Step], bool]) -> list[Step]:
        seen: list[Step] = []
        async with asyncio.timeout(30):
            while not seen or not enough(seen[-1]):
                seen.append(await self.steps.get())
        return seen


def proposed(steps: list[Step]) -> list[int]:
    return [
        seen.event.id[0]
        for step in steps
        for seen in step.events
        if isinstance(seen.event, MeasurementProposed)
    ]


def tell(
    anvil: Anvil, tmp_path: Path, story: Callable[[Network, Scanner], Awaitable[None]]
) -> None:
    async def body() -> None:
        async with RpcClient(anvil.url, chain_id=CHAIN_ID) as rpc:
            network = Network(rpc, tmp_path)
            await network.deploy()
            identity = Identity(CHAIN_ID, bytes(32), network.address, OWNER)
            with Ledger(tmp_path / "host.db", identity) as ledger:
                scanner = Scanner(rpc, ledger, network.address, 1)
                following = asyncio.ensure_future(network.follow(scanner))
                try:
                    await story(network, scanner)
                finally:
                    following.cancel()

    asyncio.run(asyncio.wait_for(body(), 120))


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_reorg_is_told_once_with_its_depth(
    anvils: StartAnvil, tmp_path: Path, depth: int
) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "5")

    async def story(network: Network, scanner: Scanner) -> None:
        await network.rpc.call("anvil_mine", "0xa")
        await network.propose(1)
        await network.rpc.call("anvil_mine", hex(depth - 1) if depth > 1 else "0x0")
        number = 11 + depth + (1 if depth == 0 else 0)
        steps = await network.until(lambda step: step.head.number >= number)
        assert proposed(steps) == [1]
        await network.rpc.call("anvil_reorg", depth, [])
        steps = await network.until(lambda step: step.reorg is not None)
        reorg = steps[-1].reorg
        assert reorg is not None
        assert reorg.common_ancestor == number - depth
        assert [b.number for b in reorg.dropped] == list(range(number - depth + 1, number + 1))
        assert proposed(steps) == []
        await network.propose(2)
        steps = await network.until(lambda step: bool(step.events))
        assert proposed(steps) == [2]
        header = scanner.recent_header(number)
        assert header is not None
        assert header.fields["stateRoot"].startswith("0x")

    tell(anvil, tmp_path, story)


def test_the_finalised_block_is_asked_for_once_a_head(anvils: StartAnvil, tmp_path: Path) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(network: Network, scanner: Scanner) -> None:
        await network.rpc.call("anvil_mine", "0xa")
        await network.until(lambda step: step.head.number >= 11)
        before = network.rpc.calls
        found = [await scanner.finalized() for _ in range(5)]
        assert [block.number for block in found if block] == [9] * 5
        assert network.rpc.calls - before <= 3  # the scanner itself may have polled

    tell(anvil, tmp_path, story)


def test_an_idle_chain_of_one_second_blocks_costs_two_calls_a_block(
    anvils: StartAnvil, tmp_path: Path
) -> None:
    anvil = anvils("--block-time", "1", "--slots-in-an-epoch", "1")

    async def body() -> None:
        async with RpcClient(anvil.url, chain_id=CHAIN_ID) as rpc:
            network = Network(rpc, tmp_path)
            identity = Identity(CHAIN_ID, bytes(32), bytes(20), OWNER)
            with Ledger(tmp_path / "host.db", identity) as ledger:
                scanner = Scanner(rpc, ledger, b"\x0f" * 20, 0)
                following = asyncio.ensure_future(network.follow(scanner))
                steps = await network.until(lambda step: step.head.number >= 6)
                before, first = rpc.calls, steps[-1].head.number
                steps = await network.until(lambda step: step.head.number >= first + 8)
                following.cancel()
                assert rpc.calls - before <= 2 * (steps[-1].head.number - first)

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_node_that_hangs_or_dies_is_waited_for_and_another_chain_refused(
    anvils: StartAnvil,
) -> None:
    anvil = anvils("--no-mining")

    async def body() -> None:
        async with RpcClient(anvil.url, chain_id=CHAIN_ID, timeout=0.3) as rpc:
            assert await rpc.call("eth_blockNumber") == "0x0"
            anvil.pause()
            with pytest.raises(Unavailable, match="did not answer"):
                await rpc.call("eth_blockNumber")
            anvil.resume()
            assert await rpc.call("eth_blockNumber") == "0x0"
            anvil.stop()
            with pytest.raises(Unavailable, match="cannot be reached"):
                await rpc.call("eth_blockNumber")
            anvils("--no-mining", port=anvil.port)
            assert await rpc.call("eth_blockNumber") == "0x0"

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_node_that_comes_back_as_another_chain_is_refused(anvils: StartAnvil) -> None:
    anvil = anvils("--no-mining")

    async def body() -> None:
        async with RpcClient(anvil.url, chain_id=CHAIN_ID, timeout=1) as rpc:
            await rpc.call("eth_blockNumber")
            anvil.stop()
            with pytest.raises(Unavailable):
                await rpc.call("eth_blockNumber")
            anvils("--no-mining", port=anvil.port, chain_id=1)
            with pytest.raises(Misconfigured, match="another chain"):
                await rpc.call("eth_blockNumber")

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_real_revert_is_decoded_by_name(anvils: StartAnvil, tmp_path: Path) -> None:
    from host.chain.reverts import decode_revert

    anvil = anvils("--no-mining")

    async def story(network: Network, _: Scanner) -> None:
        call = abi.encode_call("expire", b"\x01" * 20)
        with pytest.raises(RpcError) as raised:
            await network.rpc.call(
                "eth_call", {"to": to_data(network.address), "data": to_data(call)}, "latest"
            )
        assert raised.value.reverted
        assert str(decode_revert(raised.value.data)).startswith("WrongStatus(node=0x01")

    tell(anvil, tmp_path, story)
