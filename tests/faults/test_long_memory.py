"""A host that is restarted knows what it will not scan again: who waits, who is a member."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from host import roster_file
from host.chain.events import Registered
from host.devnet.network import Shape
from host.roster import Pending, Roster
from tests.chain.network import rig
from tests.faults import stories

CONTRACT = b"\x0c" * 20
OLD = 120
"""Blocks: more than the 64 that a restart scans, and the 16 between two saves of the cursor."""


def test_a_newcomer_that_waits_for_long_outlives_the_restart_of_the_members_host() -> None:
    asyncio.run(_long_wait())


async def _long_wait() -> None:
    async with rig.running(Shape(nodes=2, block_time=0.5)) as network:
        member, newcomer = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        network.processes.kill("relay")  # so that the member cannot answer
        rig.start(network, newcomer)
        dead = ["relay"]
        await rig.until(network, lambda: rig.state(newcomer) == "pending", "Pending", dead=dead)
        await network.rpc.call("anvil_mine", hex(OLD))
        head = int(str(await network.rpc.call("eth_blockNumber")), 16)
        await rig.until(
            network,
            lambda: (seen := member.status().get("head")) is not None and int(str(seen)) >= head,
            "the member's host has scanned on",
            dead=dead,
        )
        stories.kill_host(network, member)
        network.start_relay()
        await rig.active(network)
        await stories.joined_once(network, rig.address(newcomer))
        assert member.status()["members"] == 2


def roster() -> Roster:
    event = Registered(
        b"\x01" * 20, b"\x02" * 32, b"\x03" * 32, 7, b"\x04" * 32, b"\x05" * 32, 6, 8, b"\x09" * 65
    )
    waiting = Pending(event, 9, 10, 1, None, 11)
    return Roster({event.node: waiting}, {b"\x0a" * 20: 12}, b"\x0b" * 32, 13)


def test_a_roster_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "roster"
    roster_file.save(path, CONTRACT, roster())
    assert roster_file.load(path, CONTRACT) == roster()
    assert roster_file.load(path, b"\x0d" * 20) == Roster()
    assert roster_file.load(tmp_path / "none", CONTRACT) == Roster()


@given(noise=st.binary(max_size=200), cut=st.integers(0, 300))
def test_a_broken_roster_file_is_as_good_as_none(noise: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roster"
        roster_file.save(path, CONTRACT, roster())
        whole = path.read_bytes()
        path.write_bytes(whole[:cut] + noise)
        found = roster_file.load(path, CONTRACT)
        assert (
            set(found.pending) <= {b"\x01" * 20} or noise
        )  # another roster, or none; never an error
