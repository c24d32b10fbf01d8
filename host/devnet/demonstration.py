"""The demo's story: start the nodes, follow them to agreement, and prove it from the chain and the apps.

Proof of agreement without showing the secret: every node is Active on the chain, its epoch address is
the chain's `xPub`, and an app at each node derives the same key, whose chain of signatures ends at the
chain's `appRoot`.
"""

import asyncio
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from guest.protocol.digests import app_id
from guest.protocol.errors import MalformedInput, Refused, Unavailable
from guest.protocol.primitives import address_of, keccak256, recover_public_key, secp256k1_public
from guest.protocol.secret import Secret
from guest.protocol.sizes import Address
from host.chain import abi
from host.chain.blocks import parse_logs
from host.chain.events import (
    Bootstrapped,
    Confirmed,
    ContractEvent,
    Onboarded,
    Registered,
    SeenEvent,
    decode_event,
)
from host.chain.hexdata import Json, data, members, quantity, to_data
from host.devnet.network import CHAIN_ID, LocalNetwork, LocalNode

APP_PATH = "replicatoor/demo"
APP_PURPOSE = "demo"
POLL = 0.1


@dataclass(slots=True)
class Row:
    """What the table shows of one node."""

    node: LocalNode
    state: str = "starting"
    detail: str = ""
    block: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Transactions and gas of one node's way in."""

    register: tuple[str, int] | None = None
    onboard: tuple[str, int] | None = None
    confirm: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished demo knows."""

    epoch: int
    x_pub: str
    app_root: str
    stories: dict[Address, Story] = field(default_factory=dict)


Show = Callable[[list[Row]], None]


async def start_nodes(network: LocalNetwork) -> None:
    """Start every node's host and guest."""
    for node in network.nodes:
        network.start_host(node)
        network.start_guest(node)


async def follow(network: LocalNetwork, show: Show, limit: float) -> list[Row]:
    """Follow all nodes until each says that it is active; raises `Unavailable` after `limit` s."""
    rows = [Row(node) for node in network.nodes]
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        network.processes.require_alive()
        for row in rows:
            _update(row)
        show(rows)
        if all(row.state == "active" for row in rows):
            return rows
        await asyncio.sleep(POLL)
    waiting = next(row for row in rows if row.state != "active")
    raise Unavailable(
        f"not every node became active in {limit:.0f} s",
        got=f"{waiting.node.name}: {waiting.state} ({waiting.detail})",
    )


async def prove(network: LocalNetwork, rows: list[Row]) -> Outcome:
    """Compare the chain, every node and an app at every node; raises `Refused`-like on any doubt."""
    (epoch,) = await _read(network, "epoch")
    (x_pub,) = await _read(network, "xPub")
    (app_root,) = await _read(network, "appRoot")
    if not (isinstance(epoch, int) and isinstance(x_pub, bytes) and isinstance(app_root, bytes)):
        raise MalformedInput("the contract's views have unexpected types")
    keys: set[str] = set()
    for row in rows:
        status = row.node.status()
        address = bytes.fromhex(str(status.get("node", "0x"))[2:])
        (member,) = await _read(network, "isMember", address)
        if member is not True:
            raise Unavailable(f"{row.node.name} is no member on the chain", got=address)
        if status.get("xPub") != "0x" + x_pub.hex() or status.get("epoch") != epoch:
            raise Unavailable(f"{row.node.name} has another epoch key", got=status.get("xPub"))
        answer = await asyncio.to_thread(
            ask_key, row.node.app_socket
        )  # waits: its socket has limits
        keys.add(answer.fingerprint)
        root = recovered_root(answer, network.network.network_id)
        if root != app_root:
            raise Unavailable(f"{row.node.name}'s app keys hang below another root", got=root)
    if len(keys) != 1:
        raise Unavailable("the nodes derive different app keys", got=sorted(keys))
    return Outcome(epoch, "0x" + x_pub.hex(), "0x" + app_root.hex(), await stories(network))


@dataclass(frozen=True, slots=True)
class AppKey:
    """An app's key as public facts: a fingerprint, and the chain of signatures under it."""

    fingerprint: str
    public: bytes
    chain: tuple[bytes, ...]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5.0)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_key(path: Path) -> AppKey:
    """Ask a node's app socket for a key, as any app would; keep only what is public."""
    connection = _UnixConnection(path)
    try:
        body = json.dumps({"path": APP_PATH, "purpose": APP_PURPOSE, "algorithm": "secp256k1"})
        connection.request("POST", "/GetKey", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read(65536))
        public = secp256k1_public(Secret(bytes.fromhex(answer["key"])))
        chain = tuple(bytes.fromhex(link) for link in answer["signature_chain"])
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        raise Unavailable("an app socket does not answer", got=type(error).__name__) from None
    finally:
        connection.close()
    return AppKey(hashlib.sha256(public).hexdigest()[:32], public, chain)


