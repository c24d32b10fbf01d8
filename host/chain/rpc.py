"""One Ethereum node behind one URL: JSON-RPC 2.0 over HTTP, bounded in time, size and tries.

Owns the HTTP session and the check that the node is on our chain (at connect, and again after
every failure of the connection). It never repeats `eth_sendRawTransaction`: whoever sends
reconciles. It never shows more of the URL than scheme and host, for keys live in the rest.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from guest.protocol.errors import (
    MalformedInput,
    Misconfigured,
    ReplicatoorError,
    Unavailable,
    shown,
)
from host.chain.hexdata import Json, data, parse_json, quantity
from host.chain.timing import Timing

MAX_RESPONSE = 8 * 1024 * 1024
"""A full page of logs is far smaller; `eth_getProof` answers are a few kilobytes."""

MAX_BATCH = 100
_CHUNK = 64 * 1024
_BASE_DELAY = 0.1
_MAX_DELAY = 2.0
_TRIES = 4
_MIN_HIDDEN = 6
"""URL parts shorter than this ("v3", "rpc") are no secrets and would blank ordinary words."""

_NEVER_REPEATED = frozenset({"eth_sendRawTransaction"})
_RATE_LIMITED = frozenset({-32005, 429})
_REVERT_CODE = 3


class RpcError(ReplicatoorError):
    """The node understood the call and answered with an error."""

    def __init__(self, origin: str, method: str, code: int, message: str, data: bytes) -> None:
        """Keep `code`, `message` (foreign text, escaped and cut) and `data` (revert bytes)."""
        self.code = code
        self.message = shown(message)
        self.data = data
        super().__init__(f"{origin} refused {method}", got=f"{code} {message}")

    @property
    def reverted(self) -> bool:
        """Whether the EVM ran the call and it reverted (geth: code 3; all: the words)."""
        return self.code == _REVERT_CODE or bool(self.data) or "revert" in self.message.lower()


@dataclass(frozen=True, slots=True)
class Call:
    """One method with its parameters."""

    method: str
    params: tuple[Json, ...] = ()


class Node(Protocol):
    """What the scanner and the sender need of a node; `RpcClient` is one."""

    origin: str

    async def call(self, method: str, *params: Json) -> Json:
        """Make one call and return its result."""

    async def batch(self, calls: Sequence[Call]) -> list[Json | RpcError]:
        """Make several calls in one request."""


def origin_of(url: str, what: str = "RPC") -> str:
    """Return scheme://host[:port] of an http(s) URL; raises `Misconfigured`, naming no more."""
    mend = "Write it as https://host/path"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Misconfigured(f"the {what} URL does not parse", mend=mend) from None
    if parts.scheme not in ("http", "https") or not host:
        raise Misconfigured(f"the {what} URL is no http(s) URL", got=parts.scheme, mend=mend)
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def _hidden_parts(url: str) -> tuple[str, ...]:
    """Everything in the URL that may be a credential: user, password, path parts, query values."""
    parts = urlsplit(url)
    words = [parts.username or "", parts.password or "", parts.fragment]
    words += parts.path.split("/")
    words += [piece for pair in parts.query.split("&") for piece in pair.split("=", 1)]
    return tuple(sorted({w for w in words if len(w) >= _MIN_HIDDEN}, key=len, reverse=True))


