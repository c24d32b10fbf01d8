"""Garbage at every door while a newcomer joins: nothing falls over, nobody else is answered."""

import asyncio

from host.chain.events import Bootstrapped, Onboarded, Status
from host.devnet.network import LocalNetwork
from host.documents.archive import Archive
from tests.chain.network import garbage, rig


def test_garbage_at_every_door_stops_no_join_and_wins_nothing() -> None:
    asyncio.run(_story())


async def _story() -> None:
    async with rig.running() as network:
        member, newcomer = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        poisoned = await garbage.impostors(network, await _genesis(network))
        await _at_every_door(network, 1)
        rig.start(network, newcomer)
        for seed, stage in enumerate(("pending", "onboarded", "active"), 2):
            await rig.until(network, lambda stage=stage: _reached(network, stage), stage)
            await _at_every_door(network, seed)
        await rig.active(network)
        given = await rig.events(network, Onboarded)
        assert [event.node for event in given if isinstance(event, Onboarded)] == [
            rig.address(newcomer)
        ]
        for impostor in poisoned:
            assert await rig.status_of(network, impostor) is Status.PENDING
        network.processes.require_alive()
        assert not rig.tracebacks(network)
        await _every_refusal_is_one_line(network)


def _reached(network: LocalNetwork, stage: str) -> bool:
    order = ("pending", "onboarded", "active")
    now = rig.state(network.nodes[1])
    return now in order and order.index(now) >= order.index(stage)


async def _at_every_door(network: LocalNetwork, seed: int) -> None:
    frames, requests = garbage.bad_frames(seed), garbage.bad_requests(seed)
    sockets = [node.directory / "link.sock" for node in network.nodes]
    sockets.append(network.directory / "platform.sock")
    apps = [node.app_socket for node in network.nodes]
    await asyncio.gather(
        *(garbage.at_socket(path, frames) for path in sockets if path.exists()),
        *(garbage.at_socket(path, requests) for path in apps if path.exists()),
        garbage.at_url(network.relay_url, requests),
        garbage.at_url(network.collateral_url, requests),
        garbage.at_url(network.witness_url, requests),
    )


async def _genesis(network: LocalNetwork) -> bytes:
    """The first node's document, out of the bootstrap transaction's calldata."""
    (first,) = await rig.events(network, Bootstrapped)
    assert isinstance(first, Bootstrapped)
    kept = Archive(network.nodes[0].directory / "data" / "documents").get(first.document_hash)
    assert kept is not None
    return kept


async def _every_refusal_is_one_line(network: LocalNetwork) -> None:
    """The member's guest says of each kind of impostor what it was, and the host of each frame."""
    for words in ("quote has an unknown version", "quote-report-data: "):
        await rig.said(network, "node0-guest", words)
    lines = network.processes.log("node0-guest").splitlines()
    assert all(line.startswith("guest: ") for line in lines)
    for node in network.nodes:
        assert "guest link: frame has a bad size" in network.processes.log(f"{node.name}-host")
