"""Builds a host from its settings and runs it until a signal or a fault that no retry mends."""

import asyncio
import contextlib
import logging
import resource
import signal
import sys

import aiohttp

from guest.protocol.errors import ReplicatoorError
from host.chain.hexdata import fixed, members
from host.chain.ledger import Identity, Ledger
from host.chain.proofs import ViewFetcher
from host.chain.rpc import RpcClient
from host.chain.scanner import Scanner
from host.chain.sender import Sender
from host.chain.statements import WitnessClient
from host.chain.wallet import Wallet, from_key_file, from_keystore, from_text
from host.collateral import CollateralSource
from host.config import Config
from host.documents.archive import Archive
from host.documents.relay import RelayClient
from host.service import Service, prepare
from host.standing import Standing

NO_SENDER = bytes(20)
HTTP_LIMIT = 30.0
DATABASE = "host.sqlite"


def wallet_of(config: Config) -> Wallet | None:
    """Return the gas key that the settings name, or None: everything then runs dry."""
    if config.key_file is not None:
        return from_key_file(config.key_file)
    if config.keystore is not None:
        return from_keystore(*config.keystore)
    if config.privkey:
        return from_text(config.privkey)
    return None


async def run(config: Config) -> None:
    """Run one host; raises `Misconfigured` for what no retry mends."""
    prepare(config.data_dir)
    wallet = wallet_of(config)
    network = config.network
    async with contextlib.AsyncExitStack() as stack:  # waits: what it closes has limits
        rpc = RpcClient(config.rpc_url, chain_id=network.chain_id)
        stack.push_async_callback(rpc.close)
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_LIMIT))
        stack.push_async_callback(session.close)
        first = members(await rpc.call("eth_getBlockByNumber", "0x0", False), "block 0")
        identity = Identity(
            network.chain_id,
            fixed(first.get("hash"), "the hash of block 0", 32),
            network.contract,
            wallet.address if wallet else NO_SENDER,
        )
        ledger = stack.enter_context(Ledger(config.data_dir / DATABASE, identity))
        scanner = Scanner(rpc, ledger, network.contract, config.deploy_block)
        sender = None
        if wallet is not None:
            standing = Standing(rpc, network.contract)
            sender = Sender(rpc, wallet, ledger, network.chain_id, standing.is_done)
        else:
            logging.getLogger(__name__).warning("no gas key: dry run, nothing will be sent")
        witness = None
        if config.witness_url:
            witness = WitnessClient(config.witness_url)
            stack.push_async_callback(witness.close)
        views = ViewFetcher(
            rpc, network.contract, recent_header=scanner.recent_header, witness=witness
        )
        relay = RelayClient(config.relays)
        stack.push_async_callback(relay.close)
        service = Service(
            config,
            rpc,
            scanner,
            sender,
            views,
            relay,
            Archive(config.data_dir / "documents"),
            CollateralSource(session, config.collateral_url),
        )
        await service.run()


def main(config: Config) -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        return asyncio.run(_until_stopped(config))
    except BaseExceptionGroup as group:
        ours = group.subgroup(ReplicatoorError)
        if ours is None:
            raise
        raise ours.exceptions[0] from None


async def _until_stopped(config: Config) -> int:
    running = asyncio.ensure_future(run(config))
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, running.cancel)
    try:
        await running  # waits: until a signal or a fault
    except asyncio.CancelledError:
        return 0
    return 1