class RpcClient:
    """A client for one node. Use it as an async context manager, or call `close`.

    Every method raises `Unavailable` when there is no usable answer within the limits, `RpcError`
    when the node answers with an error, `Misconfigured` when the node is on another chain.
    """

    def __init__(
        self,
        url: str,
        *,
        chain_id: int,
        timeout: float = 10.0,
        max_response: int = MAX_RESPONSE,
        timing: Timing | None = None,
        connector: Callable[[], aiohttp.BaseConnector] = aiohttp.TCPConnector,
    ) -> None:
        """Check the URL; connect at the first call. `timeout` is seconds for one HTTP exchange."""
        self.origin = origin_of(url)
        self.chain_id = chain_id
        self._url = url
        self._hidden = _hidden_parts(url)
        self._timeout = timeout
        self._max_response = max_response
        self._timing = timing or Timing()
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None
        self._on_our_chain = False
        self._next_id = 0
        self.calls = 0
        """JSON-RPC calls made so far, for the idle-cost figure."""

    def __repr__(self) -> str:
        return f"RpcClient({self.origin})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()  # waits: `close` bounds itself

    async def close(self) -> None:
        """Close the HTTP session; a later call would open a new one."""
        session, self._session = self._session, None
        if session is not None:
            async with asyncio.timeout(self._timeout):
                await session.close()

    async def call(self, method: str, *params: Json) -> Json:
        """Make one call and return its result."""
        result = (await self.batch((Call(method, params),)))[0]
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Json | RpcError]:
        """Make `calls` (1 to MAX_BATCH) in one HTTP request; answers keep their order.

        An error of a single call stands in its place; only what concerns the whole is raised.
        """
        if not 0 < len(calls) <= MAX_BATCH:
            raise ValueError(f"a batch holds 1 to {MAX_BATCH} calls, not {len(calls)}")
        tries = 1 if any(c.method in _NEVER_REPEATED for c in calls) else _TRIES
        for attempt in range(tries):
            try:
                await self._check_chain()
                return await self._exchange(calls)
            except Unavailable:
                if attempt + 1 == tries:
                    raise
            # Full jitter, so that hosts that lost one node do not come back as one.
            await self._timing.sleep(
                self._timing.jitter() * min(_MAX_DELAY, _BASE_DELAY * 2**attempt)
            )
        raise AssertionError("unreachable: the last try returns or raises")

    async def _check_chain(self) -> None:
        if self._on_our_chain:
            return
        result = (await self._exchange((Call("eth_chainId"),)))[0]
        if isinstance(result, RpcError):
            raise Unavailable(f"{self.origin} does not tell its chain id", got=result.message)
        found = quantity(result, "the node's chain id")
        if found != self.chain_id:
            raise Misconfigured(
                f"{self.origin} is on another chain",
                got=found,
                expected=self.chain_id,
                mend="Point the RPC URL at a node of the network file's chain",
            )
        self._on_our_chain = True

    async def _exchange(self, calls: Sequence[Call]) -> list[Json | RpcError]:
        """Send one request, read one bounded answer, pair results with calls."""
        first = self._next_id
        self._next_id += len(calls)
        self.calls += len(calls)
        bodies: list[Json] = [
            {"jsonrpc": "2.0", "id": first + i, "method": c.method, "params": list(c.params)}
            for i, c in enumerate(calls)
        ]
        text = json.dumps(bodies[0] if len(bodies) == 1 else bodies, separators=(",", ":"))
        try:
            async with asyncio.timeout(self._timeout):
                status, raw = await self._post(text.encode())
        except TimeoutError:
            self._on_our_chain = False
            raise Unavailable(f"{self.origin} did not answer in {self._timeout:g} s") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as e:
            self._on_our_chain = False
            # Not chained: the library's texts hold the URL.
            raise Unavailable(f"{self.origin} cannot be reached ({type(e).__name__})") from None
        return self._pair(calls, first, self._parse(status, raw))

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.post(
            self._url,
            data=body,
            headers={"content-type": "application/json"},
            allow_redirects=False,  # a redirect would carry the key elsewhere
        ) as response:
            raw = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                raw += chunk
                if len(raw) > self._max_response:
                    raise aiohttp.ClientPayloadError("too large")
            return response.status, bytes(raw)

    def _parse(self, status: int, raw: bytes) -> Json:
        try:
            parsed = parse_json(raw)
        except MalformedInput:
            raise Unavailable(
                f"{self.origin} did not answer with JSON", got=f"HTTP {status}, {len(raw)} bytes"
            ) from None
        # Some nodes say 400 or 500 and put a proper JSON-RPC error in the body; heed that.
        if status != 200 and not (
            isinstance(parsed, dict) and "error" in parsed and "id" in parsed
        ):
            raise Unavailable(f"{self.origin} answered HTTP {status}")
        return parsed

    def _pair(self, calls: Sequence[Call], first: int, parsed: Json) -> list[Json | RpcError]:
        if isinstance(parsed, dict) and len(calls) > 1 and "error" in parsed:
            error = self._error(calls[0], parsed["error"])
            raise Unavailable(f"{self.origin} refused a batch", got=error.message)
        answers = parsed if isinstance(parsed, list) else [parsed]
        found: dict[int, Json | RpcError] = {}
        for answer in answers:
            if not isinstance(answer, dict):
                raise Unavailable(f"{self.origin} sent something that is no JSON-RPC answer")
            at = answer.get("id")
            if not isinstance(at, int) or not 0 <= at - first < len(calls) or at in found:
                raise Unavailable(f"{self.origin} answered a question that was not asked")
            call = calls[at - first]
            if answer.get("error") is not None:
                found[at] = self._error(call, answer["error"])
            elif "result" in answer:
                found[at] = answer["result"]
        if len(found) != len(calls):
            raise Unavailable(f"{self.origin} left calls without an answer")
        return [found[first + i] for i in range(len(calls))]

    def _error(self, call: Call, error: Json) -> RpcError:
        """Read an error object; a rate limit is `Unavailable`, so that it is waited out."""
        fields = error if isinstance(error, dict) else {}
        code, message = fields.get("code"), fields.get("message")
        text = message if isinstance(message, str) else "no message"
        for word in self._hidden:
            text = text.replace(word, "***")
        number = code if isinstance(code, int) else 0
        if number in _RATE_LIMITED:
            raise Unavailable(f"{self.origin} limits our rate", got=text)
        return RpcError(self.origin, call.method, number, text, _revert_data(fields.get("data")))


def _revert_data(value: Json) -> bytes:
    """Return the revert bytes of an error: a hex string, or an object that holds one."""
    if isinstance(value, dict):
        value = value.get("data")
    try:
        return data(value, "revert data", max_size=64 * 1024)
    except MalformedInput:
        return b""
