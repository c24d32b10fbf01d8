"""What a join costs: time, calls of the chain, processor time, processes.

Join overhead = (Register handed in - first link message) + (Onboard handed in - the member's host saw
the Register's block) + (Confirm handed in - the newcomer's host saw the Onboard's block), stamped by
proxies at the RPC ports: what we add to the chain's own pace.
"""

import asyncio
from dataclasses import dataclass

from guest.protocol.errors import Unavailable
from host.chain.hexdata import quantity
from host.devnet.network import LocalNode, Shape
from scripts.measuring import processfacts
from scripts.measuring.proxy import RpcProxy, Sent
from scripts.measuring.rows import Row, median, percentile, spread
from scripts.measuring.stage import Stage, on_stage

MANY = 30
FEW = 5
ENOUGH = 10
START_LIMIT = 60.0
SLOW_BLOCK = 12.0
GOLDEN = 0.618
"""Multiples of this, by their fractions, spread evenly over a block time however many there are."""
BASELINE_SECONDS = {0.0: 5.93, 1.0: 6.40, 12.0: 21.94}
"""The predecessor's time to the secret, by block time; it has no confirmation."""
BASELINE_CALLS = {0.0: 31, 1.0: 48, 12.0: 196.5}
BASELINE_CPU, BASELINE_GAS, BASELINE_PROCESSES = 1.66, 131_023, 30


@dataclass(frozen=True, slots=True)
class Join:
    """One join. Seconds, but for `calls`, `gas` and `spawned`."""

    overhead: tuple[float, float, float]
    secret: float
    active: float
    calls: tuple[int, int]
    cpu: float
    gas: int
    spawned: bool

    @property
    def total_overhead(self) -> float:
        """The sum of the three parts."""
        return sum(self.overhead)


async def at_one_second() -> list[Row]:
    """The join of part 7: first after bootstrap, then many with all facts final."""
    async with on_stage(Shape(nodes=2, block_time=1.0, history=True)) as stage:
        newcomer = await _founded(stage)
        first = await _join(stage, newcomer)
        await _prepare(stage, newcomer)
        joins = [await _again(stage, newcomer, number) for number in range(MANY)]
    total = [join.total_overhead for join in joins]
    parts = [median([join.overhead[at] for join in joins]) for at in range(3)]
    how = "register {:.3f} + onboard {:.3f} + confirm {:.3f} s; ".format(*parts) + spread(total)
    rows = [
        Row("join-overhead", median(total), "s", how, budget=0.3, timed=True),
        Row("join-overhead-p95", percentile(total, 0.95), "s", how, budget=0.8, timed=True),
        Row(
            "join-first-after-bootstrap",
            first.active,
            "s",
            f"guest started as the first node became active; secret after {first.secret:.2f} s; n=1",
        ),
    ]
    return rows + _latency(1.0, joins) + _costs(joins)


async def instant() -> list[Row]:
    """Join latency on a chain that mines every transaction at once."""
    return await _at(0.0, ENOUGH)


async def slow() -> list[Row]:
    """Join latency at the pace of the main network."""
    return await _at(SLOW_BLOCK, FEW)


async def _at(block_time: float, count: int) -> list[Row]:
    async with on_stage(Shape(nodes=2, block_time=block_time, history=True)) as stage:
        async with stage.hurried():
            newcomer = await _founded(stage)
            await _join(stage, newcomer)
            await _prepare(stage, newcomer)
        await stage.settle()
        joins = [await _again(stage, newcomer, number) for number in range(count)]
        return _latency(block_time, joins)


def _latency(block_time: float, joins: list[Join]) -> list[Row]:
    pace = f"{block_time:g}s" if block_time else "instant"
    secret, active = [j.secret for j in joins], [j.active for j in joins]
    calls = [sum(j.calls) for j in joins]
    old, old_calls = BASELINE_SECONDS[block_time], BASELINE_CALLS[block_time]
    both = [median([j.calls[at] for j in joins]) for at in range(2)]
    return [
        Row(
            f"join-to-secret-{pace}",
            median(secret),
            "s",
            f"guest started -> secret checked; predecessor {old} ({median(secret) / old:.2f}x); "
            + spread(secret),
            budget=old,
            timed=True,
        ),
        Row(
            f"join-to-active-{pace}",
            median(active),
            "s",
            f"guest started -> Active proven, apps served; {spread(active)}",
        ),
        Row(
            f"join-rpc-calls-{pace}",
            median(calls),
            "calls",
            f"newcomer's host {both[1]:g} + member's host {both[0]:g}, guest started -> Active; "
            f"predecessor {old_calls} ({median(calls) / old_calls:.2f}x); {spread(calls)}",
            budget=old_calls,
        ),
    ]


