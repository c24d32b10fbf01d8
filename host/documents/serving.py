"""Runs a relay as a process of its own: `replicatoor relay`."""

import asyncio
import signal
import sys
from pathlib import Path

from guest.protocol.errors import Misconfigured
from host.documents.archive import Archive
from host.documents.relay_server import RelayServer
from host.documents.shelf import Shelf


def main(listen: str, directory: Path | None) -> int:
    """Serve at `listen` (HOST:PORT) until SIGINT or SIGTERM; raises `Misconfigured`."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Misconfigured("bad address to listen at", got=listen, expected="HOST:PORT")
    asyncio.run(_serve(host, int(port), directory))
    return 0


async def _serve(host: str, port: int, directory: Path | None) -> None:
    server = RelayServer(Shelf(Archive(directory) if directory else None))
    try:
        bound = await server.start(host, port)
    except OSError as error:
        raise Misconfigured(
            "the relay cannot listen",
            got=f"{host}:{port}: {error.strerror}",
            mend="Choose another --listen address.",
        ) from None
    sys.stderr.write(f"relay: serving at http://{host}:{bound}\n")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()  # waits: until a signal
    await server.close()  # waits: it ends connections, and waits for none
