"""The one verification of a quote: bytes and collateral in, `VerifiedQuote` or a refusal out.

Owns the order of the checks, and what the library leaves to its caller: which roots and chains, the
role of the collateral's signers, ages, the platform of the TCB data, attributes and policy. It does
not compare measurements or report data: `guest.evidence.policy` and the callers do.
"""

from dataclasses import dataclass, replace

from guest.evidence.certificates import crl_issued_at, decode_chain
from guest.evidence.chains import anchored, check_signers, with_canonical_chains
from guest.evidence.claims import Claims, authenticate, family
from guest.evidence.collateral import Collateral, issued_at, signed_text
from guest.evidence.collateral import encode as encode_collateral
from guest.evidence.quote import MAX_QUOTE, TEE_TDX, UnverifiedQuote, decode_quote, is_sgx
from guest.evidence.roots import AttestationRoot, RootName
from guest.evidence.tcb import (
    QuotePolicy,
    TcbStatus,
    check_attributes,
    check_server,
    check_tcb,
    status_from_text,
)
from guest.protocol.errors import MalformedInput, Reason, Refused

__all__ = [
    "Appraisal",
    "QuotePolicy",
    "VerifiedQuote",
    "platform_family",
    "verify_any_quote",
    "verify_quote",
]

_MAX_TIME = 1 << 40
_PLATFORM_CHAIN = 2


@dataclass(frozen=True, slots=True)
class VerifiedQuote:
    """A TDX quote that passed everything here, under one root, at one time, by one policy.

    Registers and `mr_seam` have 48 bytes, `report_data` 64, `ppid` 16, `fmspc` 6. Times in Unix
    seconds: the oldest issue date of the collateral, and when the first part of the evidence lapses.
    Only this module makes one.
    """

    tee_type: int
    mr_seam: bytes
    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    td_attributes: int
    xfam: int
    tcb_status: TcbStatus
    advisory_ids: frozenset[str]
    tcb_evaluation_number: int
    ppid: bytes
    fmspc: bytes
    root: AttestationRoot
    collateral_issued: int
    earliest_expiration: int


@dataclass(frozen=True, slots=True)
class Appraisal:
    """An authentic quote of either kind, for people: with its refusal, if policy has one.

    `quote` is None for SGX. Nothing admits a node by an appraisal: it is no `VerifiedQuote`.
    """

    quote: UnverifiedQuote | None
    status: str
    advisory_ids: frozenset[str]
    tcb_evaluation_number: int
    ppid: bytes
    fmspc: bytes
    collateral_issued: int
    earliest_expiration: int
    refusal: Refused | None


def verify_quote(
    quote: bytes,
    collateral: Collateral,
    *,
    now: int,
    policy: QuotePolicy,
    root: AttestationRoot,
) -> VerifiedQuote:
    """Verify a TDX quote at Unix time `now` under Intel's or the development root.

    Raises `Refused` with one reason, or `MalformedInput` when bytes do not parse.
    """
    if root.name is RootName.OTHER:
        raise Refused(Reason.QUOTE_WRONG_ROOT, "only a known root admits a node")
    decoded = decode_quote(quote)
    found = _appraise(quote, decoded, collateral, now=now, policy=policy, root=root)
    if found.refusal is not None:
        raise found.refusal
    return VerifiedQuote(
        tee_type=TEE_TDX,
        mr_seam=decoded.mr_seam,
        mrtd=decoded.mrtd,
        rtmr0=decoded.rtmr0,
        rtmr1=decoded.rtmr1,
        rtmr2=decoded.rtmr2,
        rtmr3=decoded.rtmr3,
        report_data=decoded.report_data,
        td_attributes=decoded.td_attributes,
        xfam=decoded.xfam,
        tcb_status=status_from_text(found.status),
        advisory_ids=found.advisory_ids,
        tcb_evaluation_number=found.tcb_evaluation_number,
        ppid=found.ppid,
        fmspc=found.fmspc,
        root=root,
        collateral_issued=found.collateral_issued,
        earliest_expiration=found.earliest_expiration,
    )


def verify_any_quote(
    quote: bytes,
    collateral: Collateral,
    *,
    now: int,
    policy: QuotePolicy,
    root: AttestationRoot,
    accept_sgx: bool = False,
) -> Appraisal:
    """Appraise a TDX or SGX quote under any root, for an auditor.

    The checks are those of `verify_quote`, but what only policy refuses is returned with the facts
    and not raised. An SGX quote is refused as `QUOTE_NOT_TDX` unless `accept_sgx`; then its enclave's
    identity is the reader's to judge.
    """
    decoded = None if is_sgx(quote) else decode_quote(quote)
    found = _appraise(quote, decoded, collateral, now=now, policy=policy, root=root)
    if decoded is None and not accept_sgx:
        return replace(found, refusal=Refused(Reason.QUOTE_NOT_TDX, "this is an SGX quote"))
    return found


