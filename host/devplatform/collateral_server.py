"""The collateral service of the simulated platform: the PCCS paths (version 4) that we use, no more.

Everything is made anew for each request, dated by this service's clock, so that it is never old. The
clock may be moved, since the chains of tests live in simulated days.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

from host.devplatform.tcbdata import Scenario, SimulatedCollateral, make_collateral

_SGX = "/sgx/certification/v4"
_TDX = "/tdx/certification/v4"
_MAX_BODY = 64
_BODY_LIMIT = 5.0


@dataclass(slots=True)
class CollateralServer:
    """Answers for one platform family. `offset` is what its clock adds to the system's, in seconds."""

    scenario: Scenario = field(default_factory=Scenario)
    offset: int = 0

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=_MAX_BODY)
        application.add_routes(
            [
                web.get(f"{_SGX}/pckcrl", self._platform_crl),
                web.get(f"{_SGX}/rootcacrl", self._root_crl),
                web.get(f"{_TDX}/tcb", self._tcb_info),
                web.get(f"{_TDX}/qe/identity", self._identity),
                web.put("/clock", self._set_clock),
            ]
        )
        return application

    def _make(self) -> SimulatedCollateral:
        return make_collateral(int(time.time()) + self.offset, self.scenario)

    async def _platform_crl(self, request: web.Request) -> web.Response:
        if request.query.get("ca") != "platform" or request.query.get("encoding") != "der":
            raise web.HTTPNotFound
        made = self._make()
        chain = _header(made.pck_crl_issuer_chain)
        return web.Response(body=made.pck_crl, headers={"SGX-PCK-CRL-Issuer-Chain": chain})

    async def _root_crl(self, _: web.Request) -> web.Response:
        return web.Response(text=self._make().root_ca_crl.hex())

    async def _tcb_info(self, request: web.Request) -> web.Response:
        if request.query.get("fmspc", "").lower() != self.scenario.fmspc.hex():
            raise web.HTTPNotFound
        made = self._make()
        chain = _header(made.tcb_info_issuer_chain)
        body = _signed("tcbInfo", made.tcb_info, made.tcb_info_signature)
        return web.Response(body=body, headers={"TCB-Info-Issuer-Chain": chain})

    async def _identity(self, _: web.Request) -> web.Response:
        made = self._make()
        chain = _header(made.qe_identity_issuer_chain)
        body = _signed("enclaveIdentity", made.qe_identity, made.qe_identity_signature)
        return web.Response(body=body, headers={"SGX-Enclave-Identity-Issuer-Chain": chain})

    async def _set_clock(self, request: web.Request) -> web.Response:
        """Take the offset in seconds as the body, for example `86400`."""
        try:
            async with asyncio.timeout(_BODY_LIMIT):
                self.offset = int(await request.text())
        except (ValueError, TimeoutError):
            raise web.HTTPBadRequest(text="expected a number of seconds\n") from None
        return web.Response(status=204)


def _header(pem: bytes) -> str:
    return quote(pem.decode(), safe="")


def _signed(name: str, text: bytes, signature: bytes) -> bytes:
    """Wrap signed JSON without a change to its bytes, as the service of real hardware does."""
    return b'{"%s":%s,"signature":%s}' % (name.encode(), text, json.dumps(signature.hex()).encode())
