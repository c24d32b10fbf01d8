"""The boundary to dcap-qvl: exact bytes in, typed claims or one of our errors out.

Owns every call of that library. It must use nothing of it but `parse_quote`, `QuoteCollateralV3`,
`QuoteVerifier`, `QuotePolicy.claims_only` and `verify_with_root_ca`: its downloads bypass our bounds,
and its own policies are looser than ours. What it accepts is authentic, and nothing more.
"""

import json
from dataclasses import dataclass
from typing import NoReturn

import dcap_qvl  # type: ignore[import-untyped]  # a Rust extension without a py.typed marker

from guest.evidence.collateral import Collateral
from guest.protocol.errors import MalformedInput, Reason, Refused, shown

_LIBRARY_ERRORS = (ValueError, TypeError, OverflowError)

_REASONS = (
    ("revoked", Reason.QUOTE_REVOKED),
    ("debug mode", Reason.QUOTE_DEBUG),
    ("profiling", Reason.QUOTE_DEBUG),
    ("td attributes", Reason.QUOTE_ATTRIBUTES),
    ("td migration", Reason.QUOTE_ATTRIBUTES),
    ("servtd_ext", Reason.QUOTE_ATTRIBUTES),
    ("sept_ve_disable", Reason.QUOTE_ATTRIBUTES),
    ("mr service td", Reason.QUOTE_ZERO_FIELDS),
    ("tdx module mrsigner", Reason.QUOTE_ZERO_FIELDS),
    ("no matching tcb level", Reason.QUOTE_TCB_STATUS),
    ("below minimum required", Reason.QUOTE_TCB_STATUS),
    ("no tdx module identity", Reason.QUOTE_TCB_STATUS),
    ("unrecognized tcb status", Reason.QUOTE_TCB_STATUS),
    ("expired", Reason.QUOTE_COLLATERAL_EXPIRED),
    ("in the future", Reason.QUOTE_COLLATERAL_EXPIRED),
    ("notvalidyet", Reason.QUOTE_COLLATERAL_EXPIRED),
)
"""Words of the library's messages, lower case. They only sort refusals: what has no word here is
`QUOTE_INVALID`. A test holds each row to the pinned version."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What the library found authentic. Times in Unix seconds; hashes and identifiers are bytes.

    `statuses` are all that count: the verdict, the quoting enclave's, and for TDX 1.5 that of the
    module now loaded. Intel's rule lets a good verdict hide either of the last two.
    `advisories` are those of every level that was matched.
    """

    tee_type: int
    report: dict[str, str]
    status: str
    statuses: tuple[str, ...]
    advisories: frozenset[str]
    evaluation_number: int
    ppid: bytes
    fmspc: bytes
    pce_id: bytes
    platform_type: int
    dynamic_platform: bool
    cached_keys: bool
    smt: bool
    root_key_id: bytes
    latest_issue: int
    earliest_expiration: int


