"""kill -9 at every named step of a join, then a restart: it completes, and nothing is sent twice.

The old host's thread died of one bad message and its newcomer waited for ever (L1, L3); its relay lost
what nobody had read in time (L2).
"""

import asyncio
import random
from collections.abc import Callable, Coroutine

from tests.chain.network import rig
from tests.faults import stories
from tests.faults.recording_proxy import Fate, first_sent
from tests.faults.stories import Scene

Moment = Callable[[Scene], Coroutine[None, None, None]]
NEWCOMER, MEMBER = 1, 0


SEEDS = 6
MOST_REQUESTS = 45
"""What a host asks the chain during a join at half-second blocks, roughly."""


def test_l1_l3_a_host_or_relay_killed_at_any_step_of_a_join_costs_time_only() -> None:
    asyncio.run(_every_step())


def test_l1_l3_a_host_or_relay_killed_at_any_moment_of_a_join_costs_time_only() -> None:
    asyncio.run(_any_moment())


async def _every_step() -> None:
    async with stories.scene(rig.QUICK) as scene:
        await _joins(scene, _steps())


async def _any_moment() -> None:
    async with stories.scene(rig.QUICK) as scene:
        await _joins(scene, [_drawn(seed) for seed in range(SEEDS)])


async def _joins(scene: Scene, killings: list[tuple[str, Moment]]) -> None:
    network = scene.network
    rig.start(network, network.nodes[MEMBER])
    await rig.active(network, network.nodes[MEMBER])
    rig.start(network, network.nodes[NEWCOMER])
    await rig.active(network)
    for victim, moment in killings:
        await _one_join(scene, victim, moment)
    await stories.nothing_went_twice(scene)
    assert not rig.tracebacks(network)


async def _one_join(scene: Scene, victim: str, moment: Moment) -> None:
    network = scene.network
    newcomer = network.nodes[NEWCOMER]
    before = rig.address(newcomer)
    stories.reboot_guest(network, newcomer)
    await moment(scene)
    if victim == "relay":
        network.processes.kill("relay")
        network.start_relay()
    else:
        stories.kill_host(network, network.nodes[int(victim)])
    await rig.until(
        network,
        lambda: rig.address(newcomer) != before and rig.state(newcomer) == "active",
        f"{victim} was killed, and the newcomer joins all the same",
    )
    await rig.active(network)
    await stories.joined_once(network, rig.address(newcomer))
    await rig.owner_sends(network, "revoke", before, bytes(32), b"")


def _steps() -> list[tuple[str, Moment]]:
    """Who is killed, and when."""
    newcomer, member = str(NEWCOMER), str(MEMBER)
    sending = [
        (host, _sending(host, function, fate))
        for host, function in ((newcomer, "register"), (member, "onboard"), (newcomer, "confirm"))
        for fate in (Fate.DROPPED, Fate.SWALLOWED)
    ]
    return [
        *sending,
        *((host, _stands(state)) for host in (newcomer, member) for state in _STATES),
        ("relay", _sending(newcomer, "register", Fate.DROPPED)),
        ("relay", _sending(newcomer, "register", Fate.SWALLOWED)),
        ("relay", _stands("pending")),
        ("relay", _stands("onboarded")),
    ]


def _drawn(seed: int) -> tuple[str, Moment]:
    """A victim and a moment by chance: after so many of a host's requests to the chain."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    victim = chance.choice((str(NEWCOMER), str(MEMBER), "relay"))
    watched = f"node{NEWCOMER if victim == 'relay' else victim}"
    requests = chance.randrange(1, MOST_REQUESTS)

    async def moment(scene: Scene) -> None:
        end = scene.proxy.requests.get(watched, 0) + requests
        await rig.until(
            scene.network,
            lambda: scene.proxy.requests.get(watched, 0) >= end,
            f"{requests} requests of {watched}",
        )

    return victim, moment


_STATES = ("surveying", "pending", "onboarded")


def _sending(host: str, function: str, fate: Fate) -> Moment:
    """The host has signed `function` and handed it over, and does not know what became of it."""

    async def moment(scene: Scene) -> None:
        met = await first_sent(scene.proxy, f"node{host}", function, fate=fate)
        async with asyncio.timeout(rig.LIMIT):
            await met.wait()
        scene.proxy.judge = lambda _: Fate.PASSED

    return moment


def _stands(wanted: str) -> Moment:
    """The newcomer's host says that its guest has come this far."""
    order = ("surveying", "attesting", "registering", "pending", "onboarded", "active")

    async def moment(scene: Scene) -> None:
        newcomer = scene.network.nodes[NEWCOMER]
        old = rig.address(newcomer)

        def reached() -> bool:
            now = rig.state(newcomer)
            fresh = wanted == "surveying" or rig.address(newcomer) != old
            return fresh and now in order and order.index(now) >= order.index(wanted)

        await rig.until(scene.network, reached, wanted)

    return moment
