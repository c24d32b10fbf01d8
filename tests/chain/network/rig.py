"""What tests of whole networks share: start one, await conditions on it, and read what came of it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from guest.protocol.errors import Unavailable
from host.chain import abi
from host.chain.blocks import parse_logs
from host.chain.events import ContractEvent, SeenEvent, Status, decode_event
from host.chain.hexdata import Json, data, items, members, quantity, to_data
from host.devnet.network import LocalNetwork, LocalNode, Shape, launch

LIMIT = 120.0
"""Seconds for a condition: generous, for a loaded machine; a condition that is true ends the wait."""
POLL = 0.05
QUICK = Shape(nodes=2, block_time=0.5)


@asynccontextmanager
async def running(shape: Shape = QUICK) -> AsyncIterator[LocalNetwork]:
    """A chain, contract, platform and relay, without nodes yet; all of it ends with the block.

    If the block fails, the end of every log is added to the failure.
    """
    folder = Path(tempfile.mkdtemp(prefix="replicatoor-"))  # short: socket paths end at 107 bytes
    try:
        async with AsyncExitStack() as stack:
            network = await launch(shape, folder / "net", stack)
            try:
                yield network
            except BaseException as error:
                error.add_note(words(network))
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(network: LocalNetwork, *nodes: LocalNode) -> None:
    """Start host and guest of `nodes`, of all if none is named."""
    for node in nodes or tuple(network.nodes):
        network.start_host(node)
        network.start_guest(node)


async def until(
    network: LocalNetwork,
    holds: Callable[[], bool],
    what: str,
    *,
    limit: float = LIMIT,
    dead: Collection[str] = (),
) -> None:
    """Wait until `holds()`; fails after `limit` seconds, or when a process outside `dead` ended."""
    deadline = time.monotonic() + limit
    while not holds():
        _require_alive(network, dead)
        assert time.monotonic() < deadline, f"not in {limit:.0f} s: {what}"
        await asyncio.sleep(POLL)


async def said(network: LocalNetwork, name: str, words: str, *, dead: Collection[str] = ()) -> None:
    """Wait until the process `name` has printed `words`."""
    await until(
        network, lambda: words in network.processes.log(name), f"{name}: {words!r}", dead=dead
    )


async def active(network: LocalNetwork, *nodes: LocalNode, dead: Collection[str] = ()) -> None:
    """Wait until every one of `nodes` (of all, if none is named) is active and serves its apps."""
    for node in nodes or tuple(network.nodes):
        await until(
            network,
            lambda node=node: state(node) == "active" and node.app_socket.exists(),
            f"{node.name} is active",
            dead=dead,
        )


def _require_alive(network: LocalNetwork, dead: Collection[str]) -> None:
    try:
        network.processes.require_alive()
    except Unavailable as error:
        if str(error).partition(" ")[0] not in dead:
            raise


def state(node: LocalNode) -> str:
    """What the host last said of its guest."""
    return str(node.status().get("state", ""))


def address(node: LocalNode) -> bytes:
    """The present name of a node's guest, zero while it has none."""
    return bytes.fromhex(str(node.status().get("node", "0x" + "00" * 20))[2:])


def words(network: LocalNetwork, lines: int = 25) -> str:
    """The last lines of every log."""
    logs = sorted((network.directory / "logs").glob("*.log"))
    tails = [(log.stem, log.read_text(errors="replace").splitlines()[-lines:]) for log in logs]
    return "\n".join(f"--- {name}\n" + "\n".join(tail) for name, tail in tails)


def tracebacks(network: LocalNetwork) -> list[str]:
    """Names of the processes that ever printed a traceback."""
    logs = sorted((network.directory / "logs").glob("*.log"))
    return [log.stem for log in logs if "Traceback" in log.read_text(errors="replace")]


# --- the chain ----------------------------------------------------------------------------------


async def view(network: LocalNetwork, name: str, *values: abi.AbiValue) -> abi.AbiValue:
    """Return what a view function of the contract answers; a struct or a single value."""
    call: dict[str, Json] = {
        "to": to_data(network.network.contract),
        "data": to_data(abi.encode_call(name, *values)),
    }
    raw = data(await network.rpc.call("eth_call", call, "latest"), name, max_size=65536)
    return abi.decode_result(name, raw)[0]


async def status_of(network: LocalNetwork, node: bytes) -> Status:
    """Return a node's status on the chain."""
    record = await view(network, "nodes", node)
    assert isinstance(record, tuple)
    assert isinstance(record[1], int)
    return Status(record[1])


async def seen_events(network: LocalNetwork) -> list[SeenEvent]:
    """Return all events of the contract, oldest first."""
    query: dict[str, Json] = {
        "address": to_data(network.network.contract),
        "fromBlock": "0x0",
        "toBlock": "latest",
    }
    logs = parse_logs(await network.rpc.call("eth_getLogs", query))
    return [event for event in map(decode_event, logs) if event is not None]


async def events(network: LocalNetwork, *kinds: type[ContractEvent]) -> list[ContractEvent]:
    """Return the contract's events of these kinds, oldest first."""
    return [seen.event for seen in await seen_events(network) if isinstance(seen.event, kinds)]


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction on the chain, and whether it succeeded."""

    sender: bytes
    nonce: int
    calldata: bytes
    succeeded: bool
    block: int
    hash: str


async def transactions(network: LocalNetwork) -> list[Mined]:
    """Return every transaction on the chain, oldest first."""
    head = quantity(await network.rpc.call("eth_blockNumber"), "head")
    found: list[Mined] = []
    for number in range(head + 1):
        block = members(
            await network.rpc.call("eth_getBlockByNumber", hex(number), True), "a block"
        )
        for item in items(block.get("transactions"), "transactions", max_items=1000):
            tx = members(item, "a transaction")
            receipt = members(
                await network.rpc.call("eth_getTransactionReceipt", tx["hash"]), "a receipt"
            )
            found.append(
                Mined(
                    data(tx["from"], "from", max_size=20),
                    quantity(tx["nonce"], "nonce"),
                    data(tx["input"], "input", max_size=200_000),
                    receipt["status"] == "0x1",
                    number,
                    str(tx["hash"]),
                )
            )
    return found


async def owner_sends(network: LocalNetwork, name: str, *values: abi.AbiValue) -> None:
    """Let the contract's owner call it, from outside its host; the transaction must succeed."""
    await send_as(network, network.nodes[0].address, name, *values)


async def send_as(
    network: LocalNetwork, sender: bytes, name: str, *values: abi.AbiValue
) -> dict[str, Json]:
    """Call the contract as any account of this local chain; return the receipt of a success."""
    await network.rpc.call("anvil_impersonateAccount", to_data(sender))
    call: dict[str, Json] = {
        "from": to_data(sender),
        "to": to_data(network.network.contract),
        "data": to_data(abi.encode_call(name, *values)),
    }
    tx_hash = await network.rpc.call("eth_sendTransaction", call)
    deadline = time.monotonic() + LIMIT
    receipt = None
    while receipt is None:
        assert time.monotonic() < deadline, f"{name} was not mined"
        await asyncio.sleep(POLL)
        receipt = await network.rpc.call("eth_getTransactionReceipt", tx_hash)
    found = members(receipt, "a receipt")
    assert found["status"] == "0x1", f"{name} reverted"
    return found
