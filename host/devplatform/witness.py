"""The header witness of test networks: one key that says which block is newest and which is final.

`python -m host.devplatform.witness --rpc URL --key-file FILE --listen HOST:PORT`

Owns the witness's key and its HTTP service (`GET /statement`). It signs what one node shows, after the
headers hashed to their hashes, and nothing else. It is a stand-in for a light client in networks
without value; a network file that names a witness says so to everyone.
"""

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from guest.protocol.digests import witness_digest
from guest.protocol.errors import (
    Misconfigured,
    ReplicatoorError,
    Unavailable,
)
from guest.protocol.link import WitnessStatement
from guest.protocol.messages import Witness
from guest.protocol.primitives import SECP256K1_ORDER, secp256k1_address, sign_digest
from guest.protocol.secret import Secret
from host.chain.blocks import BlockFields, parse_block
from host.chain.hexdata import Json, to_data
from host.chain.proofs import header_rlp
from host.chain.rpc import Call, Node, RpcClient, RpcError
from host.chain.statements import PATH, render
from host.http_log import one_line_logger

_TIMEOUT = 5.0
"""Seconds to start and to stop the service."""
_FRESH = 0.1
"""Seconds for which one answer serves all who ask at once."""


# --- the key ------------------------------------------------------------------------------------


def read_key(path: Path) -> Secret:
    """Read a key file: 64 hex digits, readable by its owner only; raises `Misconfigured`."""
    mend = "Make one with 64 random hex digits in it, mode 0600"
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(70).strip().removeprefix(b"0x")
    except OSError as e:
        raise Misconfigured(f"no witness key at {path} ({e.strerror})", mend=mend) from None
    if mode & 0o077:
        raise Misconfigured(f"others may read the witness key {path}", mend=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != 32 or not 0 < int.from_bytes(key, "big") < SECP256K1_ORDER:
        raise Misconfigured(f"{path} holds no witness key", mend=mend)
    return Secret(key)


# --- the witness --------------------------------------------------------------------------------


class HeaderWitness:
    """Signs the newest and the finalised header that one node shows.

    While the chain has no finalised block, block 0 stands for it.
    """

    def __init__(
        self,
        node: Node,
        chain_id: int,
        key: Secret,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Speak for the chain `chain_id` with `key`."""
        self._node = node
        self._chain_id = chain_id
        self._key = key
        self._clock = clock
        self._lock = asyncio.Lock()
        self._latest: WitnessStatement | None = None
        self._asked_at = 0.0
        self.address = secp256k1_address(key)

    async def statement(self) -> WitnessStatement:
        """Return a statement of now; raises `Unavailable` or `MalformedInput`."""
        # Who comes together is answered together.
        async with self._lock:  # waits: its holder waits for the RPC client, which has limits
            now = self._clock()
            if self._latest is None or now - self._asked_at > _FRESH:
                self._latest = await self._ask()
                self._asked_at = now
            return self._latest

    async def _ask(self) -> WitnessStatement:
        tags = ("latest", "finalized", "earliest")
        calls = [Call("eth_getBlockByNumber", (tag, False)) for tag in tags]
        newest, final, first = await self._node.batch(calls)
        if final is None or isinstance(final, RpcError):
            final = first
        blocks = [self._checked(newest), self._checked(final)]
        if blocks[1].number > blocks[0].number:
            raise Unavailable(f"{self._node.origin} finalises blocks that are still to come")
        word = Witness(blocks[0].number, blocks[0].hash, blocks[1].number, blocks[1].hash)
        if self._latest is not None and self._latest.statement == word:
            return self._latest
        return WitnessStatement(word, sign_digest(self._key, witness_digest(self._chain_id, word)))

    def _checked(self, answer: Json | RpcError) -> BlockFields:
        if answer is None or isinstance(answer, RpcError):
            raise Unavailable(f"{self._node.origin} shows no block")
        block = parse_block(answer)
        header_rlp(block)
        return block


async def keep_ticking(node: Node, seconds: float, *, stop: asyncio.Event) -> None:
    """Mine an empty block whenever none came for `seconds`, until `stop`: for idle local chains.

    Guests refuse headers older than W, so a chain without traffic needs a block every W/4.
    """
    last: Json = None
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
            return
        try:
            newest = await node.call("eth_blockNumber")
            if newest == last:
                await node.call("evm_mine")
                newest = await node.call("eth_blockNumber")
            last = newest
        except (Unavailable, RpcError) as e:
            sys.stderr.write(f"no tick: {e}\n")


# --- service ------------------------------------------------------------------------------------


def application(witness: HeaderWitness) -> web.Application:
    """Return the HTTP service of a witness."""

    async def answer(_: web.Request) -> web.Response:
        try:
            statement = await witness.statement()
        except ReplicatoorError as e:
            return web.json_response({"error": str(e)}, status=503)
        return web.json_response(render(statement), headers={"Cache-Control": "no-store"})

    app = web.Application(client_max_size=1)
    app.router.add_get(PATH, answer)
    return app


# --- the program --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Options:
    """What the program was told; `tick` 0 mines nothing."""

    rpc: str
    chain_id: int
    key_file: Path
    listen: str
    tick: float


async def serve(options: Options, stop: asyncio.Event) -> None:
    """Serve until `stop`; says where, and who the witness is, in one JSON line on stdout."""
    key = read_key(options.key_file)
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Misconfigured("bad address to listen at", got=options.listen, expected="HOST:PORT")
    async with AsyncExitStack() as stack:  # waits: what is pushed on it has limits
        node = RpcClient(options.rpc, chain_id=options.chain_id)
        stack.push_async_callback(node.close)
        witness = HeaderWitness(node, options.chain_id, key)
        await witness.statement()  # a wrong node or chain shows before anyone waits for us
        runner = web.AppRunner(
            application(witness),
            access_log=None,
            logger=one_line_logger("witness"),
            shutdown_timeout=_TIMEOUT,
        )
        async with asyncio.timeout(_TIMEOUT):
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, int(port)).start()
        url = f"http://{host}:{runner.addresses[0][1]}"
        ready = {"witness": to_data(witness.address), "url": url}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        if options.tick:
            await keep_ticking(node, options.tick, stop=stop)
        await stop.wait()  # waits: this service runs until it is told to stop


def main() -> int:
    """Run the witness until SIGINT or SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m host.devplatform.witness", description="Header witness of TEST networks."
    )
    parser.add_argument("--rpc", required=True, help="URL of the node to speak for")
    parser.add_argument(
        "--chain-id", type=int, default=31337, help="of the network file (default: anvil's, 31337)"
    )
    parser.add_argument("--key-file", type=Path, required=True, help="64 hex digits, mode 0600")
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT (default: any port)")
    parser.add_argument(
        "--tick", type=float, default=0.0, help="mine an empty block after so many idle seconds"
    )
    options = Options(**vars(parser.parse_args()))
    os.umask(0o077)
    try:
        asyncio.run(_until_signalled(options))
    except (ReplicatoorError, OSError) as e:
        sys.stderr.write(f"{e}\n")
        return 2 if isinstance(e, Misconfigured) else 1
    return 0


async def _until_signalled(options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(options, stop)


if __name__ == "__main__":
    sys.exit(main())
