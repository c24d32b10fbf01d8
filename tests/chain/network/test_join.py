"""One join from end to end: real processes, a real chain, real verification of every quote."""

import asyncio
import stat

from guest.protocol import document as document_format
from guest.protocol.digests import document_hash
from host.chain.events import Bootstrapped, Confirmed, Onboarded, Registered, Status
from host.devnet import demonstration
from host.devnet.demonstration import Row
from host.devnet.network import LocalNetwork
from host.documents.archive import Archive
from host.documents.relay import RelayClient
from tests.chain.network import rig


def test_a_newcomer_joins_and_chain_hosts_and_apps_agree() -> None:
    asyncio.run(_join())


async def _join() -> None:
    async with rig.running() as network:
        rig.start(network)
        await rig.active(network)
        await _the_chain_tells_the_story_once(network)
        await _the_evidence_is_kept(network)
        outcome = await demonstration.prove(network, [Row(node) for node in network.nodes])
        assert len(outcome.stories) == 2
        for node in network.nodes:
            assert stat.S_IMODE(node.app_socket.stat().st_mode) == 0o600
        assert not rig.tracebacks(network)


async def _the_chain_tells_the_story_once(network: LocalNetwork) -> None:
    first, newcomer = (rig.address(node) for node in network.nodes)
    kinds = (Bootstrapped, Registered, Onboarded, Confirmed)
    story = [(type(event), event.node) for event in await rig.events(network, *kinds)]
    assert story == [
        (Bootstrapped, first),
        (Registered, newcomer),
        (Onboarded, newcomer),
        (Confirmed, newcomer),
    ]
    (given,) = await rig.events(network, Onboarded)
    assert isinstance(given, Onboarded)
    assert (given.by, given.epoch, given.attempt, len(given.ciphertext)) == (first, 1, 0, 1168)
    for node in (first, newcomer):
        assert await rig.status_of(network, node) is Status.ACTIVE
        assert await rig.view(network, "isMember", node) is True
    assert await rig.view(network, "memberCount") == 2
    assert await rig.view(network, "networkKind") == "TEST: simulated hardware"
    assert all(tx.succeeded for tx in await rig.transactions(network))


async def _the_evidence_is_kept(network: LocalNetwork) -> None:
    """Both hosts and the relay keep the registration's document; the genesis one is on the chain."""
    (registered,) = await rig.events(network, Registered)
    assert isinstance(registered, Registered)
    relay = RelayClient([network.relay_url])
    try:
        public = await relay.fetch(registered.document_hash)
    finally:
        await relay.close()
    for node in network.nodes:
        kept = Archive(node.directory / "data" / "documents").get(registered.document_hash)
        assert kept == public
    claim = document_format.decode(public).register
    assert claim is not None
    assert (claim.node, claim.measurement_id) == (registered.node, registered.measurement_id)
    genesis = await rig.view(network, "genesisDocument")
    (first,) = await rig.events(network, Bootstrapped)
    assert isinstance(first, Bootstrapped)
    assert first.document_hash == genesis
    kept = Archive(network.nodes[1].directory / "data" / "documents").get(first.document_hash)
    assert kept is not None
    assert document_hash(kept) == genesis
