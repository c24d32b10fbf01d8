"""`replicatoor check`: every problem at once, each with its mend, before a node is started."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from guest.protocol.errors import Misconfigured, ReplicatoorError
from guest.protocol.network import Kind
from guest.protocol.primitives import keccak256
from host import config as configuration
from host.chain.hexdata import data, quantity, to_data
from host.chain.rpc import RpcClient
from host.config import Config
from host.daemon import wallet_of

LIMIT = 10.0
MAX_SOCKET_PATH = 100
LOW_FUNDS = 10**16
"""0.01 ether: some tens of joins at usual prices of a test network."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    mend: str = ""


def main(values: Mapping[str, str], *, as_json: bool) -> int:
    """Print every finding; return 0 if all are well, 2 for configuration, 1 for anything else."""
    try:
        config = configuration.parse(values)
    except Misconfigured as error:
        findings = [Finding("settings", False, str(error), "See host.env.example.")]
        _print(findings, as_json=as_json)
        return 2
    findings = asyncio.run(look(config))
    _print(findings, as_json=as_json)
    return 0 if all(finding.ok for finding in findings) else 1


async def look(config: Config) -> list[Finding]:
    """Look at everything that a node needs."""
    findings = [Finding("settings", True, "complete"), *_local(config)]
    async with (
        RpcClient(config.rpc_url, chain_id=config.network.chain_id, timeout=LIMIT) as rpc,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)) as session,
    ):
        findings.append(await _try("chain", _chain(rpc), "Check RPC_URL and the network file."))
        findings.append(
            await _try("contract", _contract(rpc, config), "Check the network file and RPC_URL.")
        )
        findings.append(
            await _try("proofs", _proofs(rpc, config), "Use a node that serves eth_getProof.")
        )
        findings.append(await _try("gas key", _funds(rpc, config), "Send it some ether."))
        for url in (*config.relays, config.collateral_url):
            mend = "Start it, or correct its URL."
            findings.append(await _try("service", _reachable(session, url), mend))
    return findings


def _local(config: Config) -> list[Finding]:
    path = str(config.guest_socket)
    short = len(path.encode()) <= MAX_SOCKET_PATH
    folder = config.guest_socket.parent
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    place = config.data_dir if config.data_dir.exists() else config.data_dir.parent
    findings = [
        Finding("guest socket", short, f"{len(path)} bytes long", "Choose a shorter path."),
        Finding("guest socket", writable, str(folder), "Make the folder, writable by this user."),
        Finding(
            "data folder", os.access(place, os.W_OK), str(config.data_dir), "Choose a writable one."
        ),
        Finding("relays", bool(config.relays), f"{len(config.relays)} set", "Set RELAYS."),
    ]
    if config.network.kind is Kind.REAL:
        mend = "Real networks wait for the light client; use a test network until then."
        findings.append(Finding("network kind", False, "real", mend))
    return findings


async def _try(what: str, looking: Awaitable[str], mend: str) -> Finding:
    try:
        async with asyncio.timeout(2 * LIMIT):
            return Finding(what, True, await looking)
    except (ReplicatoorError, TimeoutError, aiohttp.ClientError, OSError) as error:
        return Finding(what, False, str(error) or "no answer in time", mend)


async def _chain(rpc: RpcClient) -> str:
    number = quantity(await rpc.call("eth_blockNumber"), "the block number")
    return f"chain {rpc.chain_id} at block {number}"


async def _contract(rpc: RpcClient, config: Config) -> str:
    code = data(
        await rpc.call("eth_getCode", to_data(config.network.contract), "latest"),
        "the contract's code",
        max_size=64 * 1024,
    )
    found = keccak256(code)
    if found != config.network.code_hash:
        raise Misconfigured(
            "the contract has other code", got=found, expected=config.network.code_hash
        )
    return f"0x{config.network.contract.hex()} has the code that the network file names"


async def _proofs(rpc: RpcClient, config: Config) -> str:
    await rpc.call("eth_getProof", to_data(config.network.contract), ["0x" + "00" * 32], "latest")
    return "the node serves eth_getProof"


async def _funds(rpc: RpcClient, config: Config) -> str:
    wallet = wallet_of(config)
    if wallet is None:
        return "none is set: the node runs dry"
    wei = quantity(await rpc.call("eth_getBalance", to_data(wallet.address), "latest"), "balance")
    if wei < LOW_FUNDS:
        raise Misconfigured("the gas key is almost empty", got=f"{wei / 1e18:.6f} ether")
    return f"0x{wallet.address.hex()} has {wei / 1e18:.4f} ether"


async def _reachable(session: aiohttp.ClientSession, url: str) -> str:
    async with asyncio.timeout(LIMIT), session.get(url) as answer:
        return f"{Path(url).name} answers ({answer.status})"


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings]) + "\n")
        return
    for finding in findings:
        sys.stdout.write(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what}: {finding.detail}\n")
        if not finding.ok and finding.mend:
            sys.stdout.write(f"      mend: {finding.mend}\n")
