"""A JSON-RPC proxy between hosts and the chain: records what is sent, and fails where it is told to.

Loopback only, bounded sizes. Each host has a path of its own (`url_for`), so that the record says who.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from guest.protocol import rlp
from guest.protocol.primitives import address_of, keccak256, recover_public_key
from host.chain import abi

MAX_BODY = 8 * 1024 * 1024
SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One signed transaction, as a host handed it over."""

    host: str
    hash: bytes
    sender: bytes
    nonce: int
    calldata: bytes

    def calls(self, *functions: str) -> bool:
        """Whether it calls one of these functions of the contract."""
        entries = abi.release()
        return self.calldata[:4] in {entries.entry("function", f).selector for f in functions}


class Fate(Enum):
    """What happens to a request that carries a transaction."""

    PASSED = auto()
    DROPPED = auto()
    """The chain never sees it, and the host sees its connection end."""
    SWALLOWED = auto()
    """The chain takes it, and the host sees its connection end."""


class RecordingProxy:
    """Use as a context manager; set `upstream` before the first request."""

    def __init__(self) -> None:
        self.upstream = ""
        self.url = ""
        self.sent: list[Sent] = []
        self.requests: dict[str, int] = {}
        self.down: set[str] = set()
        """Hosts to which the node is not there."""
        self.judge: Callable[[Sent], Fate] = lambda _: Fate.PASSED
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/{host}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def url_for(self, host: str) -> str:
        """The RPC URL to give to a host."""
        return f"{self.url}/{host}"

    async def _answer(self, request: web.Request) -> web.Response:
        host = request.match_info["host"]
        self.requests[host] = self.requests.get(host, 0) + 1
        body = await request.read()
        if host in self.down:
            return web.Response(status=503)
        sent = [_decode(host, raw) for raw in _raw_transactions(body)]
        self.sent += sent
        fates = {self.judge(one) for one in sent}
        if Fate.DROPPED in fates:
            return _hang_up(request)
        assert self._session is not None
        try:
            async with self._session.post(
                self.upstream, data=body, headers={"content-type": "application/json"}
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return web.Response(status=502)
        if Fate.SWALLOWED in fates:
            return _hang_up(request)
        return web.Response(body=content, content_type="application/json")


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _raw_transactions(body: bytes) -> list[bytes]:
    calls = json.loads(body)
    return [
        bytes.fromhex(call["params"][0][2:])
        for call in (calls if isinstance(calls, list) else [calls])
        if call["method"] == "eth_sendRawTransaction"
    ]


def _decode(host: str, raw: bytes) -> Sent:
    """Read an EIP-1559 transaction: [chain, nonce, tip, fee, gas, to, value, data, access, v, r, s]."""
    assert raw[0] == 2
    fields = rlp.decode(raw[1:], max_size=len(raw))
    assert isinstance(fields, list)
    nonce, calldata, parity, r, s = (fields[at] for at in (1, 7, 9, 10, 11))
    for field in (nonce, calldata, parity, r, s):
        assert isinstance(field, bytes)
    signature = r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([27 + len(parity)])
    signer = recover_public_key(keccak256(b"\x02" + rlp.encode(fields[:9])), signature)
    number = int.from_bytes(nonce, "big")
    return Sent(host, keccak256(raw), address_of(signer), number, calldata)


async def first_sent(
    proxy: RecordingProxy, host: str, *functions: str, fate: Fate
) -> asyncio.Event:
    """Give the next transaction of `host` that calls one of `functions` its fate; tell when."""
    met = asyncio.Event()

    def judge(sent: Sent) -> Fate:
        if sent.host != host or not sent.calls(*functions):
            return Fate.PASSED
        met.set()
        return fate

    proxy.judge = judge
    return met
