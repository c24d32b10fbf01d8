"""Simulated collateral: TCB info, QE identity and CRLs, good by default and bad by request.

Owns every switch that makes evidence fail, so that tests reach each refusal through the same path
that real quotes take.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Flag, auto

from host.devplatform.names import FMSPC, PCE_ID
from host.devplatform.pki import (
    CPU_SVN,
    PCE_SVN,
    Issuer,
    Machine,
    crl,
    platform_authority,
    platform_certificate,
    root,
    signer,
)
from host.devplatform.tdquote import QE_PRODUCT, QE_SIGNER, QE_VERSION, sign_raw

_DAY = 24 * 3600
_MARGIN = 3600
"""New collateral is dated back by an hour: it is judged at the time of a block, which lies behind."""
_TCB_DATE = "2026-01-01T00:00:00Z"


class Revoked(Flag):
    """What the CRLs revoke."""

    NOTHING = 0
    PLATFORM = auto()
    PLATFORM_AUTHORITY = auto()
    SIGNER = auto()


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the collateral is. `age` and `lifetime` in seconds; None takes what is good.

    `current_status` is the status of the module now loaded, where `status` is of the one at launch.
    """

    status: str = "UpToDate"
    advisories: tuple[str, ...] = ()
    current_status: str | None = None
    current_advisories: tuple[str, ...] = ()
    module_status: str = "UpToDate"
    enclave_status: str = "UpToDate"
    enclave_advisories: tuple[str, ...] = ()
    evaluation_number: int = 20
    enclave_evaluation_number: int = 20
    fmspc: bytes = FMSPC
    pce_id: bytes = PCE_ID
    pce_svn: int = PCE_SVN
    module_isvsvn: int = 3
    age: int = _MARGIN
    identity_age: int | None = None
    platform_crl_age: int | None = None
    root_crl_age: int | None = None
    lifetime: int = 30 * _DAY
    revoked: Revoked = Revoked.NOTHING
    info_signer: Issuer | None = None
    identity_signer: Issuer | None = None
    machine: Machine = field(default_factory=Machine)


@dataclass(frozen=True, slots=True)
class SimulatedCollateral:
    """The nine parts, in the order and with the names of PCS collateral."""

    pck_crl_issuer_chain: bytes
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: bytes
    tcb_info: bytes
    tcb_info_signature: bytes
    qe_identity_issuer_chain: bytes
    qe_identity: bytes
    qe_identity_signature: bytes


def make_collateral(now: int, scenario: Scenario = Scenario()) -> SimulatedCollateral:
    """Return collateral as a service would hold it at Unix time `now`."""
    info_signer = scenario.info_signer or signer()
    identity_signer = scenario.identity_signer or signer()
    info = _compact(_tcb_info(now, scenario))
    identity = _compact(_qe_identity(now, scenario))
    authority, top = platform_authority(), root()
    platform = platform_certificate(scenario.machine)
    top_revoked = [authority.serial] if Revoked.PLATFORM_AUTHORITY in scenario.revoked else []
    top_revoked += [info_signer.serial] if Revoked.SIGNER in scenario.revoked else []
    revoked = [platform.serial] if Revoked.PLATFORM in scenario.revoked else []
    top_age = scenario.age if scenario.root_crl_age is None else scenario.root_crl_age
    crl_age = scenario.age if scenario.platform_crl_age is None else scenario.platform_crl_age
    return SimulatedCollateral(
        pck_crl_issuer_chain=authority.pem,
        root_ca_crl=_crl(top, top_revoked, now - top_age, scenario),
        pck_crl=_crl(authority, revoked, now - crl_age, scenario),
        tcb_info_issuer_chain=info_signer.pem,
        tcb_info=info,
        tcb_info_signature=sign_raw(info_signer.key, info),
        qe_identity_issuer_chain=identity_signer.pem,
        qe_identity=identity,
        qe_identity_signature=sign_raw(identity_signer.key, identity),
    )


def _crl(issuer: Issuer, revoked: list[int], issued: int, scenario: Scenario) -> bytes:
    until = issued + scenario.lifetime
    return crl(issuer, revoked, issued=_moment(issued), until=_moment(until))


def _tcb_info(now: int, scenario: Scenario) -> dict[str, object]:
    module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
    module_level = {
        "tcb": {"isvsvn": scenario.module_isvsvn},
        "tcbDate": _TCB_DATE,
        "tcbStatus": scenario.module_status,
    }
    levels = [_level(scenario, 5, scenario.status, scenario.advisories)]
    if scenario.current_status is not None:
        levels.append(_level(scenario, 6, scenario.current_status, scenario.current_advisories))
    return {
        "id": "TDX",
        "version": 3,
        **_window(now - scenario.age, scenario.lifetime),
        "fmspc": scenario.fmspc.hex().upper(),
        "pceId": scenario.pce_id.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": scenario.evaluation_number,
        "tdxModule": module,
        "tdxModuleIdentities": [{"id": "TDX_01", **module, "tcbLevels": [module_level]}],
        "tcbLevels": levels,
    }


def _level(
    scenario: Scenario, module_svn: int, status: str, advisories: tuple[str, ...]
) -> dict[str, object]:
    tcb = {
        "sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVN],
        "pcesvn": scenario.pce_svn,
        "tdxtcbcomponents": [{"svn": svn} for svn in (3, 0, module_svn, *bytes(13))],
    }
    level: dict[str, object] = {"tcb": tcb, "tcbDate": _TCB_DATE, "tcbStatus": status}
    return level | ({"advisoryIDs": list(advisories)} if advisories else {})


def _qe_identity(now: int, scenario: Scenario) -> dict[str, object]:
    age = scenario.age if scenario.identity_age is None else scenario.identity_age
    level: dict[str, object] = {
        "tcb": {"isvsvn": QE_VERSION},
        "tcbDate": _TCB_DATE,
        "tcbStatus": scenario.enclave_status,
    }
    if scenario.enclave_advisories:
        level["advisoryIDs"] = list(scenario.enclave_advisories)
    return {
        "id": "TD_QE",
        "version": 2,
        **_window(now - age, scenario.lifetime),
        "tcbEvaluationDataNumber": scenario.enclave_evaluation_number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FB" + "FF" * 7 + "00" * 8,
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": QE_PRODUCT,
        "tcbLevels": [level],
    }


def _window(issued: int, lifetime: int) -> dict[str, str]:
    return {"issueDate": _text(issued), "nextUpdate": _text(issued + lifetime)}


def _text(time: int) -> str:
    return _moment(time).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(time: int) -> datetime:
    return datetime.fromtimestamp(time, UTC)


def _compact(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
