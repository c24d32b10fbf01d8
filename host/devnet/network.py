"""A whole network on this machine: chain, contract, platform, relay, and a guest and host per node.

Every guest and every host is a process of its own; the first node's host holds the owner's key. Used by
the demo, the benchmarks and the tests, so that all three run the same thing.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from guest.protocol.errors import Unavailable
from guest.protocol.network import Kind, Network, TcbPolicy, Trust
from guest.protocol.primitives import keccak256, secp256k1_address
from guest.protocol.secret import Secret
from guest.protocol.sizes import ZERO_ADDRESS
from host.chain.hexdata import Json, fixed, members, to_data
from host.chain.ledger import Identity, Ledger
from host.chain.rpc import RpcClient
from host.chain.sender import Sender
from host.chain.wallet import Wallet
from host.config import PREFIX
from host.deployment import Deployed, Plan, deploy, propose_measurement, write_network_file
from host.devnet.processes import ANVIL, Processes, announced, free_port
from host.devplatform.registers import read_registers
from host.standing import Standing

CHAIN_ID = 31337
FUNDS = 10**20
SETUP_LIMIT = 60.0
DEVELOPMENT_ROOT = Path(__file__).resolve().parents[1] / "devplatform/insecure-development-root.der"


@dataclass(frozen=True, slots=True)
class Shape:
    """What network to make. Block time 0: a block for every transaction, at once."""

    nodes: int = 5
    block_time: float = 1.0
    slots_in_an_epoch: int = 1
    trust: Trust = Trust.WITNESSED
    history: bool = False
    rpc_url: str | None = None


@dataclass(slots=True)
class LocalNode:
    """One node: where its files are, and when its guest was started."""

    index: int
    directory: Path
    key: Secret
    address: bytes
    rpc_url: str | None = None
    started: float = 0.0
    active_after: float | None = None

    @property
    def name(self) -> str:
        """How logs call it."""
        return f"node{self.index}"

    @property
    def app_socket(self) -> Path:
        """Where its apps find their keys."""
        return self.directory / "app.sock"

    def status(self) -> dict[str, Json]:
        """Return what its host last said; empty before the first word."""
        try:
            content = json.loads((self.directory / "data" / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(slots=True)
class LocalNetwork:
    """A network that runs. Made by `launch`."""

    shape: Shape
    directory: Path
    processes: Processes
    rpc_url: str
    rpc: RpcClient
    nodes: list[LocalNode] = field(default_factory=list)
    deployed: Deployed | None = None
    collateral_url: str = ""
    relay_url: str = ""
    witness_url: str = ""

    @property
    def network(self) -> Network:
        """The network file's content."""
        if self.deployed is None:
            raise Unavailable("the contract is not deployed yet")
        return self.deployed.network

    def start_host(self, node: LocalNode) -> None:
        """Start a node's host process."""
        self.processes.start_module(
            f"{node.name}-host", "host", "run", environment=self.host_environment(node)
        )

    def host_environment(self, node: LocalNode) -> dict[str, str]:
        """Return the settings of a node's host."""
        settings = {
            "NETWORK_FILE": str(self.directory / "network.json"),
            "RPC_URL": node.rpc_url or self.shape.rpc_url or self.rpc_url,
            "DEPLOY_BLOCK": str(self.deployed.block if self.deployed else 0),
            "DATA_DIR": str(node.directory / "data"),
            "GUEST_SOCKET": str(node.directory / "link.sock"),
            "RELAYS": self.relay_url,
            "COLLATERAL_URL": self.collateral_url,
            "WITNESS_URL": self.witness_url,
            "KEY_FILE": str(node.directory / "gas.key"),
            "BOOTSTRAP": "1" if node.index == 0 else "0",
        }
        return {PREFIX + name: value for name, value in settings.items() if value}

    def start_guest(self, node: LocalNode) -> None:
        """Start a node's guest process: one boot."""
        node.started = time.monotonic()
        node.active_after = None
        arguments = self.guest_arguments(node)
        self.processes.start_module(f"{node.name}-guest", "guest", *arguments)

    def guest_arguments(self, node: LocalNode) -> tuple[str, ...]:
        """Return the command line of a node's guest, without the program."""
        history = ("--history", str(node.directory / "history.jsonl"))
        return (
            "--network",
            str(self.directory / "network.json"),
            "--host",
            f"unix:{node.directory / 'link.sock'}",
            "--platform",
            f"unix:{self.directory / 'platform.sock'}",
            "--app-socket",
            str(node.app_socket),
            *(history if self.shape.history else ()),
        )

    def start_relay(self) -> None:
        """Start the relay, again at the same address if it was killed. It keeps nothing on disk."""
        listen = self.relay_url.removeprefix("http://")
        self.processes.start_module("relay", "host", "relay", "--listen", listen)


def make_node(directory: Path, index: int) -> LocalNode:
    """Make a node's folder and its gas key, which is worth nothing outside this local chain."""
    place = directory / f"node{index}"
    place.mkdir(mode=0o700, parents=True)
    key = Secret(hashlib.sha256(f"Replicatoor local chain, gas key {index}".encode()).digest())
    _write_key(place / "gas.key", key)
    return LocalNode(index, place, key, Wallet(key).address)


