"""A witness's statements on their way to the host: their JSON form and the HTTP client.

Owns no judgement: a statement counts only once a guest has checked its signature.
"""

import asyncio
import json
from typing import Self

import aiohttp

from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.link import WitnessStatement
from guest.protocol.messages import Witness
from host.chain.hexdata import Json, fixed, members, to_data
from host.chain.rpc import origin_of

PATH = "/statement"
_MAX_ANSWER = 4096
_TIMEOUT = 5.0


def render(statement: WitnessStatement) -> dict[str, Json]:
    """Return the JSON object of a statement."""
    word = statement.statement
    return {
        "number": word.number,
        "hash": to_data(word.hash),
        "finalizedNumber": word.finalized_number,
        "finalizedHash": to_data(word.finalized_hash),
        "signature": to_data(statement.signature),
    }


def parse(text: bytes) -> WitnessStatement:
    """Parse a statement; raises `MalformedInput`. Nobody's signature is checked: guests do that."""
    if len(text) > _MAX_ANSWER:
        raise MalformedInput("a witness statement is too large", got=len(text))
    try:
        content: Json = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedInput("a witness statement is no JSON") from None
    fields = members(content, "a witness statement")
    word = Witness(
        number=_number(fields, "number"),
        hash=fixed(fields.get("hash"), "hash", 32),
        finalized_number=_number(fields, "finalizedNumber"),
        finalized_hash=fixed(fields.get("finalizedHash"), "finalizedHash", 32),
    )
    return WitnessStatement(word, fixed(fields.get("signature"), "signature", 65))


def _number(fields: dict[str, Json], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise MalformedInput(f"a witness statement has no {name}", got=value)
    return value


class WitnessClient:
    """Fetches statements from a witness's URL. Call it; close it, or use it as a context manager."""

    def __init__(self, url: str, *, timeout: float = _TIMEOUT) -> None:
        """Ask the witness at `url` (http or https); `timeout` is seconds for one answer."""
        self.origin = origin_of(url)
        self._url = url.rstrip("/")
        self._url += "" if self._url.endswith(PATH) else PATH
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()  # waits: close() has a limit

    async def close(self) -> None:
        """Close the HTTP session."""
        session, self._session = self._session, None
        if session is not None:
            async with asyncio.timeout(self._timeout):
                await session.close()

    async def __call__(self) -> WitnessStatement:
        """Return the latest statement; raises `Unavailable`."""
        try:
            async with asyncio.timeout(self._timeout):
                status, text = await self._get()
        except TimeoutError:
            raise Unavailable(f"the witness {self.origin} did not answer in time") from None
        except (aiohttp.ClientError, OSError) as e:
            raise Unavailable(
                f"the witness {self.origin} cannot be reached ({type(e).__name__})"
            ) from None
        if status != 200:
            raise Unavailable(f"the witness {self.origin} has no statement", got=f"HTTP {status}")
        try:
            return parse(text)
        except MalformedInput as e:
            raise Unavailable(f"the witness {self.origin} answered nonsense: {e}") from None

    async def _get(self) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.get(self._url, allow_redirects=False) as response:
            text = bytearray()
            async for chunk in response.content.iter_chunked(_MAX_ANSWER):
                text += chunk
                if len(text) > _MAX_ANSWER:
                    raise aiohttp.ClientPayloadError("too large")
            return response.status, bytes(text)
