"""What kill and reorg stories share: a network behind the proxy, and the proof that all went once."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from host.chain.events import Confirmed, Onboarded, Registered, Status
from host.devnet.network import LocalNetwork, LocalNode, Shape
from tests.chain.network import rig
from tests.faults.recording_proxy import RecordingProxy


@dataclass(frozen=True, slots=True)
class Scene:
    """A network whose hosts reach the chain through a proxy."""

    network: LocalNetwork
    proxy: RecordingProxy


@asynccontextmanager
async def scene(shape: Shape) -> AsyncIterator[Scene]:
    """A network with its first node active, and every host behind the proxy."""
    async with RecordingProxy() as proxy, rig.running(shape) as network:
        proxy.upstream = network.rpc_url
        for node in network.nodes:
            node.rpc_url = proxy.url_for(node.name)
        yield Scene(network, proxy)


def kill_host(network: LocalNetwork, node: LocalNode) -> None:
    """Kill -9 a host and start it again."""
    network.processes.kill(f"{node.name}-host")
    network.start_host(node)


def reboot_guest(network: LocalNetwork, node: LocalNode) -> None:
    """Kill -9 a guest and start it again: a new boot with new keys."""
    network.processes.kill(f"{node.name}-guest")
    node.app_socket.unlink(missing_ok=True)
    network.start_guest(node)


async def joined_once(network: LocalNetwork, node: bytes) -> None:
    """This node registered, was answered and confirmed exactly once, and is a member."""
    story = [
        (type(event), event.node)
        for event in await rig.events(network, Registered, Onboarded, Confirmed)
        if isinstance(event, Registered | Onboarded | Confirmed)
    ]
    assert Counter(kind for kind, name in story if name == node) == {
        Registered: 1,
        Onboarded: 1,
        Confirmed: 1,
    }
    assert await rig.status_of(network, node) is Status.ACTIVE


async def nothing_went_twice(scene: Scene, *, reverted: Collection[str] = ()) -> None:
    """No transaction of ours failed, and none was sent as two, mined or not.

    The same bytes may reach a node again, and a nonce may be bumped; neither acts twice.
    """
    mined = await rig.transactions(scene.network)
    assert [tx.hash for tx in mined if not tx.succeeded and tx.hash not in reverted] == []
    acted = Counter((tx.sender, tx.calldata) for tx in mined if tx.calldata)
    assert [count for count in acted.values() if count > 1] == []
    nonces: dict[tuple[bytes, bytes], set[int]] = {}
    for sent in scene.proxy.sent:
        if sent.calldata:
            nonces.setdefault((sent.sender, sent.calldata), set()).add(sent.nonce)
    assert [used for used in nonces.values() if len(used) > 1] == []
