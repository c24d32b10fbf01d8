"""A network on this machine with a counting proxy before every host, and the story of each guest.

Owns what the benchmarks of joins share: start, follow, retire. Node 0 bootstraps, and stays the only
member: whoever has joined is revoked again, so that the next join meets the same network.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from guest.protocol.errors import Unavailable
from host.chain import abi
from host.chain.hexdata import Json, items, members, quantity, to_data
from host.devnet.network import LocalNetwork, LocalNode, Shape, launch
from scripts.measuring.proxy import RpcProxy, Sent

POLL = 0.01
HURRY = 1.0
SETTLE = 3
"""Blocks after which what is mined now is final, on a chain with one slot an epoch."""


@dataclass(frozen=True, slots=True)
class Trace:
    """When a guest did what, on the monotonic clock; None before it has."""

    linked: float | None
    confirmed: float | None
    active: float | None


@dataclass(slots=True)
class Stage:
    """A network that runs, and its proxies by node. Made by `on_stage`."""

    network: LocalNetwork
    proxies: list[RpcProxy]
    _owner: str = ""

    @property
    def member(self) -> LocalNode:
        """The node that bootstrapped."""
        return self.network.nodes[0]

    def trace(self, node: LocalNode) -> Trace:
        """Return what the present guest of a node has done so far."""
        return read_trace(node.directory / "history.jsonl")

    def pid(self, node: LocalNode, part: str) -> int:
        """Return the process id of a node's "guest" or "host"."""
        return self.network.processes.child(f"{node.name}-{part}").pid

    def start_guest(self, node: LocalNode) -> None:
        """Start a node's guest, with a history of its own."""
        (node.directory / "history.jsonl").unlink(missing_ok=True)
        self.network.start_guest(node)

    async def until_active(self, node: LocalNode, limit: float) -> Trace:
        """Wait until a guest serves apps; raises `Unavailable` after `limit` seconds."""
        await self.until(lambda: self.trace(node).active is not None, limit, f"{node.name} active")
        return self.trace(node)

    async def until(self, there: Callable[[], bool], limit: float, what: str) -> None:
        """Wait for a condition; raises `Unavailable` after `limit` seconds or a process's end."""
        deadline = time.monotonic() + limit
        while not there():
            self.network.processes.require_alive()
            if time.monotonic() > deadline:
                raise Unavailable(f"{what}: not within {limit:.0f} s")
            await asyncio.sleep(POLL)

    async def head(self) -> int:
        """Return the newest block's number."""
        return quantity(await self.network.rpc.call("eth_blockNumber"), "the head", bits=63)

    async def until_block(self, number: int, limit: float) -> None:
        """Wait for a block; raises `Unavailable`."""
        deadline = time.monotonic() + limit
        while await self.head() < number:
            if time.monotonic() > deadline:
                raise Unavailable(f"block {number}: not within {limit:.0f} s")
            await asyncio.sleep(5 * POLL)

    async def settle(self, limit: float = 90.0) -> None:
        """Wait until what is mined now is final; on a chain without a beat, make it so."""
        if self.network.shape.block_time:
            await self.until_block(await self.head() + SETTLE, limit)
        else:
            await self.network.rpc.call("anvil_mine", hex(SETTLE))

    @contextlib.asynccontextmanager
    async def hurried(self) -> AsyncIterator[None]:
        """Mine a block a second while this lasts, each a block time after the last by its own word."""
        interval = round(self.network.shape.block_time)

        async def mine() -> None:
            while True:
                await asyncio.sleep(HURRY)
                # The chain's clock runs on meanwhile: what is added makes the gap a block time.
                await self.network.rpc.call("anvil_mine", hex(1), hex(interval - round(HURRY)))

        mining = asyncio.ensure_future(mine()) if interval > HURRY else None
        try:
            yield
        finally:
            if mining is not None:
                mining.cancel()

    async def retire(self, node: LocalNode) -> None:
        """End a node's guest and have the owner revoke it; return when the member knows."""
        address = bytes.fromhex(str(node.status()["node"])[2:])
        self.network.processes.end(f"{node.name}-guest")
        number = await self._as_owner("revoke", address, bytes(32), b"")
        seen = self.proxies[0].seen
        await self.until(lambda: max(seen) >= number, 60.0, "the member sees the revocation")
        await asyncio.sleep(10 * POLL)

    async def block_of(self, transaction: Sent) -> int:
        """Return the number of the block that holds a transaction."""
        return quantity((await self.receipt(transaction.hash))["blockNumber"], "a block", bits=63)

    async def receipt(self, digest: bytes) -> dict[str, Json]:
        """Return a receipt; raises `MalformedInput` if there is none."""
        answer = await self.network.rpc.call("eth_getTransactionReceipt", to_data(digest))
        return members(answer, "a receipt")

    async def take_ownership(self) -> None:
        """Give the contract to an account of the chain's own, so that revoking costs no node a nonce."""
        accounts = items(await self.network.rpc.call("eth_accounts"), "accounts", max_items=20)
        self._owner = str(accounts[0])
        founder = to_data(self.member.address)
        await self.network.rpc.call("anvil_impersonateAccount", founder)
        await self._send(founder, "transferOwnership", bytes.fromhex(self._owner[2:]))
        await self._as_owner("acceptOwnership")

    async def _as_owner(self, function: str, *values: abi.AbiValue) -> int:
        return await self._send(self._owner, function, *values)

    async def _send(self, sender: str, function: str, *values: abi.AbiValue) -> int:
        """Send a call from an account that the chain signs for; return the block that holds it."""
        call: dict[str, Json] = {
            "from": sender,
            "to": to_data(self.network.network.contract),
            "data": to_data(abi.encode_call(function, *values)),
        }
        digest = await self.network.rpc.call("eth_sendTransaction", call)
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            answer = await self.network.rpc.call("eth_getTransactionReceipt", digest)
            if answer is not None:
                receipt = members(answer, "a receipt")
                if quantity(receipt["status"], "a status") != 1:
                    raise Unavailable(f"{function} reverted")
                return quantity(receipt["blockNumber"], "a block", bits=63)
            await asyncio.sleep(5 * POLL)
        raise Unavailable(f"{function} is not mined")


def read_trace(path: Path) -> Trace:
    """Read a guest's history: an effect happened at the time of the event above it."""
    linked = confirmed = active = None
    at = 0.0
    text = path.read_text() if path.exists() else ""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break  # still being written
        at = float(entry.get("at", at))
        if entry.get("event") == "LinkUp" and linked is None:
            linked = at
        if entry.get("message") == "PostConfirm" and confirmed is None:
            confirmed = at
        if entry.get("effect") == "OpenApps":
            active = at
    return Trace(linked, confirmed, active)


@contextlib.asynccontextmanager
async def on_stage(shape: Shape) -> AsyncIterator[Stage]:
    """Launch a network with a proxy for each node's host; nothing of the nodes runs yet."""
    with TemporaryDirectory(prefix="replicatoor-") as folder:
        async with contextlib.AsyncExitStack() as stack:
            network = await launch(shape, Path(folder) / "net", stack)
            proxies = []
            for node in network.nodes:
                proxy = RpcProxy(network.rpc_url)
                await proxy.start()
                stack.push_async_callback(proxy.stop)
                node.rpc_url = proxy.url
                proxies.append(proxy)
            yield Stage(network, proxies)
            network.processes.end_all()