def recovered_root(key: AppKey, network_id: bytes) -> Address:
    """Return the address at the end of a key's signature chain (dstack's formats)."""
    message = f"{APP_PURPOSE}:{key.public.hex()}".encode()
    try:
        app_key = recover_public_key(keccak256(message), _ethereum(key.chain[0]))
        issued = b"dstack-kms-issued:" + app_id(network_id) + app_key
        root = recover_public_key(keccak256(issued), _ethereum(key.chain[1]))
    except (Refused, IndexError):
        raise Unavailable("a key's signature chain does not verify") from None
    return address_of(root)


def _ethereum(signature: bytes) -> bytes:
    """The same signature with v 27 or 28 in place of dstack's 0 or 1."""
    return signature[:64] + bytes([27 + signature[64]])


async def stories(network: LocalNetwork) -> dict[Address, Story]:
    """Collect each node's transactions and their gas from the contract's events."""
    deployed = network.deployed
    query: dict[str, Json] = {
        "address": to_data(network.network.contract),
        "fromBlock": hex(deployed.block if deployed else 0),
        "toBlock": "latest",
    }
    logs = parse_logs(await network.rpc.call("eth_getLogs", query))
    seen = [event for event in map(decode_event, logs) if event is not None]
    gas = await _gas_shares(network, seen)
    found: dict[Address, dict[str, tuple[str, int]]] = {}
    for event in seen:
        step = _step_of(event.event)
        if step is not None:
            name, node = step
            found.setdefault(node, {})[name] = (to_data(event.tx_hash), gas[event.tx_hash])
    return {node: Story(**steps) for node, steps in found.items()}


def _step_of(event: ContractEvent) -> tuple[str, Address] | None:
    match event:
        case Bootstrapped() | Registered():
            return "register", event.node
        case Onboarded():
            return "onboard", event.node
        case Confirmed():
            return "confirm", event.node
        case _:
            return None


async def _gas_shares(network: LocalNetwork, seen: list[SeenEvent]) -> dict[bytes, int]:
    """Gas of each transaction, shared by the nodes that it moved on."""
    shares: dict[bytes, int] = {}
    for tx_hash in {event.tx_hash for event in seen}:
        receipt = members(
            await network.rpc.call("eth_getTransactionReceipt", to_data(tx_hash)), "a receipt"
        )
        moved = sum(
            event.tx_hash == tx_hash and _step_of(event.event) is not None for event in seen
        )
        shares[tx_hash] = quantity(receipt["gasUsed"], "gas") // max(1, moved)
    return shares


def as_json(network: LocalNetwork, rows: list[Row], outcome: Outcome, seconds: float) -> str:
    """Return the demo's one JSON object."""
    nodes: list[dict[str, object]] = []
    for row in rows:
        address = str(row.node.status().get("node"))
        story = outcome.stories.get(bytes.fromhex(address[2:]), Story())
        steps = {"register": story.register, "onboard": story.onboard, "confirm": story.confirm}
        nodes.append(
            {
                "address": address,
                "role": "bootstrap" if row.node.index == 0 else "join",
                "status": "Active",
                "socket": str(row.node.app_socket),
                **{f"{name}_tx": step[0] if step else None for name, step in steps.items()},
                "join_seconds": round(row.seconds or 0.0, 3),
                "gas": {name: step[1] if step else None for name, step in steps.items()},
            }
        )
    content = {
        "chain_id": CHAIN_ID,
        "rpc_url": network.rpc_url,
        "contract": "0x" + network.network.contract.hex(),
        "epoch": outcome.epoch,
        "xPub": outcome.x_pub,
        "appRoot": outcome.app_root,
        "total_seconds": round(seconds, 3),
        "nodes": nodes,
    }
    return json.dumps(content)


def _update(row: Row) -> None:
    status = row.node.status()
    if not status:
        return
    head = status.get("head")
    row.block = head if isinstance(head, int) else None
    state = str(status.get("state") or "starting")
    if state == "active" and not row.node.app_socket.exists():
        state = "sealing"
    row.state, row.detail = state, str(status.get("detail") or "")
    if state == "active" and row.seconds is None:
        row.seconds = time.monotonic() - row.node.started


async def _read(
    network: LocalNetwork, name: str, *values: abi.AbiValue
) -> tuple[abi.AbiValue, ...]:
    call: dict[str, Json] = {
        "to": to_data(network.network.contract),
        "data": to_data(abi.encode_call(name, *values)),
    }
    raw = data(await network.rpc.call("eth_call", call, "latest"), name, max_size=65536)
    return abi.decode_result(name, raw)