class _Reader:
    """Typed access to a JSON object of the library; any surprise is a `Refused`."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise Refused(Reason.QUOTE_INVALID, "the verification library's claims have no object")
        self._value: dict[str, object] = value

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def inner(self, name: str) -> "_Reader":
        return _Reader(self._value.get(name))

    def text(self, name: str) -> str:
        value = self._value.get(name)
        return value if isinstance(value, str) else self._surprise(name)

    def integer(self, name: str) -> int:
        value = self._value.get(name)
        return value if isinstance(value, int) else self._surprise(name)

    def octets(self, name: str) -> bytes:
        value = self._value.get(name)
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            self._surprise(name)
        return bytes(value)

    def texts(self, name: str) -> list[str]:
        value = self._value.get(name)
        return [str(v) for v in value] if isinstance(value, list) else self._surprise(name)

    def hexes(self) -> dict[str, str]:
        return {name: value for name, value in self._value.items() if isinstance(value, str)}

    def _surprise(self, name: str) -> NoReturn:
        raise Refused(Reason.QUOTE_INVALID, f"the verification library's claims lack {name}")


def authenticate(quote: bytes, collateral: Collateral, *, now: int, root: bytes) -> Claims:
    """Verify all signatures, chains, CRLs and dates at `now` under the root with this DER.

    Raises `Refused`. Authentic is not acceptable: the caller judges the claims.
    """
    try:
        return _authenticate(quote, collateral, now, root)
    except BaseException as error:
        # A panic in Rust arrives as a BaseException of the binding, past every `except Exception`.
        if type(error).__name__ != "PanicException":
            raise
        raise Refused(Reason.QUOTE_INVALID, "the verification library panicked") from None


def _authenticate(quote: bytes, collateral: Collateral, now: int, root: bytes) -> Claims:
    try:
        verifier = dcap_qvl.QuoteVerifier(root)
        policy = dcap_qvl.QuotePolicy.claims_only(now)
        claims = verifier.verify_with_policy(quote, _converted(collateral), now, policy)
        return _claims(_Reader(json.loads(claims.to_json())))
    except _LIBRARY_ERRORS as error:
        _refuse(quote, collateral, now, root, str(error))


def family(quote: bytes) -> tuple[bytes, str]:
    """Return FMSPC (6 bytes) and CA of the certificate in a quote, neither verified.

    Raises `MalformedInput` when the quote holds no such certificate.
    """
    try:
        parsed = dcap_qvl.parse_quote(quote)
        fmspc, authority = bytes.fromhex(parsed.fmspc()), str(parsed.ca())
    except _LIBRARY_ERRORS:
        fmspc, authority = b"", ""
    if len(fmspc) != 6 or authority not in {"platform", "processor"}:
        raise MalformedInput("the quote names no platform")
    return fmspc, authority


def _converted(collateral: Collateral) -> dcap_qvl.QuoteCollateralV3:
    return dcap_qvl.QuoteCollateralV3(
        collateral.pck_crl_issuer_chain.decode(),
        collateral.root_ca_crl,
        collateral.pck_crl,
        collateral.tcb_info_issuer_chain.decode(),
        collateral.tcb_info.decode(),
        collateral.tcb_info_signature,
        collateral.qe_identity_issuer_chain.decode(),
        collateral.qe_identity.decode(),
        collateral.qe_identity_signature,
    )


def _refuse(quote: bytes, collateral: Collateral, now: int, root: bytes, brief: str) -> NoReturn:
    """Ask again through the call that tells causes, and refuse with the reason that they show.

    `verify_with_policy` keeps only the outermost message, which is the same for a revoked and for a
    forged certificate.
    """
    message = brief
    try:
        dcap_qvl.verify_with_root_ca(quote, _converted(collateral), root, now)
    except _LIBRARY_ERRORS as error:
        message = str(error)
    lowered = message.lower()
    reason = next((reason for word, reason in _REASONS if word in lowered), Reason.QUOTE_INVALID)
    raise Refused(reason, shown(message.removeprefix("Verification failed: "))) from None


def _claims(claims: _Reader) -> Claims:
    tcb, platform, qe = claims.inner("tcb"), claims.inner("platform"), claims.inner("qe")
    pck, levels = platform.inner("pck"), [platform.inner("tcb_level"), qe.inner("tcb_level")]
    statuses = [tcb.text("status"), qe.inner("tcb_level").text("tcbStatus")]
    if platform.has("current_tcb_level"):
        levels.append(platform.inner("current_tcb_level"))
        statuses.append(levels[-1].text("tcbStatus"))
    return Claims(
        tee_type=claims.integer("tee_type"),
        report=_report(claims.inner("report")),
        status=tcb.text("status"),
        statuses=tuple(statuses),
        advisories=frozenset(tcb.texts("advisory_ids")).union(
            *[level.texts("advisoryIDs") for level in levels]
        ),
        evaluation_number=tcb.integer("eval_data_number"),
        ppid=pck.octets("ppid"),
        fmspc=pck.octets("fmspc"),
        pce_id=pck.octets("pce_id"),
        platform_type=pck.integer("sgx_type"),
        dynamic_platform=pck.text("dynamic_platform") == "True",
        cached_keys=pck.text("cached_keys") == "True",
        smt=pck.text("smt_enabled") == "True",
        root_key_id=platform.octets("root_key_id"),
        latest_issue=claims.integer("latest_issue_date"),
        earliest_expiration=claims.integer("earliest_expiration_date"),
    )


def _report(report: _Reader) -> dict[str, str]:
    """Flatten TD15Ex over TD15 over TD10 into one table of hex fields."""
    for kind in ("TD15Ex", "TD15", "TD10", "SgxEnclave"):
        if report.has(kind):
            report = report.inner(kind)
            break
    table = report.hexes()
    while report.has("base"):
        report = report.inner("base")
        table |= report.hexes()
    return table
