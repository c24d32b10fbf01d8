"""A relay: takes documents, gives them by hash, tells subscribers which are new.

Owns its sockets and their limits. Nobody trusts it: it may lose or invent what it likes, hashes tell.
It needs no account and has no state that matters. It may be restarted, killed or run many times over.

    POST /push               a document's bytes (<= 98,304) -> its keccak in hex
    GET  /documents/<hash>   the bytes
    GET  /subscribe          server-sent events, one hash each: the newest first, then what comes
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from guest.protocol.document import MAX_DOCUMENT
from guest.protocol.errors import MalformedInput, Unavailable
from host.chain.timing import Timing
from host.documents.shelf import Shelf
from host.http_log import one_line_logger

MAX_CONNECTIONS = 512
MAX_SUBSCRIBERS = 128
REPLAYED = 256
"""Newest hashes that a late subscriber gets first."""

PUSHES_AT_ONCE = 200
PUSHES_A_SECOND = 5.0
"""Per sender's address. Beyond it one sender could push everyone else's documents out."""

_START_SECONDS = 10.0
_READ_SECONDS = 10.0
_WRITE_SECONDS = 10.0
_FIRST_REQUEST_SECONDS = 15.0
_HEARTBEAT_SECONDS = 15.0
_MAX_SENDERS = 4096
_HASH = re.compile(r"(?:0x)?([0-9a-f]{64})")


class _Allowance:
    """A token bucket for each sender's address; the table itself is bounded."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, sender: str) -> bool:
        now = self._monotonic()
        left, since = self._left.pop(sender, (float(PUSHES_AT_ONCE), now))
        left = min(float(PUSHES_AT_ONCE), left + (now - since) * PUSHES_A_SECOND)
        allowed = left >= 1
        self._left[sender] = (left - 1 if allowed else left, now)
        if len(self._left) > _MAX_SENDERS:
            self._left.popitem(last=False)
        return allowed


class RelayServer:
    """Serves one shelf. `start` it, then `close` it."""

    def __init__(self, shelf: Shelf, *, timing: Timing | None = None) -> None:
        self._shelf = shelf
        self._allowance = _Allowance((timing or Timing()).monotonic)
        self._subscribers: set[asyncio.Queue[bytes]] = set()
        self._unused: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int = 0) -> int:
        """Listen on host:port (0: a free one) and return the port; OSError if it is taken."""
        await self._prepare()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_START_SECONDS):
            self._server = await loop.create_server(self._connection, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def start_unix(self, path: str) -> None:
        """Listen on a unix socket."""
        await self._prepare()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_START_SECONDS):
            self._server = await loop.create_unix_server(self._connection, path)

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for timer in self._unused.values():
            timer.cancel()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            async with asyncio.timeout(_START_SECONDS):
                await self._runner.cleanup()

    async def _prepare(self) -> None:
        app = web.Application(client_max_size=MAX_DOCUMENT, middlewares=[self._noting_use()])
        app.router.add_post("/push", self._push)
        app.router.add_get("/documents/{hash}", self._document)
        app.router.add_get("/subscribe", self._subscribe)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=one_line_logger("relay"),
            keepalive_timeout=_FIRST_REQUEST_SECONDS,
            lingering_time=1.0,
            max_line_size=1024,
            max_field_size=4096,
            auto_decompress=False,
            shutdown_timeout=1.0,
        )
        async with asyncio.timeout(_START_SECONDS):
            await self._runner.setup()

    def _connection(self) -> asyncio.Protocol:
        """Make the protocol of a new connection, or one that hangs up when there are too many."""
        server = self._runner.server if self._runner is not None else None
        full = server is None or len(server.connections) >= MAX_CONNECTIONS
        # Those that came and went without asking stay in this table until their time is over.
        if server is None or full or len(self._unused) >= 4 * MAX_CONNECTIONS:
            return _HangUp()
        protocol = server()
        loop = asyncio.get_running_loop()
        self._unused[protocol] = loop.call_later(_FIRST_REQUEST_SECONDS, self._hang_up, protocol)
        return protocol

    def _hang_up(self, protocol: web.RequestHandler) -> None:
        """End a connection that has not asked anything in time."""
        self._unused.pop(protocol, None)
        if protocol.transport is not None:
            protocol.transport.abort()

    def _noting_use(self) -> Middleware:
        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            timer = self._unused.pop(request.protocol, None)
            if timer is not None:
                timer.cancel()
            return await handler(request)  # waits: each handler bounds its own reads and writes

        return note

    async def _push(self, request: web.Request) -> web.Response:
        if "Content-Encoding" in request.headers:
            return _say(415, "send the document as it is")
        if not self._allowance.take(request.remote or ""):
            return _say(429, "too many documents from one address; try later")
        try:
            async with asyncio.timeout(_READ_SECONDS):
                body = await request.read()
        except TimeoutError:
            return _say(408, "the document took too long")
        try:
            digest, is_new = self._shelf.put(body)
        except MalformedInput as e:
            return _say(400, f"no document: {e}")
        except Unavailable:
            return _say(503, "no room")
        if is_new:
            self._tell(digest)
        return _say(200, "0x" + digest.hex())

    async def _document(self, request: web.Request) -> web.Response:
        name = _HASH.fullmatch(request.match_info["hash"])
        if name is None:
            return _say(400, "name a document by 64 lower-case hex digits")
        document = self._shelf.get(bytes.fromhex(name[1]))
        if document is None:
            return _say(404, "not here")
        return web.Response(
            body=document,
            content_type="application/octet-stream",
            headers={"Cache-Control": "public, max-age=31536000, immutable"},
        )

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            return _say(503, "too many subscribers")
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=2 * REPLAYED)
        for digest in self._shelf.newest(REPLAYED):
            queue.put_nowait(digest)
        self._subscribers.add(queue)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await response.prepare(request)
            while queue in self._subscribers:
                await self._write_next(response, queue)
        except (TimeoutError, ConnectionError):
            pass  # gone, or too slow: it may come back and gets the newest replayed
        finally:
            self._subscribers.discard(queue)
        return response

    async def _write_next(self, response: web.StreamResponse, queue: asyncio.Queue[bytes]) -> None:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                line = f"data: 0x{(await queue.get()).hex()}\n\n"
        except TimeoutError:
            line = ": still here\n\n"
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.write(line.encode())

    def _tell(self, digest: bytes) -> None:
        for queue in tuple(self._subscribers):
            if queue.full():
                self._subscribers.discard(queue)  # does not read: let go of it
            else:
                queue.put_nowait(digest)


class _HangUp(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _say(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")
