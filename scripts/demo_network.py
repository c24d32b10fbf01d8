"""The demo: a chain, a contract, and a network of nodes that hand one secret over, on this machine."""

import argparse
import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from guest.protocol.errors import Misconfigured, ReplicatoorError
from host.devnet import demonstration
from host.devnet.demonstration import Row
from host.devnet.network import Shape, launch

LIMIT_BLOCKS = 40
"""Blocks that the story may take; it takes about 12."""
START_LIMIT = 60.0
SHORTEST_BLOCK = 0.5
MAX_NODES = 32


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Run a whole network on this machine: one node bootstraps, the others join.",
    )
    parser.add_argument("--nodes", type=int, default=5, metavar="N", help="how many (default 5)")
    parser.add_argument(
        "--block-time", type=float, default=1.0, metavar="S", help="seconds (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--keep", action="store_true", help="leave it running until SIGINT")
    known = parser.parse_args(arguments)
    if not 1 <= known.nodes <= MAX_NODES:
        parser.error(f"--nodes takes 1 to {MAX_NODES}")
    if not SHORTEST_BLOCK <= known.block_time <= 60:
        parser.error(f"--block-time takes {SHORTEST_BLOCK} to 60 seconds")
    return known


class Table:
    """The live table: redrawn in place on a terminal, a line a change elsewhere."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines = 0
        self._said: dict[str, str] = {}
        self._live = sys.stderr.isatty()

    def say(self, text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._began:6.1f} s  {text}\n")
        sys.stderr.flush()

    def show(self, rows: list[Row]) -> None:
        if self._live:
            self._draw(rows)
            return
        for row in rows:
            if self._said.get(row.node.name) != row.state:
                self._said[row.node.name] = row.state
                block = "-" if row.block is None else str(row.block)
                self.say(f"{row.node.name:<7} {row.state:<11} block {block}")

    def _draw(self, rows: list[Row]) -> None:
        lines = [f"{'node':<8}{'state':<13}{'block':>6}{'seconds':>9}  "]
        for row in rows:
            seconds = row.seconds or (time.monotonic() - row.node.started)
            block = "-" if row.block is None else str(row.block)
            lines.append(
                f"{row.node.name:<8}{row.state:<13}{block:>6}{seconds:>9.1f}  {row.detail[:60]}"
            )
        up = f"\x1b[{self._lines}A" if self._lines else ""
        sys.stderr.write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)


async def run(known: argparse.Namespace) -> int:
    table, began = Table(), time.monotonic()
    folder = tempfile.mkdtemp(prefix="replicatoor-")  # short: socket paths end at 107 bytes
    failed = False
    running = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM):
        if running is not None:
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        await story(known, table, began, Path(folder) / "net")
    except ReplicatoorError:
        failed = True
        table.say(f"logs of every process: {folder}/net/logs")
        raise
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


async def story(known: argparse.Namespace, table: Table, began: float, folder: Path) -> None:
    shape = Shape(nodes=known.nodes, block_time=known.block_time)
    async with contextlib.AsyncExitStack() as stack:
        table.say("TEST network: simulated hardware; its secret protects nothing")
        network = await launch(shape, folder, stack)
        table.say(f"contract 0x{network.network.contract.hex()} on chain {network.rpc_url}")
        await demonstration.start_nodes(network)
        limit = START_LIMIT + LIMIT_BLOCKS * known.block_time
        rows = await demonstration.follow(network, table.show, limit)
        outcome = await demonstration.prove(network, rows)
        seconds = time.monotonic() - began
        table.say(f"all {len(rows)} nodes are Active and agree: epoch {outcome.epoch}")
        table.say(f"xPub {outcome.x_pub}, appRoot {outcome.app_root}")
        if known.json:
            sys.stdout.write(demonstration.as_json(network, rows, outcome, seconds) + "\n")
            sys.stdout.flush()
        if known.keep:
            table.say("running until Ctrl-C")
            await _interrupted()


async def _interrupted() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()  # waits: for the person who asked for --keep


def main() -> int:
    known = parse(sys.argv[1:])
    try:
        return asyncio.run(run(known))
    except ReplicatoorError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    except asyncio.CancelledError:
        sys.stderr.write("demo: stopped\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
