"""Fetching collateral: exact bytes, bounds, a cache, and an end to every failure."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast
from urllib.parse import quote

import aiohttp
import pytest

from guest.evidence.collateral import decode
from guest.protocol.errors import Unavailable
from host import collateral as source
from host.collateral import INTEL_PCS, INTEL_ROOT_CRL, CollateralSource
from host.devplatform.tcbdata import make_collateral

MADE = make_collateral(1_790_000_000)
FMSPC = bytes.fromhex("00dead00beef")
URL = "http://pccs.test"


@dataclass
class FakeContent:
    data: bytes

    async def read(self, size: int) -> bytes:
        part, self.data = self.data[: min(size, 1000)], self.data[min(size, 1000) :]
        return part

    def at_eof(self) -> bool:
        return not self.data


@dataclass
class FakeResponse:
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def content(self) -> FakeContent:
        if not hasattr(self, "_content"):
            self._content = FakeContent(self.body)
        return self._content

    async def __aenter__(self) -> "FakeResponse":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._content


@dataclass
class FakeSession:
    """A collateral service in memory. An answer that is an exception is raised."""

    answers: dict[str, FakeResponse | Exception]
    asked: list[str] = field(default_factory=list)

    def get(self, url: str, params: Mapping[str, str]) -> FakeResponse:
        assert set(params) <= {"ca", "encoding", "fmspc", "update"}
        self.asked.append(url)
        answer = self.answers[url.rpartition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return answer


def _wrapped(name: str, text: bytes, signature: bytes, *, space: bytes = b"") -> bytes:
    parts = (b'{"', name.encode(), b'":', text, b',"signature":"', signature.hex().encode(), b'"}')
    return space.join((b"", b"".join(parts), b""))


def _answers() -> dict[str, FakeResponse | Exception]:
    return {
        "pckcrl": FakeResponse(
            MADE.pck_crl, {"SGX-PCK-CRL-Issuer-Chain": quote(MADE.pck_crl_issuer_chain)}
        ),
        "rootcacrl": FakeResponse(MADE.root_ca_crl.hex().encode()),
        "tcb": FakeResponse(
            _wrapped("tcbInfo", MADE.tcb_info, MADE.tcb_info_signature),
            {"TCB-Info-Issuer-Chain": quote(MADE.tcb_info_issuer_chain)},
        ),
        "identity": FakeResponse(
            _wrapped("enclaveIdentity", MADE.qe_identity, MADE.qe_identity_signature),
            {"SGX-Enclave-Identity-Issuer-Chain": quote(MADE.qe_identity_issuer_chain)},
        ),
    }


def _source(session: FakeSession, **options: object) -> CollateralSource:
    return CollateralSource(cast("aiohttp.ClientSession", session), URL, **options)  # type: ignore[arg-type]


def _fetch(answers: dict[str, FakeResponse | Exception]) -> bytes:
    return asyncio.run(_source(FakeSession(answers)).fetch(FMSPC, "platform"))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source.random, "uniform", lambda *_: 0.0)


def test_collateral_arrives_as_the_bytes_that_were_signed() -> None:
    found = decode(_fetch(_answers()))
    for name in MADE.__slots__:
        assert getattr(found, name) == getattr(MADE, name), name


def test_whitespace_inside_signed_json_is_kept() -> None:
    answers = _answers()
    spaced = json.dumps(json.loads(MADE.tcb_info), indent=1).encode()
    response = cast("FakeResponse", answers["tcb"])
    response.body = _wrapped("tcbInfo", spaced, MADE.tcb_info_signature, space=b" \n")
    assert decode(_fetch(answers)).tcb_info == spaced


def test_a_crl_may_come_as_hex_or_as_der() -> None:
    answers = _answers()
    answers["pckcrl"] = FakeResponse(
        MADE.pck_crl.hex().encode(), cast("FakeResponse", answers["pckcrl"]).headers
    )
    answers["rootcacrl"] = FakeResponse(MADE.root_ca_crl)
    found = decode(_fetch(answers))
    assert (found.pck_crl, found.root_ca_crl) == (MADE.pck_crl, MADE.root_ca_crl)


def test_intels_service_has_its_root_crl_elsewhere() -> None:
    answers = _answers()
    answers["IntelSGXRootCA.der"] = FakeResponse(MADE.root_ca_crl)
    session = FakeSession(answers)
    asyncio.run(CollateralSource(cast("aiohttp.ClientSession", session)).fetch(FMSPC, "platform"))
    assert session.asked[-1] == INTEL_ROOT_CRL
    assert session.asked[0].startswith(INTEL_PCS)


def test_young_collateral_is_used_again_and_older_is_not() -> None:
    now = [1000.0]
    session = FakeSession(_answers())
    cached = _source(session, clock=lambda: now[0])

    async def run() -> None:
        first = await cached.fetch(FMSPC, "platform")
        assert await cached.fetch(FMSPC, "platform") is first
        assert len(session.asked) == 4
        now[0] += source.MAX_AGE
        await cached.fetch(FMSPC, "platform")
        assert len(session.asked) == 8

    asyncio.run(run())


def test_the_cache_is_bounded() -> None:
    cached = _source(FakeSession(_answers()))

    async def run() -> None:
        for number in range(20):
            await cached.fetch(number.to_bytes(6, "big"), "platform")
        assert len(cached._cache) <= 16

    asyncio.run(run())


@pytest.mark.parametrize(
    "change",
    [
        {"tcb": FakeResponse(b"", status=500)},
        {"tcb": FakeResponse(b"", status=404)},
        {"tcb": FakeResponse(bytes(65 * 1024))},
        {"tcb": aiohttp.ClientConnectionError()},
        {"tcb": TimeoutError()},
        {"tcb": OSError()},
    ],
    ids=["500", "404", "too large", "refused", "slow", "down"],
)
def test_a_service_that_fails_is_unavailable_after_a_few_attempts(
    change: dict[str, FakeResponse | Exception],
) -> None:
    session = FakeSession(_answers() | change)
    with pytest.raises(Unavailable) as caught:
        asyncio.run(_source(session).fetch(FMSPC, "platform"))
    assert "\n" not in str(caught.value)
    attempts = [url for url in session.asked if url.endswith("/tcb")]
    response = change["tcb"]
    final = isinstance(response, FakeResponse) and response.status == 404
    assert len(attempts) == (1 if final else 3)


def test_a_service_that_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_TOTAL_LIMIT", 0.0)
    with pytest.raises(Unavailable, match="slow"):
        _fetch(_answers())


@pytest.mark.parametrize(
    "change",
    [
        {"tcb": b""},
        {"tcb": b"{}"},
        {"tcb": b'{"tcbInfo":'},
        {"tcb": b'{"tcbInfo":{}'},
        {"tcb": b'{"tcbInfo":{},"signature":"00"}'},
        {"tcb": b'{"tcbInfo":' + b"[" * 50_000},
        {"tcb": b'{"tcbInfo":"\xff","signature":"' + b"00" * 64 + b'"}'},
        {"identity": b'{"tcbInfo":{},"signature":"' + b"00" * 64 + b'"}'},
        {"rootcacrl": b"zz"},
        {"rootcacrl": b"\xff"},
    ],
    ids=str,
)
def test_an_answer_of_another_form_is_unavailable(change: dict[str, bytes]) -> None:
    answers = _answers()
    for name, body in change.items():
        answers[name] = FakeResponse(body, cast("FakeResponse", answers[name]).headers)
    with pytest.raises(Unavailable):
        _fetch(answers)


def test_an_answer_without_its_chain_is_unavailable() -> None:
    answers = _answers()
    answers["tcb"] = FakeResponse(cast("FakeResponse", answers["tcb"]).body)
    with pytest.raises(Unavailable, match="TCB-Info-Issuer-Chain"):
        _fetch(answers)


@pytest.mark.parametrize(
    ("fmspc", "authority"), [(b"", "platform"), (FMSPC, "x"), (FMSPC, "a&b=c")]
)
def test_a_family_that_cannot_exist_is_not_asked_for(fmspc: bytes, authority: str) -> None:
    session = FakeSession({})
    with pytest.raises(Unavailable):
        asyncio.run(_source(session).fetch(fmspc, authority))
    assert not session.asked
