"""Fifty newcomers in one process: fifty guests with their own keys, boots, links, gas keys and outboxes.

Each guest is the guest's own runtime, each host the host's own service; what they share is one node's
connection and one scanner, as fifty hosts in one process would. It leaves a file when all are active.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from guest import config as guest_configuration
from guest.agent.server import AppServer
from guest.chain.trust import trust_for
from guest.chain.view import ChainReader
from guest.core.node import Node
from guest.platform.quoting_service import QuotingService
from guest.protocol.digests import measurement_id
from guest.runtime import Runtime
from host import config as host_configuration
from host.chain.blocks import BlockFields
from host.chain.hexdata import fixed, members
from host.chain.ledger import Identity, Ledger
from host.chain.proofs import ViewFetcher
from host.chain.rpc import RpcClient
from host.chain.scanner import Scanner, Step
from host.chain.sender import Sender
from host.chain.statements import WitnessClient
from host.collateral import CollateralSource
from host.config import Config
from host.daemon import wallet_of
from host.documents.archive import Archive
from host.documents.relay import RelayClient
from host.service import Service, prepare
from host.standing import Standing

TEE_TDX = 0x81
ALL_STARTED = 60.0
POLL = 0.02
DONE = "done.json"


class Listener(Scanner):
    """One host's ear at a scanner that many share."""

    def __init__(self, source: Scanner) -> None:
        """Listen to `source`; whoever reads it puts its steps into `heard`."""
        self._source = source
        self.heard: asyncio.Queue[Step] = asyncio.Queue()
        self.trouble = ""

    @property
    def head(self) -> BlockFields | None:
        """The newest block known."""
        return self._source.head

    async def steps(self) -> AsyncIterator[Step]:
        """Yield the shared scanner's steps."""
        while True:
            yield await self.heard.get()  # waits: for the next block


class Crowd:
    """The newcomers and what they share."""

    def __init__(
        self, rpc: RpcClient, scanner: Scanner, relay: RelayClient, witness: WitnessClient | None
    ) -> None:
        """Share a node, a scanner and the clients of relay and witness."""
        self._witness = witness
        self._rpc = rpc
        self._scanner = scanner
        self._relay = relay
        self._listeners: list[Listener] = []
        self.began = asyncio.Event()
        """Set at the first step: every host has a head."""
        self._tasks: list[asyncio.Task[object]] = []

    async def host(
        self, config: Config, identity: Identity, session: aiohttp.ClientSession
    ) -> None:
        """Start one newcomer's host."""
        prepare(config.data_dir)
        wallet = wallet_of(config)
        if wallet is None:
            raise SystemExit("every newcomer has a gas key")
        own = Identity(identity.chain_id, identity.genesis, identity.contract, wallet.address)
        ledger = Ledger(config.data_dir / "host.sqlite", own)
        standing = Standing(self._rpc, config.network.contract)
        sender = Sender(self._rpc, wallet, ledger, own.chain_id, standing.is_done)
        listener = Listener(self._scanner)
        self._listeners.append(listener)
        service = Service(
            config,
            self._rpc,
            listener,
            sender,
            ViewFetcher(
                self._rpc,
                config.network.contract,
                recent_header=self._scanner.recent_header,
                witness=self._witness,
            ),
            self._relay,
            Archive(config.data_dir / "documents"),
            CollateralSource(session, config.collateral_url),
        )
        self._tasks.append(asyncio.ensure_future(service.run()))

    async def guest(self, config: guest_configuration.Config) -> None:
        """Boot one newcomer."""
        network = config.network
        platform = await QuotingService.connect(config.platform.partition(":")[2])
        boot = await platform.registers()
        own = measurement_id(TEE_TDX, boot.mrtd, boot.rtmr0, boot.rtmr1, boot.rtmr2)
        node = Node(network, ChainReader(network, trust_for(network)), os.urandom, own)
        apps = AppServer(config.app_socket, network.network_id)
        runtime = Runtime(node, platform, apps, config.host, config.history)
        self._tasks.append(asyncio.ensure_future(runtime.run()))

    async def follow(self) -> None:
        """Tell every host each step of the chain."""
        async for step in self._scanner.steps():
            self.began.set()
            for listener in self._listeners:
                listener.heard.put_nowait(step)

    def require_alive(self) -> None:
        """Raise what ended a newcomer."""
        for task in self._tasks:
            if task.done():
                raise SystemExit(f"a newcomer ended: {task.result()}")


async def run(plan: list[dict[str, object]], limit: float, done: Path) -> None:
    """Start everyone; once the last one serves apps, leave the seconds that took in `done`."""
    hosts = [host_configuration.parse({str(k): str(v) for k, v in _at(p, "host")}) for p in plan]
    guests = [guest_configuration.parse([str(a) for a in _list(p, "guest")]) for p in plan]
    first = hosts[0]
    async with contextlib.AsyncExitStack() as stack:
        rpc = RpcClient(first.rpc_url, chain_id=first.network.chain_id)
        stack.push_async_callback(rpc.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        relay = RelayClient(first.relays)
        stack.push_async_callback(relay.close)
        genesis = members(await rpc.call("eth_getBlockByNumber", "0x0", False), "block 0")
        digest = fixed(genesis.get("hash"), "the hash of block 0", 32)
        identity = Identity(first.network.chain_id, digest, first.network.contract, bytes(20))
        own = Ledger(first.data_dir.parent / "scanner.sqlite", identity)
        scanner = Scanner(rpc, own, first.network.contract, first.deploy_block)
        witness = WitnessClient(first.witness_url) if first.witness_url else None
        if witness is not None:
            stack.push_async_callback(witness.close)
        crowd = Crowd(rpc, scanner, relay, witness)
        for config in hosts:
            await crowd.host(config, identity, session)
        following = asyncio.ensure_future(crowd.follow())
        await crowd.began.wait()  # waits: for the chain's first step
        began = time.monotonic()
        async with asyncio.timeout(ALL_STARTED):
            await asyncio.gather(*map(crowd.guest, guests))
        async with asyncio.timeout(limit):
            while not all(config.app_socket.exists() for config in guests):
                crowd.require_alive()
                if following.done():
                    following.result()
                await asyncio.sleep(POLL)
        seconds = time.monotonic() - began
        done.with_suffix(".new").write_text(json.dumps({"seconds": seconds}))
        done.with_suffix(".new").rename(done)
        await asyncio.sleep(limit)  # until whoever started us has seen enough and ends us


def _at(plan: dict[str, object], name: str) -> list[tuple[object, object]]:
    found = plan[name]
    return list(found.items()) if isinstance(found, dict) else []


def _list(plan: dict[str, object], name: str) -> list[object]:
    found = plan[name]
    return list(found) if isinstance(found, list) else []


def main() -> int:
    """Read the plan (a list of {host: settings, guest: arguments}) and run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("limit", type=float)
    known = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    done = known.plan.with_name(DONE)
    asyncio.run(run(json.loads(known.plan.read_text()), known.limit, done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
