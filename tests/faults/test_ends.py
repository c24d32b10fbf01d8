"""How membership ends on a real chain: the owner revokes a node, or takes an image out."""

import asyncio
import dataclasses

from host.chain.events import Bootstrapped, Onboarded, Status
from host.devnet.network import LocalNetwork
from tests.chain.network import rig


def test_k8_a_revoked_node_says_why_closes_its_apps_and_ends() -> None:
    asyncio.run(_revoked())


async def _revoked() -> None:
    async with rig.running() as network:
        member, other = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        rig.start(network, other)
        await rig.active(network)
        await rig.owner_sends(network, "revoke", rig.address(other), bytes(32), b"")
        child = network.processes.child("node1-guest")
        await rig.until(
            network,
            lambda: child.poll() is not None,
            "the revoked guest ends",
            dead=["node1-guest"],
        )
        assert child.returncode == 1, "it is not started again"
        assert not other.app_socket.exists()
        assert (
            network.processes.log("node1-guest")
            .splitlines()[-1]
            .startswith("guest: exit: revoked: ")
        )
        assert rig.state(member) == "active"
        assert member.app_socket.exists()
        assert not rig.tracebacks(network)


def test_s2_after_an_image_is_removed_nobody_onboards_or_is_onboarded() -> None:
    asyncio.run(_removed())


async def _removed() -> None:
    async with rig.running(dataclasses.replace(rig.QUICK, nodes=3)) as network:
        first, second, newcomer = network.nodes
        rig.start(network, first)
        await rig.active(network, first)
        rig.start(network, second)
        await rig.active(network, first, second)
        for node in (first, second):
            network.processes.kill(f"{node.name}-host")  # so that nobody answers before the removal
        dead = ["node0-host", "node1-host"]
        rig.start(network, newcomer)
        await rig.until(network, lambda: rig.state(newcomer) == "pending", "Pending", dead=dead)
        await rig.owner_sends(network, "removeMeasurement", await _image(network))
        for node in (first, second):
            network.start_host(node)
        for node in (first, second):
            await _suspended(network, node.index)
        await rig.until(
            network,
            lambda: "measurement-not-allowed" in str(newcomer.status().get("detail")),
            "the newcomer is told why it waits",
        )
        answered = await rig.events(network, Onboarded)
        assert [e.node for e in answered if isinstance(e, Onboarded)] == [rig.address(second)]
        assert await rig.status_of(network, rig.address(newcomer)) is Status.PENDING
        assert not rig.tracebacks(network)


async def _image(network: LocalNetwork) -> bytes:
    """The one image of this network."""
    (first,) = await rig.events(network, Bootstrapped)
    assert isinstance(first, Bootstrapped)
    return first.measurement_id


async def _suspended(network: LocalNetwork, index: int) -> None:
    node = network.nodes[index]
    await rig.until(
        network,
        lambda: rig.state(node) == "suspended" and not node.app_socket.exists(),
        f"{node.name} is suspended and serves nobody",
    )
    assert "measurement-not-allowed" in network.processes.log(f"{node.name}-guest")