def platform_family(quote: bytes) -> tuple[bytes, str]:
    """Return FMSPC (6 bytes) and CA (`platform` or `processor`) that a TDX quote claims.

    They say which collateral to fetch, and nothing is verified. Raises `MalformedInput`, `Refused`.
    """
    return family(decode_quote(quote).exact)


def _appraise(
    quote: bytes,
    decoded: UnverifiedQuote | None,
    collateral: Collateral,
    *,
    now: int,
    policy: QuotePolicy,
    root: AttestationRoot,
) -> Appraisal:
    if not 0 <= now < _MAX_TIME:
        raise Refused(Reason.QUOTE_COLLATERAL_EXPIRED, "time is out of range", got=now)
    if len(quote) > MAX_QUOTE:
        raise MalformedInput("quote is too large", got=len(quote), expected=f"<= {MAX_QUOTE}")
    encode_collateral(collateral)
    if decoded is not None:
        chain = anchored(decode_chain(decoded.certificates), root, "the quote")
        if len(chain) != _PLATFORM_CHAIN:
            raise MalformedInput("the quote's chain is not leaf and CA", got=len(chain), expected=2)
        quote = decoded.exact
    collateral = with_canonical_chains(collateral, root)
    claims = authenticate(quote, collateral, now=now, root=root.der)
    if claims.root_key_id != root.key_id:
        raise Refused(Reason.QUOTE_WRONG_ROOT, "the quote ends in another root")
    check_signers(collateral, root)
    issued = _check_dates(collateral, claims, now)
    _check_platform(collateral, claims)
    if decoded is not None:
        _check_same_fields(decoded, claims)
    refusal = None
    try:
        _judge(decoded, claims, policy, now - issued)
    except Refused as error:
        refusal = error
    return Appraisal(
        quote=decoded,
        status=claims.status,
        advisory_ids=claims.advisories,
        tcb_evaluation_number=claims.evaluation_number,
        ppid=claims.ppid,
        fmspc=claims.fmspc,
        collateral_issued=issued,
        earliest_expiration=claims.earliest_expiration,
        refusal=refusal,
    )


def _check_same_fields(quote: UnverifiedQuote, claims: Claims) -> None:
    """Demand that our reading of the report and the library's are one, field by field."""
    ours = {
        "tee_tcb_svn": quote.tee_tcb_svn,
        "mr_seam": quote.mr_seam,
        "mr_signer_seam": quote.mr_signer_seam,
        "seam_attributes": quote.seam_attributes,
        "td_attributes": quote.td_attributes.to_bytes(8, "little"),
        "xfam": quote.xfam.to_bytes(8, "little"),
        "mr_td": quote.mrtd,
        "mr_config_id": quote.mr_config_id,
        "mr_owner": quote.mr_owner,
        "mr_owner_config": quote.mr_owner_config,
        "rt_mr0": quote.rtmr0,
        "rt_mr1": quote.rtmr1,
        "rt_mr2": quote.rtmr2,
        "rt_mr3": quote.rtmr3,
        "report_data": quote.report_data,
    }
    if claims.tee_type != TEE_TDX or any(
        claims.report.get(name) != value.hex() for name, value in ours.items()
    ):
        raise Refused(Reason.QUOTE_INVALID, "two readings of the quote differ")


def _judge(quote: UnverifiedQuote | None, claims: Claims, policy: QuotePolicy, age: int) -> None:
    if quote is not None:
        check_attributes(quote)
        check_server(claims)
    if age > policy.max_collateral_age:
        raise Refused(
            Reason.QUOTE_COLLATERAL_OLD,
            "collateral is too old",
            got=f"{age} s",
            expected=f"<= {policy.max_collateral_age} s",
            mend="Fetch it again.",
        )
    check_tcb(claims, policy)


def _check_dates(collateral: Collateral, claims: Claims, now: int) -> int:
    """Check the window of all evidence at `now`; return the oldest issue date of what changes often.

    That is TCB info, QE identity and the PCK CRL; the root's CRL is issued once a year.
    """
    if claims.latest_issue > now or claims.earliest_expiration <= now:
        raise Refused(
            Reason.QUOTE_COLLATERAL_EXPIRED,
            "part of the evidence is not valid at this time",
            got=now,
            expected=f"{claims.latest_issue} to {claims.earliest_expiration}",
        )
    return min(
        issued_at(collateral.tcb_info),
        issued_at(collateral.qe_identity),
        crl_issued_at(collateral.pck_crl),
    )


def _check_platform(collateral: Collateral, claims: Claims) -> None:
    """Compare the PCE of the TCB info; the library compares only the FMSPC."""
    pce_id = signed_text(collateral.tcb_info, "pceId")
    if pce_id.lower() != claims.pce_id.hex():
        raise Refused(
            Reason.QUOTE_INVALID, "TCB info is for another PCE", got=pce_id, expected=claims.pce_id
        )
