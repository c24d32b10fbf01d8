"""The socket where apps find their keys: dstack's guest agent over HTTP/1.1 on a unix socket.

Owns connections, their bounds in number, size and time, and nothing else. It is open only while the
node is proven Active; closing ends every connection at once and forgets the keys.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from guest.agent import socket_file
from guest.agent.appkeys import AppKeys, app_keys
from guest.agent.http import (
    MAX_HEAD,
    BadRequest,
    Head,
    answer,
    body_arguments,
    parse_head,
    query_arguments,
)
from guest.agent.methods import Method, method_table
from guest.agent.socket_file import SocketFile
from guest.protocol.errors import MalformedInput
from guest.protocol.keys import EpochKeys
from guest.protocol.sizes import Bytes32

MAX_CONNECTIONS = 64
SOCKET_MODE = 0o600
"""Apps of the guest's own user only. Whoever mounts the socket into containers, whose processes have
other uids, opens it to them on purpose (0o666) and decides by the mount who gets it."""
_BACKLOG = 128
_SWITCH_LIMIT = 2.0
"""Seconds for the server to start, and for its connections to end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds a caller may take: until a request begins, for its head, for its body, to read ours."""

    idle: float = 30.0
    head: float = 5.0
    body: float = 10.0
    write: float = 10.0


class AppServer:
    """Serves the apps of one node at one path."""

    def __init__(
        self,
        path: Path,
        network_id: Bytes32,
        *,
        mode: int = SOCKET_MODE,
        limits: Limits = Limits(),
    ) -> None:
        """Remember where; nothing is opened before `open`."""
        self._path = path
        self._network_id = network_id
        self._mode = mode
        self._limits = limits
        self._keys: AppKeys | None = None
        self._methods: dict[str, Method] = {}
        self._file: SocketFile | None = None
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self, keys: EpochKeys) -> None:
        """Serve with `keys` from now on; raises `Misconfigured` if the path cannot be had."""
        await self.close()  # waits: bounded by _SWITCH_LIMIT
        self._file = socket_file.claim(self._path, self._mode)
        try:
            async with asyncio.timeout(_SWITCH_LIMIT):
                self._server = await asyncio.start_unix_server(
                    self._connected, sock=self._file.socket, limit=MAX_HEAD, backlog=_BACKLOG
                )
            self._keys = app_keys(keys, self._network_id)
            self._methods = method_table(self._keys)
            self._file.publish()
        except BaseException:
            await self.close()  # waits: bounded by _SWITCH_LIMIT
            raise

    async def close(self) -> None:
        """Stop accepting, end every connection, remove the socket, forget the keys. Idempotent."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections)
        for task, writer in self._connections.items():
            writer.transport.abort()  # what is not sent yet is not sent: the node is Active no more
            task.cancel()
        if self._file is not None:
            self._file.remove()
        if self._keys is not None:
            self._keys.wipe()
        self._server, self._file, self._keys, self._methods = None, None, None, {}
        if tasks:
            await asyncio.wait(tasks, timeout=_SWITCH_LIMIT)

    # --- one connection -------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.write(_error(503, "too many connections", keep_alive=False))
            writer.close()
            return
        self._connections[task] = writer
        try:
            while True:
                if not await self._exchange(reader, writer):
                    break
                await asyncio.sleep(0)  # one caller's pipeline must not starve the others
            writer.close()
            if writer.transport.get_write_buffer_size():
                async with asyncio.timeout(self._limits.write):
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # the caller is gone, or too slow to be worth an answer
        finally:
            del self._connections[task]
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection goes on."""
        try:
            head = await self._head(reader)
            if head is None:
                return False
            body = await self._body(reader, head.body_size)
            status, reply = self._call(head, body)
            keep_alive = head.keep_alive
            response = answer(status, reply, keep_alive=keep_alive)
        except BadRequest as error:
            # Leftovers of a request whose end nobody can tell would be read as the next one.
            keep_alive = False
            response = _error(error.status, str(error), keep_alive=False)
        writer.write(response)
        async with asyncio.timeout(self._limits.write):
            await writer.drain()
        return keep_alive

    async def _head(self, reader: asyncio.StreamReader) -> Head | None:
        """Return the next head, None if the caller is done or idle; raises `BadRequest`."""
        try:
            async with asyncio.timeout(self._limits.idle):
                first = await reader.readexactly(1)
        except (asyncio.IncompleteReadError, TimeoutError):
            return None
        try:
            async with asyncio.timeout(self._limits.head):
                rest = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise BadRequest(431, "request head too large", expected=f"<= {MAX_HEAD}") from None
        except asyncio.IncompleteReadError:
            raise BadRequest(400, "the request head is cut short") from None
        except TimeoutError:
            raise BadRequest(408, "the request head took too long") from None
        return parse_head(first + rest)

    async def _body(self, reader: asyncio.StreamReader, size: int) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body):
                return await reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise BadRequest(
                400, "the request body is cut short", got=len(error.partial), expected=size
            ) from None
        except TimeoutError:
            raise BadRequest(408, "the request body took too long") from None

    def _call(self, head: Head, body: bytes) -> tuple[int, dict[str, object]]:
        """Return the status and the reply of one request; raises `BadRequest`."""
        if head.method == "POST":
            arguments = body_arguments(body)
        elif head.method == "GET":
            arguments = query_arguments(head.query)
        else:
            return 405, {"error": "only GET and POST are served"}
        name = head.path[1:]
        if "/" in name:
            return 404, {"error": "no such path"}
        method = self._methods.get(name)
        if method is None:
            return 400, {"error": f"Service not found: {name[:64]}"}
        try:
            return 200, dict(method(arguments))
        except MalformedInput as error:
            return 400, {"error": str(error)}


def _error(status: int, text: str, *, keep_alive: bool) -> bytes:
    return answer(status, {"error": text}, keep_alive=keep_alive)
