"""A real relay on a unix socket, and one that lies, for tests that want no ports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from guest.protocol import document as documents
from guest.protocol.document import UnverifiedDocument
from guest.protocol.messages import Register
from host.documents.relay import RelayClient
from host.documents.relay_server import RelayServer
from host.documents.shelf import Shelf

URL = "http://relay"


def a_document(number: int = 0, size: int = 100) -> bytes:
    """A well-formed document, different for each `number`; `size` is that of its collateral."""
    return documents.encode(
        UnverifiedDocument(
            version=1,
            register=Register(number.to_bytes(20, "big"), bytes(32), bytes(32), 1, bytes(32)),
            bootstrap=None,
            encryption_key=bytes(1216),
            quote=b"q",
            event_log=b"",
            collateral=bytes(size),
        )
    )


def over(path: Path) -> Callable[[], aiohttp.BaseConnector]:
    """Connect every host name to the unix socket at `path`."""
    return lambda: aiohttp.UnixConnector(str(path))


@asynccontextmanager
async def relay_at(path: Path, shelf: Shelf | None = None) -> AsyncIterator[RelayServer]:
    """Run a relay on a unix socket."""
    server = RelayServer(shelf or Shelf())
    await server.start_unix(str(path))
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def client_of(path: Path, *urls: str) -> AsyncIterator[RelayClient]:
    """A client whose every URL leads to the unix socket."""
    client = RelayClient(urls or (URL,), connector=over(path))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def lying_relay_at(
    path: Path, answer: Callable[[web.Request], web.Response]
) -> AsyncIterator[None]:
    """Run a server that answers everything with what `answer` makes."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return answer(request)

    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{anything:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()
