"""Fetches DCAP collateral from a PCCS or from Intel's PCS, exactly as it was signed.

Owns the HTTP, its bounds and a small cache. It judges nothing: the guest verifies what it is given,
and a service that lies can only make it refuse. The signed JSON is cut out of the answer byte for
byte, since parsing and printing it again would break its signature.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import aiohttp

from guest.protocol import rlp
from guest.protocol.errors import Unavailable, shown

INTEL_PCS = "https://api.trustedservices.intel.com"
INTEL_ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
"""Intel's own service has no path for the root's CRL; a PCCS has."""

MAX_AGE = 3600.0
"""Seconds that fetched collateral is used again: far below the age that guests accept, which is days."""
_LIMIT = 15.0
_TOTAL_LIMIT = 50.0
"""Seconds for all four answers, below the guest's own limit of 60."""
_ATTEMPTS = 3
_MAX_ANSWER = 64 * 1024
_MAX_FAMILIES = 16
_SGX = "/sgx/certification/v4"
_TDX = "/tdx/certification/v4"
_SIGNATURE = re.compile(rb'\s*,\s*"signature"\s*:\s*"([0-9A-Fa-f]{128})"\s*}\s*')
_AUTHORITIES = frozenset({"platform", "processor"})


@dataclass(frozen=True, slots=True)
class Family:
    """Whose collateral: FMSPC in lower-case hex, and the CA, `platform` or `processor`."""

    fmspc: str
    authority: str


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    headers: Mapping[str, str]


class CollateralSource:
    """Fetches and caches collateral. One instance serves all guests of a host."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str = INTEL_PCS,
        *,
        root_crl_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the service at `url`; the root's CRL comes from there too unless it has its own URL."""
        self._session = session
        self._url = url.rstrip("/")
        self._root_crl_url = root_crl_url or (INTEL_ROOT_CRL if self._url == INTEL_PCS else None)
        self._clock = clock
        self._cache: dict[Family, tuple[float, bytes]] = {}
        self._turn = asyncio.Lock()

    async def fetch(self, fmspc: bytes, authority: str) -> bytes:
        """Return the collateral of a platform family as the RLP that documents carry.

        Raises `Unavailable` after three attempts, or at once for a family that cannot exist.
        """
        if len(fmspc) != 6 or authority not in _AUTHORITIES:
            raise Unavailable("no such platform family", got=f"{fmspc.hex()} {authority}")
        family = Family(fmspc.hex(), authority)
        async with self._turn:  # waits: whoever holds it has a limit
            made, data = self._cache.get(family, (0.0, b""))
            if data and self._clock() - made < MAX_AGE:
                return data
            data = await self._fetch_in_time(family)
            if len(self._cache) >= _MAX_FAMILIES:
                self._cache.clear()
            self._cache[family] = (self._clock(), data)
            return data

    async def _fetch_in_time(self, family: Family) -> bytes:
        try:
            async with asyncio.timeout(_TOTAL_LIMIT):
                return await self._fetch(family)
        except TimeoutError:
            raise Unavailable(
                "collateral service is too slow", expected=f"<= {_TOTAL_LIMIT:.0f} s"
            ) from None

    async def _fetch(self, family: Family) -> bytes:
        crl = await self._get(f"{_SGX}/pckcrl", {"ca": family.authority, "encoding": "der"})
        info = await self._get(f"{_TDX}/tcb", {"fmspc": family.fmspc, "update": "standard"})
        identity = await self._get(f"{_TDX}/qe/identity", {"update": "standard"})
        root = await self._get(f"{_SGX}/rootcacrl", {})
        return rlp.encode(
            [
                _chain(crl, "SGX-PCK-CRL-Issuer-Chain"),
                _der(root.body),
                _der(crl.body),
                _chain(info, "TCB-Info-Issuer-Chain"),
                *_signed(info.body, b"tcbInfo"),
                _chain(identity, "SGX-Enclave-Identity-Issuer-Chain"),
                *_signed(identity.body, b"enclaveIdentity"),
            ]
        )

    async def _get(self, path: str, query: dict[str, str]) -> _Answer:
        url = self._url + path
        if path.endswith("/rootcacrl") and self._root_crl_url is not None:
            url = self._root_crl_url
        failure = ""
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(attempt * random.uniform(0.2, 0.6))  # noqa: S311 - jitter, no secret
            try:
                async with asyncio.timeout(_LIMIT), self._session.get(url, params=query) as found:
                    body = await found.content.read(_MAX_ANSWER + 1)
                    while len(body) <= _MAX_ANSWER and not found.content.at_eof():
                        body += await found.content.read(_MAX_ANSWER + 1 - len(body))
                    if found.status == 200 and len(body) <= _MAX_ANSWER:
                        return _Answer(body, found.headers)
                    failure = f"status {found.status}, {len(body)} bytes"
                    if found.status == 404:
                        break
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = type(error).__name__
        raise Unavailable(
            f"collateral service failed at {shown(path)}",
            got=failure,
            mend="Check the address of the service and whether it knows this platform.",
        )


def _chain(answer: _Answer, header: str) -> bytes:
    """Return the PEM of a header, in which it is percent-encoded."""
    pem = unquote_to_bytes(answer.headers.get(header, ""))
    if not pem.startswith(b"-----BEGIN CERTIFICATE-----"):
        raise Unavailable(f"collateral service sent no {header}")
    return pem


def _der(body: bytes) -> bytes:
    """Return a CRL that came as DER or, as a PCCS sends it, as its hex."""
    try:
        return bytes.fromhex(body.decode("ascii").strip())
    except ValueError:
        if body[:1] != b"\x30":
            raise Unavailable("collateral service sent a CRL of unknown form") from None
        return body


def _signed(body: bytes, name: bytes) -> tuple[bytes, bytes]:
    """Return the exact bytes of a signed JSON object, and its signature, from their wrapper."""
    opening = re.match(rb'\s*{\s*"%s"\s*:\s*' % name, body)
    if opening is None:
        raise Unavailable("collateral service sent JSON of unknown form")
    text = body[opening.end() :].decode("utf-8", "replace")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        raise Unavailable("collateral service sent JSON of unknown form") from None
    stop = opening.end() + len(text[:end].encode())
    closing = _SIGNATURE.fullmatch(body, stop)
    if closing is None:
        raise Unavailable("collateral service sent no signature")
    return body[opening.end() : stop], bytes.fromhex(closing.group(1).decode())
