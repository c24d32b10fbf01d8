"""The host's end of the channel to its guest: listens on a unix socket, frames, bounds.

One guest at a time: a guest that dials again takes the place of its old connection. The host believes
nothing either, but what it sends is addressed to whoever is connected now.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from guest.protocol import link
from guest.protocol.errors import MalformedInput, Misconfigured, ReplicatoorError
from guest.protocol.link import LENGTH_BYTES, FromGuest, FromHost

_LOG = logging.getLogger(__name__)
WRITE_LIMIT = 20.0
QUIET_LIMIT = 24 * 3600.0
"""A guest speaks when it has something to say; a day of silence is a dead connection."""

Heard = Callable[[FromGuest], Awaitable[None]]


class GuestLink:
    """Serves one guest. `heard` is awaited for each frame, in order."""

    def __init__(self, path: Path, heard: Heard, connected: Callable[[], Awaitable[None]]) -> None:
        """Serve at `path`; `connected` is awaited for each new connection, before its frames."""
        self._path = path
        self._heard = heard
        self._connected = connected
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sending = asyncio.Lock()
        self.refused = 0
        """Frames that did not decode."""

    @property
    def up(self) -> bool:
        """Whether a guest is connected."""
        return self._writer is not None

    async def start(self) -> None:
        """Listen; raises `Misconfigured` where the path cannot be used."""
        try:
            self._path.unlink(missing_ok=True)  # a killed host leaves its socket behind
            self._server = await asyncio.start_unix_server(  # waits: a bind does not
                self._serve, str(self._path)
            )
            os.chmod(self._path, 0o600)  # noqa: PTH101 - the guest's user only
        except OSError as error:
            raise Misconfigured(
                "the guest link cannot listen",
                got=f"{self._path}: {error.strerror}",
                mend="Choose another path with GUEST_SOCKET; it must be short and writable.",
            ) from None

    async def stop(self) -> None:
        """Stop listening and drop the guest."""
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    async def send(self, message: FromHost) -> None:
        """Send to the guest that is connected, if one is."""
        writer = self._writer
        if writer is None:
            return
        async with self._sending:  # waits: whoever holds it has a limit
            try:
                writer.write(link.frame(message))
                async with asyncio.timeout(WRITE_LIMIT):
                    await writer.drain()
            except MalformedInput as error:
                _LOG.warning("guest link: a frame that no guest takes is not sent: %s", error)
            except (OSError, TimeoutError):
                self._drop(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = writer
        try:
            await self._connected()
            while True:
                async with asyncio.timeout(QUIET_LIMIT):
                    prefix = await reader.readexactly(LENGTH_BYTES)
                    payload = await reader.readexactly(link.payload_size(prefix))
                await self._heard(link.from_guest(payload))
        except MalformedInput as error:
            self.refused += 1
            _LOG.warning("guest link: %s", error)
        except (OSError, EOFError, TimeoutError):
            _LOG.info("guest link: the guest hung up")
        except ReplicatoorError as error:
            _LOG.warning("guest link: %s", error)
        finally:
            self._drop(writer)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        if self._writer is writer:
            self._writer = None
        with contextlib.suppress(OSError):
            writer.close()
