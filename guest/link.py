"""The guest's end of the channel to its host: dials, frames, bounds. The guest listens on nothing.

A frame that does not decode ends the connection, which is dialled again with a pause that grows; the
node's state is untouched.
"""

import asyncio
from collections.abc import Callable

from guest.protocol import link
from guest.protocol.errors import Misconfigured, Unavailable
from guest.protocol.link import LENGTH_BYTES, FromGuest, FromHost

READ_LIMIT = 60.0
"""Seconds without a single frame after which the host counts as gone; hosts send heads as they come."""
WRITE_LIMIT = 20.0
"""Seconds for the host to take what we send."""
DIAL_LIMIT = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds between dials; doubled up to the longest, with jitter from the caller's entropy."""


class HostLink:
    """One connection to the host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap a connected stream."""
        self._reader = reader
        self._writer = writer

    async def receive(self) -> FromHost:
        """Wait for the next frame; raises `Unavailable` or `MalformedInput`."""
        try:
            async with asyncio.timeout(READ_LIMIT):
                prefix = await self._reader.readexactly(LENGTH_BYTES)
                payload = await self._reader.readexactly(link.payload_size(prefix))
        except (OSError, EOFError, TimeoutError) as error:
            raise Unavailable("the host link is gone", got=type(error).__name__) from None
        return link.from_host(payload)

    async def send(self, message: FromGuest) -> None:
        """Send one frame; raises `Unavailable`."""
        try:
            self._writer.write(link.frame(message))
            async with asyncio.timeout(WRITE_LIMIT):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Unavailable("the host link is gone", got=type(error).__name__) from None

    def close(self) -> None:
        """Close without waiting for the peer."""
        self._writer.close()


def require_address(address: str) -> tuple[str, str, int]:
    """Return (kind, path or host, port) of `unix:PATH` or `tcp:HOST:PORT`; raises `Misconfigured`."""
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest and "\0" not in rest:
        return kind, rest, 0
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536:
        return kind, host, int(port)
    raise Misconfigured(
        "the host link address is not usable", got=address, expected="unix:PATH or tcp:HOST:PORT"
    )


async def dial(address: str) -> HostLink:
    """Connect to `unix:PATH` or `tcp:HOST:PORT`; raises `Unavailable` or `Misconfigured`."""
    kind, where, port = require_address(address)
    try:
        async with asyncio.timeout(DIAL_LIMIT):
            if kind == "unix":
                return HostLink(*await asyncio.open_unix_connection(where))
            return HostLink(*await asyncio.open_connection(where, port))
    except (OSError, TimeoutError, UnicodeError) as error:
        raise Unavailable("the host does not answer", got=type(error).__name__) from None


class Pauses:
    """Full jitter over a doubling, capped pause; `reset` after a connection that worked."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        """Start at the first pause."""
        self._jitter = jitter
        self._longest = FIRST_PAUSE

    def next(self) -> float:
        """Return the next pause in seconds."""
        pause = self._longest * (0.5 + self._jitter() / 2)
        self._longest = min(self._longest * 2, LONGEST_PAUSE)
        return pause

    def reset(self) -> None:
        """Start again at the first pause."""
        self._longest = FIRST_PAUSE
