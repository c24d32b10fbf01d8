"""Fifty newcomers at once through one member: two real member processes against fifty joiners.

The chain itself is the witness: its events say when each Register, Onboard and Confirm was mined, its
receipts whether one reverted, the proxies whether one was replaced.
"""

import json
from dataclasses import dataclass

from host.chain.blocks import LogEntry, parse_block, parse_logs
from host.chain.events import Confirmed, Onboarded, Registered, SeenEvent, decode_event
from host.chain.hexdata import Json, data, members, quantity, to_data
from host.devnet.network import FUNDS, LocalNode, Shape, make_node
from scripts.measuring.crowddriver import DONE
from scripts.measuring.proxy import function_of
from scripts.measuring.rows import Row
from scripts.measuring.stage import Stage, on_stage

MANY = 50
LIMIT = 120.0


@dataclass(frozen=True, slots=True)
class Crowded:
    """What the chain says afterwards. Blocks and seconds count from the last Register."""

    active: int
    blocks: int
    seconds: int
    register_blocks: int
    confirm_blocks: int
    reverted: tuple[str, ...]
    replaced: int
    from_member: int
    onboard_gas: float


async def measure_driven() -> list[Row]:
    """Fifty newcomers in one process that drives fifty links."""
    return await _measure("crowd", "scripts.measuring.crowddriver", "one process drives 50 joiners")


async def measure_forked() -> list[Row]:
    """Fifty newcomers as a hundred processes, forked after import."""
    return await _measure("crowd-forked", "scripts.measuring.forked", "100 processes, forked")


async def _measure(name: str, module: str, how: str) -> list[Row]:
    async with on_stage(Shape(nodes=1, block_time=1.0, history=True)) as stage:
        network = stage.network
        network.start_host(stage.member)
        stage.start_guest(stage.member)
        await stage.until_active(stage.member, LIMIT)
        await stage.settle()
        plan = network.directory / "plan.json"
        plan.write_text(json.dumps([await _one(stage, at) for at in range(1, MANY + 1)]))
        began = await stage.head()
        network.processes.start_module("crowd", module, str(plan), str(LIMIT))
        done = plan.with_name(DONE)
        await stage.until(done.exists, LIMIT, "all newcomers active")
        seconds = float(json.loads(done.read_text())["seconds"])
        found = await _read(stage, began)
        network.processes.end("crowd")
    return _rows(name, how, found, seconds)


async def _one(stage: Stage, index: int) -> dict[str, object]:
    """Make one newcomer's folder and gas key; return its settings."""
    network = stage.network
    node: LocalNode = make_node(network.directory, index)
    node.rpc_url = stage.proxies[0].target
    await network.rpc.call("anvil_setBalance", to_data(node.address), hex(FUNDS))
    return {"host": network.host_environment(node), "guest": list(network.guest_arguments(node))}


async def _read(stage: Stage, began: int) -> Crowded:
    network = stage.network
    query: dict[str, Json] = {
        "address": to_data(network.network.contract),
        "fromBlock": hex(began),
        "toBlock": "latest",
    }
    logs: tuple[LogEntry, ...] = parse_logs(await network.rpc.call("eth_getLogs", query))
    seen = [event for event in map(decode_event, logs) if event is not None]
    registers = [event for event in seen if isinstance(event.event, Registered)]
    onboards = [event for event in seen if isinstance(event.event, Onboarded)]
    confirms = [event for event in seen if isinstance(event.event, Confirmed)]
    last = max(event.block.number for event in registers)
    answered = max(event.block.number for event in onboards)
    sent = [one for one in stage.proxies[0].sent if one.function in ("onboard", "onboardBatch")]
    return Crowded(
        active=len({event.event.node for event in confirms if isinstance(event.event, Confirmed)}),
        blocks=answered - last,
        seconds=await _time(stage, answered) - await _time(stage, last),
        register_blocks=1 + last - min(event.block.number for event in registers),
        confirm_blocks=max(event.block.number for event in confirms) - last,
        reverted=await _reverted(stage, began),
        replaced=len({one.hash for one in sent}) - len({one.nonce for one in sent}),
        from_member=len({one.hash for one in sent}),
        onboard_gas=await _gas_each(stage, onboards),
    )


async def _time(stage: Stage, number: int) -> int:
    block = await stage.network.rpc.call("eth_getBlockByNumber", hex(number), False)
    return parse_block(block).timestamp


async def _reverted(stage: Stage, began: int) -> tuple[str, ...]:
    """Name the functions of all transactions since block `began` that failed."""
    failed: list[str] = []
    for number in range(began, await stage.head() + 1):
        receipts = await stage.network.rpc.call("eth_getBlockReceipts", hex(number))
        for receipt in receipts if isinstance(receipts, list) else []:
            if not isinstance(receipt, dict) or quantity(receipt["status"], "a status") == 1:
                continue
            digest = receipt["transactionHash"]
            found = await stage.network.rpc.call("eth_getTransactionByHash", digest)
            calldata = data(members(found, "a transaction")["input"], "calldata", max_size=2**20)
            failed.append(function_of(calldata))
    return tuple(failed)


async def _gas_each(stage: Stage, onboards: list[SeenEvent]) -> float:
    """Gas of all hand-overs, by newcomer."""
    used = 0
    for digest in {event.tx_hash for event in onboards}:
        used += quantity((await stage.receipt(digest))["gasUsed"], "gas")
    return used / len(onboards)


def _rows(name: str, how: str, found: Crowded, seconds: float) -> list[Row]:
    register = f"all registered within {found.register_blocks} blocks"
    return [
        Row(f"{name}-active", found.active, "nodes", how, budget=MANY, floor=True),
        Row(
            f"{name}-onboarded-blocks",
            found.blocks,
            "blocks",
            f"last Register mined -> last Onboarded; {register}; predecessor: 50 blocks at best",
            budget=4,
            timed=True,
        ),
        Row(
            f"{name}-onboarded-seconds",
            found.seconds,
            "s",
            "the same, by the blocks' times; predecessor: 50 s at best, and 1 to 12 of 50 joined",
            budget=6,
            timed=True,
        ),
        Row(
            f"{name}-confirmed-blocks",
            found.confirm_blocks,
            "blocks",
            f"last Register mined -> last Confirmed; last newcomer active {seconds:.1f} s after "
            "all were started",
        ),
        Row(
            f"{name}-failed-transactions",
            len(found.reverted) + found.replaced,
            "",
            f"{len(found.reverted)} reverted ({', '.join(found.reverted) or 'none'}), "
            f"{found.replaced} replaced",
            budget=0,
        ),
        Row(
            f"{name}-member-transactions",
            found.from_member,
            "",
            f"hand-overs by the one member, {found.onboard_gas:.0f} gas a newcomer",
            budget=10,
        ),
    ]
