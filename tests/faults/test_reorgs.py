"""Reorgs of 1 to 8 blocks at each step of a join: it completes, with the same ciphertext (L5).

The chain mines when the test says so, and a block is final ten blocks later. `anvil_reorg` replaces the
newest blocks by empty ones and forgets their transactions: only who sent them can bring them back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from host.chain.events import Confirmed, ContractEvent, Onboarded, Registered
from host.devnet.network import LocalNetwork, Shape
from tests.chain.network import rig
from tests.faults import stories

SHAPE = Shape(nodes=2, block_time=0, slots_in_an_epoch=5)
FINAL = 12
"""Blocks after which nothing that is tested here can be undone."""
BEAT = 0.3
"""Seconds that everybody has to react to a block before the next one is mined."""


@pytest.mark.parametrize("depths", [(1, 2), (3, 4), (5, 6), (7, 8)])
def test_l5_a_reorg_at_any_step_of_a_join_changes_neither_end_nor_ciphertext(
    depths: tuple[int, int],
) -> None:
    asyncio.run(_joins(depths))


async def _joins(depths: tuple[int, int]) -> None:
    async with stories.scene(SHAPE) as scene:
        network = scene.network
        first, newcomer = network.nodes
        await network.rpc.call("evm_setAutomine", False)
        rig.start(network, first)
        await mined_until(network, _says(network, 0, "active"), "the first node is active")
        await mined(network, FINAL)
        for depth in depths:
            if depth == depths[0]:
                rig.start(network, newcomer)
            else:
                stories.reboot_guest(network, newcomer)
            await _one_join(network, depth)
        assert not rig.tracebacks(network)


async def _one_join(network: LocalNetwork, depth: int) -> None:
    before = rig.address(network.nodes[1])
    await mined_until(network, _is_new(network, before), "the newcomer has a name")
    node = rig.address(network.nodes[1])
    given: list[bytes] = []
    for kind in (Registered, Onboarded, Confirmed):
        await mined_until(network, _happened(network, kind, node), f"{kind.__name__}, once")
        given += await _ciphertexts(network, node)
        await network.rpc.call("anvil_reorg", depth, [])
        await mined_until(network, _happened(network, kind, node), f"{kind.__name__}, again")
        given += await _ciphertexts(network, node)
    await mined_until(network, _says(network, 1, "active"), "the newcomer is active")
    await mined(network, FINAL)
    given += await _ciphertexts(network, node)
    assert len(given) > 3
    assert len(set(given)) == 1
    assert rig.address(network.nodes[1]) == node, "it did not have to start over"
    await stories.joined_once(network, node)


# --- conditions, and blocks until they hold -----------------------------------------------------

Condition = Callable[[], Awaitable[bool]]


async def mined(network: LocalNetwork, blocks: int) -> None:
    """Mine so many blocks, with time to react to each."""
    for _ in range(blocks):
        await network.rpc.call("evm_mine")
        await asyncio.sleep(BEAT)
        network.processes.require_alive()


async def mined_until(network: LocalNetwork, holds: Condition, what: str) -> None:
    """Mine a block, give everybody time to react, and again, until `holds`."""
    deadline = time.monotonic() + rig.LIMIT
    while not await holds():
        assert time.monotonic() < deadline, f"not in {rig.LIMIT:.0f} s: {what}"
        await mined(network, 1)


def _says(network: LocalNetwork, index: int, state: str) -> Condition:
    async def holds() -> bool:
        node = network.nodes[index]
        return rig.state(node) == state and (state != "active" or node.app_socket.exists())

    return holds


def _is_new(network: LocalNetwork, before: bytes) -> Condition:
    async def holds() -> bool:
        return rig.address(network.nodes[1]) not in (before, bytes(20))

    return holds


def _happened(
    network: LocalNetwork, kind: type[Registered | Onboarded | Confirmed], node: bytes
) -> Condition:
    async def holds() -> bool:
        return any(_about(event, node) for event in await rig.events(network, kind))

    return holds


def _about(event: ContractEvent, node: bytes) -> bool:
    return isinstance(event, Registered | Onboarded | Confirmed) and event.node == node


async def _ciphertexts(network: LocalNetwork, node: bytes) -> list[bytes]:
    events = await rig.events(network, Onboarded)
    return [e.ciphertext for e in events if isinstance(e, Onboarded) and e.node == node]
