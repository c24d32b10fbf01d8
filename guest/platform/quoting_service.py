"""A platform behind a unix socket: one connection is one boot of one simulated machine.

Owns the client's side of the frames: 4 bytes of length, big-endian, then an RLP list, at most 16 KiB.
Requests are [quote, report data], [extend, index, digest] and [registers]; answers [ok, ...] and
[error, text]. It never dials again: a new connection would be a boot whose registers are fresh, and
with them the right to join that this boot may have given up.
"""

import asyncio

from guest.platform.platform import PlatformLost, Registers
from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Unavailable, shown

MAX_FRAME = 16 * 1024
CONNECT_LIMIT = 10.0
"""Seconds to reach the service."""
REQUEST_LIMIT = 40.0
"""Seconds for an answer: hardware drivers wait up to 30 for a quote."""
_APPLICATION_REGISTER = 3


class QuotingService:
    """A `Platform`. Make one with `connect`; after the first failure every call is `PlatformLost`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the two ends of a fresh connection."""
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._lost = False

    @classmethod
    async def connect(cls, path: str) -> "QuotingService":
        """Boot: dial the service. Raises `PlatformLost`."""
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                reader, writer = await asyncio.open_unix_connection(path, limit=2 * MAX_FRAME)
        except (OSError, TimeoutError) as error:
            raise PlatformLost(
                "no quoting service", got=error, mend=f"Start one that listens at {shown(path)}."
            ) from None
        return cls(reader, writer)

    async def quote(self, report_data: bytes) -> bytes:
        """Return a quote over exactly 64 bytes; raises `PlatformLost`, `Unavailable`."""
        if len(report_data) != 64:
            raise ValueError("report data has 64 bytes")
        (quote,) = await self._ask([b"quote", report_data], 1)
        return quote

    async def extend(self, index: int, digest: bytes) -> None:
        """Extend RTMR3 by 48 bytes; raises `PlatformLost`, `Unavailable`."""
        if index != _APPLICATION_REGISTER or len(digest) != 48:
            raise ValueError("only RTMR3 can be extended, by 48 bytes")
        await self._ask([b"extend", bytes([index]), digest], 0)

    async def registers(self) -> Registers:
        """Return the registers now; raises `PlatformLost`, `Unavailable`."""
        values = await self._ask([b"registers"], 5)
        if any(len(value) != 48 for value in values):
            raise await self._lose("the quoting service sent registers of another size")
        return Registers(*values)

    async def close(self) -> None:
        """Shut down this boot."""
        self._lost = True
        self._writer.close()
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            return

    async def _ask(self, request: list[rlp.Item], count: int) -> list[bytes]:
        """Send one request and return the `count` values of its answer.

        Whatever breaks an exchange midway, a cancellation included, ends the connection: an answer
        that comes late must never be taken for the answer to the next request.
        """
        async with self._turn:  # waits: whoever holds it has a limit
            if self._lost:
                raise PlatformLost("the quoting service is gone")
            complete = False
            try:
                async with asyncio.timeout(REQUEST_LIMIT):
                    answer = await self._exchange(rlp.encode(request))
                complete = True
            except (OSError, EOFError, TimeoutError, MalformedInput) as error:
                raise await self._lose("the quoting service failed", type(error).__name__) from None
            finally:
                if not complete:
                    self._lost = True
                    self._writer.close()
        return await self._values(answer, count)

    async def _exchange(self, request: bytes) -> rlp.Item:
        self._writer.write(len(request).to_bytes(4, "big") + request)
        await self._writer.drain()
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        if size > MAX_FRAME:
            raise MalformedInput("frame is too large", got=size, expected=f"<= {MAX_FRAME}")
        return rlp.decode(await self._reader.readexactly(size), max_size=MAX_FRAME)

    async def _values(self, answer: rlp.Item, count: int) -> list[bytes]:
        values = [v for v in answer if isinstance(v, bytes)] if isinstance(answer, list) else []
        if len(values) == len(answer) == 1 + count and values[0] == b"ok":
            return values[1:]
        if len(values) == len(answer) == 2 and values[0] == b"error":
            raise Unavailable("the quoting service refused", got=values[1].decode(errors="replace"))
        raise await self._lose("the quoting service sent an unknown answer")

    async def _lose(self, what: str, got: str | None = None) -> PlatformLost:
        await self.close()  # waits: it has a limit of its own
        return PlatformLost(what, got=got, mend="Restart the node: this is a reboot.")
