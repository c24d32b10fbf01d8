"""`python -m host.devplatform quoting | collateral | serve | registers`: the simulated platform.

It prints one JSON line on standard output once it serves, and serves until SIGINT or SIGTERM.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from guest.protocol.errors import Misconfigured, ReplicatoorError
from host.devplatform.collateral_server import CollateralServer
from host.devplatform.pki import Machine
from host.devplatform.quoting import QuotingServer
from host.devplatform.registers import read_registers, registers_for, write_registers
from host.devplatform.tcbdata import Scenario
from host.devplatform.tdquote import TD10, TD15, TD15_EX, QuotingEnclave
from host.http_log import one_line_logger

_BODIES = {"td10": TD10, "td15": TD15, "td15ex": TD15_EX}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m host.devplatform", description="Simulated TDX platform for TEST networks."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    quoting = argparse.ArgumentParser(add_help=False)
    quoting.add_argument("--socket", type=Path, required=True, help="unix socket to listen at")
    quoting.add_argument("--registers", type=Path, required=True, help="JSON file of boot values")
    quoting.add_argument("--machine", type=int, default=0, help="number of the simulated machine")
    quoting.add_argument("--body", choices=sorted(_BODIES), default="td10", help="report type")
    collateral = argparse.ArgumentParser(add_help=False)
    collateral.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT (default: any port)")
    collateral.add_argument(
        "--now-offset", type=int, default=0, help="seconds ahead of the system's clock"
    )
    verbs.add_parser("quoting", parents=[quoting], help="serve quotes at a unix socket")
    verbs.add_parser("collateral", parents=[collateral], help="serve collateral over HTTP")
    verbs.add_parser("serve", parents=[quoting, collateral], help="both in one process")
    registers = verbs.add_parser("registers", help="write boot values that depend on a label")
    registers.add_argument("label")
    registers.add_argument("file", type=Path)
    return parser


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ready: dict[str, str] = {}
    async with AsyncExitStack() as stack:  # waits: closing listeners ends
        if "socket" in arguments:
            server = QuotingServer(
                read_registers(arguments.registers),
                QuotingEnclave(Machine(arguments.machine)),
                version=4 if arguments.body == "td10" else 5,
                body=_BODIES[arguments.body],
            )
            listening = await server.listen(arguments.socket)
            stack.callback(listening.close)
            ready["socket"] = str(arguments.socket)
        if "listen" in arguments:
            service = CollateralServer(Scenario(), arguments.now_offset)
            ready["collateral"] = await _listen(service, arguments.listen, stack)
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()  # waits: until a signal


async def _listen(service: CollateralServer, address: str, stack: AsyncExitStack) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Misconfigured("bad address to listen at", got=address, expected="HOST:PORT")
    logger = one_line_logger("collateral")
    runner = web.AppRunner(service.application(), access_log=None, logger=logger)
    await runner.setup()  # waits: no network is involved
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, int(port))
    await site.start()
    return f"http://{host}:{runner.addresses[0][1]}"


def main() -> int:
    """Run one verb; returns the exit code."""
    arguments = _parser().parse_args()
    os.umask(0o077)  # the socket is for this user only
    try:
        if arguments.verb == "registers":
            write_registers(arguments.file, registers_for(arguments.label))
        else:
            asyncio.run(_serve(arguments))
    except (ReplicatoorError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, Misconfigured) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