async def launch(shape: Shape, directory: Path, stack: contextlib.AsyncExitStack) -> LocalNetwork:
    """Start everything but the nodes: chain, platform, relay, contract; the stack ends it all."""
    _make_fresh(directory)
    processes = stack.enter_context(Processes(directory / "logs"))
    port = free_port()
    rpc_url = f"http://127.0.0.1:{port}"
    processes.start("chain", _anvil(shape, port))
    rpc = RpcClient(rpc_url, chain_id=CHAIN_ID)
    stack.push_async_callback(rpc.close)
    network = LocalNetwork(shape, directory, processes, rpc_url, rpc)
    registers = directory / "registers.json"
    processes.start_module(
        "registers", "host.devplatform", "registers", "image", str(registers)
    ).wait(timeout=SETUP_LIMIT)
    processes.end("registers")
    processes.start_module(
        "platform",
        "host.devplatform",
        "serve",
        "--socket",
        str(directory / "platform.sock"),
        "--registers",
        str(registers),
    )
    network.relay_url = f"http://127.0.0.1:{free_port()}"
    network.start_relay()
    await _answers(network)
    for index in range(shape.nodes):
        node = make_node(directory, index)
        network.nodes.append(node)
        await rpc.call("anvil_setBalance", to_data(node.address), hex(FUNDS))
    await _deploy(network, registers)
    if shape.trust is Trust.WITNESSED or not shape.block_time:
        await _start_witness(network)
    ready = members(json.loads(await announced(processes, "platform")), "the platform's word")
    network.collateral_url = str(ready["collateral"])
    return network


async def _start_witness(network: LocalNetwork) -> None:
    """Start the header witness; on a chain without a beat it also mines when nobody else does."""
    shape = network.shape
    idle = 0.0 if shape.block_time else network.network.max_view_age / 4
    network.processes.start_module(
        "witness",
        "host.devplatform.witness",
        "--rpc",
        network.rpc_url,
        "--key-file",
        str(network.directory / "witness.key"),
        "--tick",
        f"{idle:g}",
    )
    ready = members(json.loads(await announced(network.processes, "witness")), "its word")
    if shape.trust is Trust.WITNESSED:
        network.witness_url = str(ready["url"])


def _witness_key(directory: Path) -> Secret:
    key = Secret(hashlib.sha256(b"Replicatoor local chain, header witness").digest())
    _write_key(directory / "witness.key", key)
    return key


def _write_key(path: Path, key: Secret) -> None:
    path.touch(mode=0o600)
    path.write_text(key.expose().hex() + "\n")


def _make_fresh(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)


def _anvil(shape: Shape, port: int) -> list[str]:
    pace = ["--block-time", f"{shape.block_time:g}"] if shape.block_time else []
    return [
        str(ANVIL),
        "--port",
        str(port),
        "--chain-id",
        str(CHAIN_ID),
        "--hardfork",
        "osaka",
        "--slots-in-an-epoch",
        str(shape.slots_in_an_epoch),
        "--silent",
        *pace,
    ]


async def _answers(network: LocalNetwork) -> None:
    """Wait until the chain answers and has a block above its genesis, whose state proof is odd."""
    deadline = time.monotonic() + SETUP_LIMIT
    while time.monotonic() < deadline:
        network.processes.require_alive()
        try:
            await network.rpc.call("evm_mine")
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            return
    raise Unavailable("the local chain does not answer")


async def _deploy(network: LocalNetwork, registers: Path) -> None:
    owner = Wallet(network.nodes[0].key)
    rpc = network.rpc
    block = members(await rpc.call("eth_getBlockByNumber", "0x0", False), "block 0")
    identity = Identity(CHAIN_ID, fixed(block["hash"], "hash", 32), ZERO_ADDRESS, owner.address)
    root = DEVELOPMENT_ROOT.read_bytes()
    shape = network.shape
    plan = Plan(
        network_id=os.urandom(32),
        kind=Kind.TEST,
        chain_id=CHAIN_ID,
        root=root,
        root_hash=_root_hash(root),
        notice=60,
        notice_floor=60,
        trust=shape.trust,
        witness=secp256k1_address(_witness_key(network.directory)),
        max_view_age=max(60, int(25 * shape.block_time)),
        tcb=TcbPolicy(("UpToDate",), (), 0),
    )
    with Ledger(network.directory / "owner.sqlite", identity) as ledger:
        standing = Standing(rpc, ZERO_ADDRESS)
        sender = Sender(rpc, owner, ledger, CHAIN_ID, standing.is_done)
        running = asyncio.ensure_future(_send(sender))
        try:
            network.deployed = await deploy(sender, rpc, owner.address, plan, SETUP_LIMIT)
            image = read_registers(registers).measurement_id
            await propose_measurement(
                sender, network.network.contract, image, keccak256(b"image"), SETUP_LIMIT
            )
        finally:
            running.cancel()
    write_network_file(network.network, network.directory / "network.json")


async def _send(sender: Sender) -> None:
    """Run the owner's outbox, with a look every tenth of a second."""
    while True:
        with contextlib.suppress(Unavailable):
            await sender.tick()
        await asyncio.sleep(0.1)


def _root_hash(root: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(root).public_key()
    return keccak256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
