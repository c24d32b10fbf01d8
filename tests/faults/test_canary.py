"""Nothing secret in any output, log, argument, environment or file: known secrets are looked for.

The old guest printed the network's secret, kept it in a web server's environment and put the gas key
on a command line, where `ps` shows it (G2, S2, L6).
"""

import asyncio
import base64
import dataclasses
import signal
import sys
from pathlib import Path

import pytest

from guest.protocol.keys import EpochKeys
from guest.protocol.primitives import secp256k1_address
from guest.protocol.secret import Secret
from host.chain.events import Bootstrapped, Registered
from host.devnet import demonstration
from host.devnet.demonstration import Row
from host.devnet.network import LocalNetwork, LocalNode
from host.documents.relay import RelayClient
from tests.chain.network import garbage, rig
from tests.faults import canary
from tests.faults.canary import Place

DEBUG = {"PYTHONASYNCIODEBUG": "1"}


SECRET = bytes(range(3, 35))


@pytest.mark.parametrize("form", sorted(canary.forms(SECRET)))
def test_the_search_finds_every_form(form: str) -> None:
    shown = canary.forms(SECRET)[form]
    shown = shown.upper() if form.endswith("hex") else shown
    assert canary.leaks(Place("somewhere", b"before" + shown + b"after"), {"it": SECRET})
    assert not canary.leaks(Place("somewhere", b"before" + shown + b"after"), {"it": SECRET[1::2]})


@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_base64_at_any_place(before: int) -> None:
    for write in (base64.b64encode, base64.urlsafe_b64encode):
        text = write(bytes(before) + SECRET + b"more")
        assert canary.leaks(Place("somewhere", text), {"it": SECRET})
        assert not canary.leaks(Place("somewhere", text), {"it": SECRET[::2]})


def test_g2_s2_l6_a_join_with_everything_logged_shows_no_secret_anywhere() -> None:
    asyncio.run(_story())


async def _story() -> None:
    async with rig.running(dataclasses.replace(rig.QUICK, history=True)) as network:
        for node in network.nodes:
            _start_talking(network, node)
        await rig.active(network)
        await demonstration.prove(network, [Row(node) for node in network.nodes])
        for node in network.nodes:
            await garbage.at_socket(node.app_socket, garbage.bad_requests(1))
            await garbage.at_socket(node.directory / "link.sock", garbage.bad_frames(1))
        await rig.active(network)
        _no_core_dumps(network)
        secrets = await _secrets(network)
        names = [f"{node.name}-{part}" for node in network.nodes for part in ("host", "guest")]
        others = ["chain", "relay", "platform", "witness"]
        places = list(canary.process_words(network, names + others))
        places += await canary.chain(network)
        places += await _documents(network)
        for name in names:
            network.processes.child(name).send_signal(signal.SIGTERM)
            network.processes.child(name).wait(timeout=rig.LIMIT)
        places += canary.files(network.directory)
        _the_search_saw_the_real_thing(network, places)
        found = [leak for place in places for leak in canary.leaks(place, secrets)]
        found += [leak for place in places for leak in _gas_key_leaks(network, place)]
        assert found == []


def _start_talking(network: LocalNetwork, node: LocalNode) -> None:
    """A host that logs everything, and a guest whose secrets we know."""
    settings = {**network.host_environment(node), **DEBUG}
    host = [sys.executable, "-c", canary.TALKING_HOST]
    network.processes.start(f"{node.name}-host", host, settings)
    guest = [sys.executable, "-c", canary.KNOWING_GUEST, node.name, *network.guest_arguments(node)]
    network.processes.start(f"{node.name}-guest", guest, DEBUG)


async def _secrets(network: LocalNetwork) -> dict[str, bytes]:
    """All secrets of this network; they are the real ones, since the chain knows their addresses."""
    x_pub = await rig.view(network, "xPub")
    network_id = network.network.network_id
    # The curve library draws 32 bytes of its own when it is loaded.
    drawn = [canary.drawn("node0", 32, count) for count in range(4)]
    (epoch_secret,) = (
        one for one in drawn if EpochKeys(network_id, 1, Secret(one)).addresses.x_pub == x_pub
    )
    secrets = canary.network_secrets(network_id, epoch_secret)
    for node in network.nodes:
        own = canary.node_secrets(node.name)
        key = Secret(own[f"{node.name} node key 0"])
        assert secp256k1_address(key) == rig.address(node)
        secrets |= own
    return secrets


async def _documents(network: LocalNetwork) -> list[Place]:
    """What the relay gives to anyone."""
    relay = RelayClient([network.relay_url])
    try:
        return [
            Place(f"document of {event.node.hex()}", await relay.fetch(event.document_hash))
            for event in await rig.events(network, Bootstrapped, Registered)
            if isinstance(event, Bootstrapped | Registered)
        ]
    finally:
        await relay.close()


def _no_core_dumps(network: LocalNetwork) -> None:
    for node in network.nodes:
        for part in ("host", "guest"):
            pid = network.processes.child(f"{node.name}-{part}").pid
            limits = Path("/proc", str(pid), "limits").read_text()
            (line,) = (text for text in limits.splitlines() if text.startswith("Max core file"))
            assert line.split()[4:6] == ["0", "0"]


def _gas_key_leaks(network: LocalNetwork, place: Place) -> list[str]:
    """A gas key is in its own file and nowhere else."""
    keys = {f"{node.name} gas key": node.key.expose() for node in network.nodes}
    own = {f"{node.name}/gas.key": f"{node.name} gas key" for node in network.nodes}
    return canary.leaks(place, {n: key for n, key in keys.items() if own.get(place.name) != n})


def _the_search_saw_the_real_thing(network: LocalNetwork, places: list[Place]) -> None:
    """What is public was found where it belongs, so what is secret would have been."""
    everything = {place.name: place.content.lower() for place in places}
    name = rig.address(network.nodes[1]).hex().encode()
    for where in (
        "the chain's blocks",
        "the chain's logs",
        "node1/data/status.json",
        "node1/history.jsonl",
    ):
        assert name in everything[where], where
    databases = [content for where, content in everything.items() if "host.sqlite" in where]
    assert any(name in content for content in databases)
    assert b"sealed" in everything["node1/history.jsonl"]
    assert b"debug" in everything["logs/node0-host.log"]
