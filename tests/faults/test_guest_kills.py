"""kill -9 of guests: what one knew is gone, so the next boot joins as new, and others answer."""

import asyncio
import dataclasses

from host.chain.events import Status
from tests.chain.network import rig
from tests.faults import stories


def test_a_newcomer_killed_in_mid_join_joins_with_new_keys_and_leaves_a_ghost() -> None:
    asyncio.run(_newcomer())


async def _newcomer() -> None:
    async with stories.scene(rig.QUICK) as scene:
        network = scene.network
        member, newcomer = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        network.processes.kill("node0-guest")  # nobody answers now, and nobody can any more
        rig.start(network, newcomer)
        await rig.until(
            network,
            lambda: rig.state(newcomer) == "pending",
            "the newcomer is Pending",
            dead=["node0-guest"],
        )
        ghost = rig.address(newcomer)
        stories.reboot_guest(network, newcomer)
        await rig.until(
            network,
            lambda: rig.state(newcomer) == "pending" and rig.address(newcomer) != ghost,
            "the next boot is Pending under another name",
            dead=["node0-guest"],
        )
        assert await rig.status_of(network, ghost) is Status.PENDING
        await stories.nothing_went_twice(scene)


def test_a_members_dead_guest_is_answered_for_by_the_others_and_comes_back_as_new() -> None:
    asyncio.run(_member())


async def _member() -> None:
    async with stories.scene(dataclasses.replace(rig.QUICK, nodes=3)) as scene:
        network = scene.network
        first, second, newcomer = network.nodes
        rig.start(network, first)
        await rig.active(network, first)
        rig.start(network, second)
        await rig.active(network, first, second)
        old = rig.address(first)
        network.processes.kill("node0-guest")
        rig.start(network, newcomer)
        await rig.active(network, newcomer, dead=["node0-guest"])
        await stories.joined_once(network, rig.address(newcomer))
        stories.reboot_guest(network, first)
        await rig.until(
            network,
            lambda: rig.address(first) != old and rig.state(first) == "active",
            "the first node, whose host may bootstrap, joins like anyone",
        )
        await rig.active(network)
        await stories.joined_once(network, rig.address(first))
        await stories.nothing_went_twice(scene)
        assert not rig.tracebacks(network)
