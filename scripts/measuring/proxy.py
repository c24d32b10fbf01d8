"""A proxy at the RPC port: counts the calls of one host, and stamps what it sends and what it sees.

Owns the stamps. It changes nothing that passes, and its times are seconds of the monotonic clock, which
all processes of this machine share.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from guest.protocol import rlp
from guest.protocol.primitives import keccak256
from host.chain import abi
from host.chain.hexdata import Json
from host.devnet.processes import free_port

MAX_BODY = 16 * 1024 * 1024
EXCHANGE_LIMIT = 60.0
FUNCTIONS = ("bootstrap", "register", "onboard", "onboardBatch", "confirm", "confirmBatch", "renew")


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction that a host handed in at `at`."""

    at: float
    hash: bytes
    nonce: int
    function: str
    calldata: bytes


@dataclass(slots=True)
class RpcProxy:
    """Stands before one node for one host. `url` is what the host is given."""

    target: str
    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)
    """When an answer first named a block of this number: the host knows it from then on."""
    methods: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    _session: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None

    @property
    def calls(self) -> int:
        """JSON-RPC calls so far; each member of a batch counts, as providers bill them."""
        return sum(self.methods.values())

    def first_seen(self, number: int) -> float:
        """Return when the host first learned of block `number` or of a later one."""
        return min(at for seen, at in self.seen.items() if seen >= number)

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=EXCHANGE_LIMIT), auto_decompress=False
        )
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post("/", self._pass)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        calls = _as_list(json.loads(body))
        self._asked(calls)
        if self._session is None:
            return web.Response(status=503)
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(self.target, data=body, headers=headers) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return web.Response(status=502)
        self._answered(calls, answer)
        return web.Response(body=answer, content_type="application/json")

    def _asked(self, calls: list[Json]) -> None:
        now = time.monotonic()
        self.requests += 1
        for call in calls:
            if not isinstance(call, dict):
                continue
            method, params = str(call.get("method")), call.get("params")
            self.methods[method] += 1
            if method == "eth_sendRawTransaction" and isinstance(params, list):
                self.sent.append(_transaction(bytes.fromhex(str(params[0])[2:]), now))

    def _answered(self, calls: list[Json], answer: bytes) -> None:
        methods = {
            json.dumps(call.get("id")): call.get("method")
            for call in calls
            if isinstance(call, dict)
        }
        if not {"eth_getBlockByNumber", "eth_blockNumber"} & set(methods.values()):
            return
        for one in _as_list(json.loads(answer)):
            if not isinstance(one, dict):
                continue
            method, result = methods.get(json.dumps(one.get("id"))), one.get("result")
            if method == "eth_getBlockByNumber" and isinstance(result, dict):
                result = result.get("number")
            elif method != "eth_blockNumber":
                continue
            if isinstance(result, str):
                self.seen.setdefault(int(result, 16), time.monotonic())


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _transaction(raw: bytes, at: float) -> Sent:
    """Read an EIP-1559 transaction of our own wallet."""
    fields = rlp.decode(raw[1:], max_size=MAX_BODY)
    nonce, calldata = fields[1], fields[7]
    if not isinstance(nonce, bytes) or not isinstance(calldata, bytes):
        raise TypeError("not a transaction of type 2")
    number = int.from_bytes(nonce, "big")
    return Sent(at, keccak256(raw), number, function_of(calldata), calldata)


def function_of(calldata: bytes) -> str:
    """Return the name of the contract's function that calldata calls."""
    release = abi.release()
    names = {release.entry("function", name).selector: name for name in FUNCTIONS}
    return names.get(calldata[:4], "other")