def _costs(joins: list[Join]) -> list[Row]:
    cpu, gas = [j.cpu for j in joins], [j.gas for j in joins]
    spawned = 1 + sum(j.spawned for j in joins) / len(joins)
    return [
        Row(
            "join-cpu",
            median(cpu),
            "s",
            f"newcomer's guest from its start, its host, member's guest and host; predecessor "
            f"{BASELINE_CPU} ({median(cpu) / BASELINE_CPU:.2f}x); {spread(cpu)}",
            budget=BASELINE_CPU,
        ),
        Row(
            "join-gas",
            median(gas),
            "gas",
            f"register + onboard + confirm, receipts; predecessor {BASELINE_GAS} for register + "
            f"onboard, without a confirmation; {spread(gas)}",
        ),
        Row(
            "join-processes",
            spawned,
            "",
            f"the guest itself; neither it nor a host starts another one; predecessor "
            f"{BASELINE_PROCESSES}",
            budget=BASELINE_PROCESSES,
        ),
    ]


async def _founded(stage: Stage) -> LocalNode:
    """Start the first node and a newcomer's host; return the newcomer when the first is active."""
    network = stage.network
    for node in network.nodes:
        network.start_host(node)
    stage.start_guest(stage.member)
    await stage.until_active(stage.member, START_LIMIT + 10 * network.shape.block_time)
    return network.nodes[1]


async def _prepare(stage: Stage, newcomer: LocalNode) -> None:
    await stage.settle()
    await stage.take_ownership()
    await stage.retire(newcomer)
    await stage.settle()


async def _again(stage: Stage, newcomer: LocalNode, number: int) -> Join:
    """Join at a moment of its own between two blocks: the last revocation ended just after one."""
    if stage.network.shape.block_time:
        await asyncio.sleep(stage.network.shape.block_time * (number * GOLDEN % 1.0))
    else:
        await stage.settle()
    join = await _join(stage, newcomer)
    await stage.retire(newcomer)
    return join


async def _join(stage: Stage, newcomer: LocalNode) -> Join:
    member_proxy, newcomer_proxy = stage.proxies[0], stage.proxies[newcomer.index]
    others = [stage.pid(stage.member, p) for p in ("guest", "host")] + [stage.pid(newcomer, "host")]
    calls = (member_proxy.calls, newcomer_proxy.calls)
    cpu = sum(map(processfacts.cpu_seconds, others))
    stage.start_guest(newcomer)
    limit = START_LIMIT + 10 * stage.network.shape.block_time
    trace = await stage.until_active(newcomer, limit)
    calls = (member_proxy.calls - calls[0], newcomer_proxy.calls - calls[1])
    watched = [*others, stage.pid(newcomer, "guest")]
    cpu = sum(map(processfacts.cpu_seconds, watched)) - cpu
    if trace.linked is None or trace.confirmed is None or trace.active is None:
        raise Unavailable("the newcomer's history is not whole")
    posts = _posts(newcomer_proxy, member_proxy, newcomer.started)
    seen = (
        member_proxy.first_seen(await stage.block_of(posts[0])),
        newcomer_proxy.first_seen(await stage.block_of(posts[1])),
    )
    await asyncio.sleep(0.05)
    return Join(
        overhead=(posts[0].at - trace.linked, posts[1].at - seen[0], posts[2].at - seen[1]),
        secret=trace.confirmed - newcomer.started,
        active=trace.active - newcomer.started,
        calls=calls,
        cpu=cpu,
        gas=await _gas(stage, posts),
        spawned=any(map(processfacts.has_spawned, watched)),
    )


def _posts(newcomer: RpcProxy, member: RpcProxy, since: float) -> tuple[Sent, Sent, Sent]:
    """Return the Register, Onboard and Confirm that were handed in since `since`."""

    def first(proxy: RpcProxy, function: str) -> Sent:
        found = [sent for sent in proxy.sent if sent.function == function and sent.at >= since]
        if len({sent.hash for sent in found}) != 1:
            raise Unavailable(f"{function}: one transaction was expected", got=len(found))
        return found[0]

    return first(newcomer, "register"), first(member, "onboard"), first(newcomer, "confirm")


async def _gas(stage: Stage, posts: tuple[Sent, Sent, Sent]) -> int:
    receipts = [await stage.receipt(post.hash) for post in posts]
    return sum(quantity(receipt["gasUsed"], "gas") for receipt in receipts)
