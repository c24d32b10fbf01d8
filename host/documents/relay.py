"""The client of relays: publish a document, fetch one by its hash, follow what is new.

Owns the HTTP exchanges with any number of relays, none of which is trusted: what they send is compared
with the hash that was asked for, garbage is skipped and counted.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from guest.protocol.document import MAX_DOCUMENT
from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.primitives import keccak256
from host.chain.rpc import origin_of
from host.chain.timing import Timing

_EXCHANGE_SECONDS = 10.0
_SILENCE_SECONDS = 45.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_MAX_REPLY = 1024
_TRANSPORT_ERRORS = (
    aiohttp.ClientError,
    HttpProcessingError,  # a line that never ends, for one
    TimeoutError,
    OSError,
    ValueError,
)
_EVENT = re.compile(rb"data: 0x([0-9a-f]{64})\r?\n")


class RelayClient:
    """Talks to relays at `urls`, in this order. Close it after use."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timing: Timing | None = None,
        connector: Callable[[], aiohttp.BaseConnector] = aiohttp.TCPConnector,
    ) -> None:
        """Check the URLs; raises `Misconfigured`."""
        self._relays = tuple((url.rstrip("/"), origin_of(url, "relay")) for url in urls)
        self._timing = timing or Timing()
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None
        self.garbage = 0
        """Answers that were not what was asked for, so far."""

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            async with asyncio.timeout(_EXCHANGE_SECONDS):
                await session.close()

    async def publish(self, document: bytes) -> int:
        """Give `document` to every relay at once; return how many took it.

        Raises `MalformedInput` when it is too large, `Unavailable` when none took it.
        """
        if not 0 < len(document) <= MAX_DOCUMENT:
            raise MalformedInput("no document has this size", got=len(document))
        results = await asyncio.gather(
            *(self._push(url, origin, document) for url, origin in self._relays)
        )
        problems = [problem for problem in results if problem]
        if len(problems) == len(self._relays):
            raise Unavailable("no relay took the document", got="; ".join(problems) or "no relays")
        return len(self._relays) - len(problems)

    async def fetch(self, digest: bytes, *, seconds: float = 20.0) -> bytes:
        """Return the document whose keccak is `digest`, from whichever relay has it.

        Asks again, with growing pauses, for `seconds`: a registration may be seen before its document.
        Raises `Unavailable`.
        """
        end = self._timing.monotonic() + seconds
        pause = _FIRST_PAUSE
        while True:
            for url, _ in self._relays:
                document = await self._get(url, digest)
                if document is not None:
                    return document
            left = end - self._timing.monotonic()
            if left <= 0 or not self._relays:
                raise Unavailable("no relay has the document", got=digest)
            await self._timing.sleep(min(left, pause * (0.5 + self._timing.jitter() / 2)))
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def follow(self, relay: int = 0) -> AsyncIterator[bytes]:
        """Yield hashes as the relay of that index tells them; ends by raising `Unavailable`."""
        url, origin = self._relays[relay]
        timeout = aiohttp.ClientTimeout(
            total=None, connect=_EXCHANGE_SECONDS, sock_read=_SILENCE_SECONDS
        )
        try:
            async with self._open().get(
                f"{url}/subscribe", timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise Unavailable(f"{origin} takes no subscribers", got=response.status)
                async for line in response.content:  # waits: sock_read ends a silence
                    found = _EVENT.fullmatch(line)
                    if found is not None:
                        yield bytes.fromhex(found[1].decode())
                    elif line.strip() and not line.startswith(b":"):
                        self.garbage += 1
        except _TRANSPORT_ERRORS as e:
            raise Unavailable(f"{origin} broke off ({type(e).__name__})") from None
        raise Unavailable(f"{origin} ended the subscription")

    async def _push(self, url: str, origin: str, document: bytes) -> str:
        """Return why a relay did not take the document; empty if it did."""
        try:
            async with (
                asyncio.timeout(_EXCHANGE_SECONDS),
                self._open().post(f"{url}/push", data=document, allow_redirects=False) as response,
            ):
                reply = await _bounded(response, _MAX_REPLY)
        except _TRANSPORT_ERRORS as e:
            return f"{origin}: {type(e).__name__}"
        if response.status != 200:
            return f"{origin}: HTTP {response.status}"
        if reply.strip() != b"0x" + keccak256(document).hex().encode():
            self.garbage += 1
            return f"{origin}: names another hash"
        return ""

    async def _get(self, url: str, digest: bytes) -> bytes | None:
        try:
            async with (
                asyncio.timeout(_EXCHANGE_SECONDS),
                self._open().get(
                    f"{url}/documents/0x{digest.hex()}", allow_redirects=False
                ) as response,
            ):
                document = await _bounded(response, MAX_DOCUMENT)
        except _TRANSPORT_ERRORS:
            return None
        if response.status != 200:
            return None
        if keccak256(document) != digest:
            self.garbage += 1
            return None
        return document

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=aiohttp.ClientTimeout(total=_EXCHANGE_SECONDS),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read at most `most` bytes; one more shows that it is too much."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > most:
            break
    return bytes(body)
