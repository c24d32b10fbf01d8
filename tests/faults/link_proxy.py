"""A host in the middle: sits on the link between a guest and its host, reads, drops and adds frames."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from guest.protocol import link
from guest.protocol.link import LENGTH_BYTES, FromGuest, FromHost

LIMIT = 120.0
Judge = Callable[[FromGuest], bool]
Change = Callable[[FromHost], FromHost]


class LinkProxy:
    """Listens where the guest dials, and dials the real host. Frames pass decoded and recorded."""

    def __init__(self, listen: Path, host: Path) -> None:
        self._listen = listen
        self._host = host
        self._server: asyncio.Server | None = None
        self._to_guest: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.said: list[FromGuest] = []
        """What the guest said."""
        self.told: list[FromHost] = []
        """What the guest was told."""
        self.passes: Judge = lambda _: True
        self.change: Change = lambda message: message

    async def __aenter__(self) -> "LinkProxy":
        self._server = await asyncio.start_unix_server(self._serve, str(self._listen))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def tell(self, message: FromHost) -> None:
        """Tell the guest something that its host never said."""
        assert self._to_guest is not None
        self.told.append(message)
        self._to_guest.write(link.frame(message))
        await self._to_guest.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        to_host = None
        try:
            from_host, to_host = await asyncio.open_unix_connection(str(self._host))
            self._to_guest = writer
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upwards(reader, to_host))
                group.create_task(self._downwards(from_host))
        except (OSError, EOFError, ExceptionGroup):
            pass  # one side hung up; the guest dials again
        finally:
            for end in (writer, to_host):
                if end is not None:
                    end.close()
            self._tasks.discard(task)

    async def _upwards(self, reader: asyncio.StreamReader, to_host: asyncio.StreamWriter) -> None:
        while True:
            message = link.from_guest(await _payload(reader))
            self.said.append(message)
            if self.passes(message):
                to_host.write(link.frame(message))
                await to_host.drain()

    async def _downwards(self, reader: asyncio.StreamReader) -> None:
        while True:
            message = self.change(link.from_host(await _payload(reader)))
            with contextlib.suppress(ConnectionError):
                await self.tell(message)


async def _payload(reader: asyncio.StreamReader) -> bytes:
    prefix = await reader.readexactly(LENGTH_BYTES)
    return await reader.readexactly(link.payload_size(prefix))
