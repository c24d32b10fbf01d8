"""The sender on a real node: reorgs, a hanging node, kill -9, and the newest view."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guest.protocol.errors import Unavailable
from host.chain.actions import State
from host.chain.hexdata import to_quantity
from host.chain.ledger import Ledger
from host.chain.rpc import RpcClient
from host.chain.sender import Sender
from host.chain.wallet import from_text
from tests.chain.conftest import RICH_KEY, StartAnvil
from tests.chain.host import live

ADDRESS = from_text(RICH_KEY).address
Story = Callable[[RpcClient, Sender], Awaitable[None]]


def tell(url: str, path: Path, story: Story) -> None:
    async def body() -> None:
        async with RpcClient(url, chain_id=live.CHAIN_ID, timeout=5) as rpc:
            await live.install(rpc)
            sender, ledger = live.make_sender(rpc, path, RICH_KEY)
            with ledger:
                await story(rpc, sender)

    asyncio.run(asyncio.wait_for(body(), 120))


async def mine(rpc: RpcClient, sender: Sender, blocks: int = 1) -> None:
    for _ in range(blocks):
        await rpc.call("evm_mine")
        await sender.tick()


async def finish(rpc: RpcClient, sender: Sender) -> None:
    for _ in range(60):
        await mine(rpc, sender)
        if not sender.open_actions():
            return
    raise AssertionError([(a.key, a.state, a.detail) for a in sender.open_actions()])


def test_fifty_actions_become_fifty_transactions(anvils: StartAnvil, tmp_path: Path) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        for n in range(50):
            sender.submit(f"a{n}", "test", live.ONCE, b"action %d" % n)
        await sender.tick()
        await finish(rpc, sender)
        assert await live.transactions(rpc, ADDRESS) == 50
        for n in range(50):
            action = sender.find(f"a{n}")
            assert action is not None
            assert action.state is State.FINAL
            assert action.nonce == n

    tell(anvil.url, tmp_path / "host.db", story)


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_reorg_that_the_node_forgets_about_is_healed_with_the_same_bytes(
    anvils: StartAnvil, tmp_path: Path, depth: int
) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "5")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        for n in range(3):
            sender.submit(f"a{n}", "test", live.ONCE, b"action %d" % n)
        await sender.tick()
        hashes = [sender.find(f"a{n}").tx_hash for n in range(3)]  # type: ignore[union-attr]
        await mine(rpc, sender, depth)
        assert all(action.state is State.MINED for action in sender.open_actions())
        await rpc.call("anvil_reorg", depth, [])
        assert await live.transactions(rpc, ADDRESS) == 0
        await finish(rpc, sender)
        assert await live.transactions(rpc, ADDRESS) == 3
        assert [sender.find(f"a{n}").tx_hash for n in range(3)] == hashes  # type: ignore[union-attr]
        assert all(sender.find(f"a{n}").state is State.FINAL for n in range(3))  # type: ignore[union-attr]

    tell(anvil.url, tmp_path / "host.db", story)


def test_a_view_of_the_newest_block_is_simulated_where_it_can_be_known(
    anvils: StartAnvil, tmp_path: Path
) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        await mine(rpc, sender, 3)
        sender.submit("view", "test", live.KNOWN_BLOCK, (3).to_bytes(32, "big"))
        await sender.tick()
        action = sender.find("view")
        assert action is not None
        assert action.state is State.SENT  # at `latest` the hash of block 3 is still zero
        await finish(rpc, sender)
        assert sender.find("view").state is State.FINAL  # type: ignore[union-attr]

    tell(anvil.url, tmp_path / "host.db", story)


def test_what_can_never_succeed_costs_no_gas(anvils: StartAnvil, tmp_path: Path) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        await mine(rpc, sender, 3)
        sender.submit("view", "test", live.KNOWN_BLOCK, (10**6).to_bytes(32, "big"))
        await finish(rpc, sender)
        assert sender.find("view").state is State.FAILED  # type: ignore[union-attr]
        assert await live.transactions(rpc, ADDRESS) == 0

    tell(anvil.url, tmp_path / "host.db", story)


def test_a_stuck_transaction_is_replaced_by_one_that_pays_more(
    anvils: StartAnvil, tmp_path: Path
) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        sender.submit("a", "test", live.ONCE, b"a")
        await sender.tick()
        first = sender.find("a").tx_hash  # type: ignore[union-attr]
        for _ in range(3):
            await rpc.call("anvil_setNextBlockBaseFeePerGas", to_quantity(200 * 10**9))
            await mine(rpc, sender)
        await finish(rpc, sender)
        action = sender.find("a")
        assert action is not None
        assert action.state is State.FINAL
        assert action.tx_hash != first
        assert await live.transactions(rpc, ADDRESS) == 1

    tell(anvil.url, tmp_path / "host.db", story)


def test_a_dropped_transaction_is_sent_again_with_the_same_bytes(
    anvils: StartAnvil, tmp_path: Path
) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def story(rpc: RpcClient, sender: Sender) -> None:
        sender.submit("a", "test", live.ONCE, b"a")
        await sender.tick()
        first = sender.find("a").tx_hash  # type: ignore[union-attr]
        await rpc.call("anvil_dropAllTransactions")
        await finish(rpc, sender)
        assert sender.find("a").tx_hash == first  # type: ignore[union-attr]

    tell(anvil.url, tmp_path / "host.db", story)


def test_a_node_that_hangs_is_waited_out(anvils: StartAnvil, tmp_path: Path) -> None:
    anvil = anvils("--no-mining", "--slots-in-an-epoch", "1")

    async def body() -> None:
        rpc = RpcClient(anvil.url, chain_id=live.CHAIN_ID, timeout=0.3)
        await live.install(rpc)
        sender, ledger = live.make_sender(rpc, tmp_path / "host.db", RICH_KEY)
        with ledger:
            sender.submit("a", "test", live.ONCE, b"a")
            anvil.pause()
            with pytest.raises(Unavailable):
                await sender.tick()
            anvil.resume()
            await finish(rpc, sender)
            assert sender.find("a").state is State.FINAL  # type: ignore[union-attr]
            assert await live.transactions(rpc, ADDRESS) == 1
        await rpc.close()

    asyncio.run(asyncio.wait_for(body(), 120))


def test_kill_9_at_random_points_sends_nothing_twice(anvils: StartAnvil, tmp_path: Path) -> None:
    anvil = anvils("--block-time", "1", "--slots-in-an-epoch", "1")
    actions = 30
    command = [
        *(sys.executable, "-m", "tests.chain.host.live", anvil.url),
        *(str(tmp_path / "host.db"), RICH_KEY, str(actions)),
    ]

    async def install() -> None:
        async with RpcClient(anvil.url, chain_id=live.CHAIN_ID) as rpc:
            await live.install(rpc)

    asyncio.run(install())
    dice = random.Random(4)  # noqa: S311 - a choice of moments, no secret
    for _ in range(8):
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "submitted\n"
        time.sleep(dice.uniform(0.0, 0.6))  # the kill must come at some point of its work
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)

    async def count() -> None:
        async with RpcClient(anvil.url, chain_id=live.CHAIN_ID) as rpc:
            assert await live.transactions(rpc, ADDRESS) == actions
            for n in range(actions):
                assert await live.was_done(rpc, b"action %d" % n)

    asyncio.run(count())


def test_a_second_process_with_the_same_database_does_not_start(
    anvils: StartAnvil, tmp_path: Path
) -> None:
    anvil = anvils("--no-mining")
    command = [
        *(sys.executable, "-m", "tests.chain.host.live", anvil.url),
        *(str(tmp_path / "host.db"), RICH_KEY, "1"),
    ]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "submitted\n"
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode != 0
        assert "Stop the other host" in second.stderr
    finally:
        first.kill()
        first.communicate()
    Ledger(tmp_path / "host.db", _identity()).close()


def _identity() -> "live.Identity":
    return live.Identity(live.CHAIN_ID, bytes(32), live.ONCE, ADDRESS)
