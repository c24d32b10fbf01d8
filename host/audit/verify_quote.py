"""`replicatoor verify quote`: one quote judged with the collateral given, offline.

Owns the arguments and the answer of that command. The judgement is `guest.evidence.dcap`, the very
call by which guests admit nodes; this file only loosens its policy where a flag says so.
"""

import argparse
import binascii
import time
from dataclasses import dataclass
from pathlib import Path

from guest.evidence.collateral import from_json
from guest.evidence.dcap import Appraisal, verify_any_quote
from guest.evidence.roots import INTEL, AttestationRoot, root_for_audit
from guest.evidence.tcb import QuotePolicy, TcbStatus
from guest.protocol.digests import measurement_id
from guest.protocol.errors import MalformedInput, Misconfigured, ReplicatoorError

_MAX_FILE = 256 * 1024
_DAY = 24 * 3600
_TEE_TDX = 0x81
MALFORMED = "malformed-input"


@dataclass(frozen=True, slots=True)
class QuoteMeasurements:
    """What a TDX quote measures, as hex. `measurement_id` is how a contract knows the image."""

    measurement_id: str
    mrtd: str
    rtmr0: str
    rtmr1: str
    rtmr2: str
    rtmr3: str
    report_data: str
    mr_seam: str
    td_attributes: str
    xfam: str


@dataclass(frozen=True, slots=True)
class QuoteVerdict:
    """The answer. Fields that could not be learned are None; `status` stands for every genuine quote.

    `reason` is a code and `detail` the line that explains it; both are None when accepted.
    """

    accepted: bool
    status: str | None = None
    advisories: tuple[str, ...] = ()
    tee: str | None = None
    root: str | None = None
    tcb_evaluation_number: int | None = None
    fmspc: str | None = None
    ppid: str | None = None
    collateral_issued: int | None = None
    earliest_expiration: int | None = None
    measurements: QuoteMeasurements | None = None
    reason: str | None = None
    detail: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments. The policy is the strict one; each flag loosens one part."""
    parser.add_argument("file", type=Path, metavar="FILE", help="quote, raw or hex")
    parser.add_argument("--collateral", type=Path, required=True, metavar="FILE", help="JSON")
    parser.add_argument("--now", type=int, metavar="UNIX", help="time to judge at (default: now)")
    parser.add_argument("--root", type=Path, metavar="DER_FILE", help="trust anchor (Intel's)")
    parser.add_argument(
        "--allow-status",
        action="append",
        default=[],
        choices=[status.value for status in TcbStatus],
        help="accept this TCB status too; may be repeated",
    )
    parser.add_argument(
        "--allow-advisory",
        action="append",
        default=[],
        metavar="INTEL-SA-NNNNN",
        help="accept this open advisory; may be repeated",
    )
    parser.add_argument("--allow-sgx", action="store_true", help="accept an SGX quote")
    parser.add_argument(
        "--min-evaluation-number", type=int, default=0, metavar="N", help="TCB floor (default: 0)"
    )
    parser.add_argument(
        "--max-collateral-age",
        type=int,
        default=30,
        metavar="DAYS",
        help="default: 30, the life that the issuer gives it; guests demand 7 to admit a node",
    )
    for flag in ("dynamic-platform", "cached-keys", "smt"):
        parser.add_argument(f"--refuse-{flag}", action="store_true", help=f"refuse {flag}")


def run(arguments: argparse.Namespace) -> tuple[int, QuoteVerdict]:
    """Judge the quote: exit code 0 and an accepting verdict, or 1 and a reason.

    Raises `Misconfigured` (exit code 2) for a flag whose value makes no sense.
    """
    policy = _policy(arguments)
    try:
        root = _root(arguments.root)
        found = verify_any_quote(
            _quote(_read(arguments.file)),
            from_json(_read(arguments.collateral)),
            now=int(time.time()) if arguments.now is None else arguments.now,
            policy=policy,
            root=root,
            accept_sgx=arguments.allow_sgx,
        )
    except ReplicatoorError as error:
        reason = str(error.reason or MALFORMED)
        return 1, QuoteVerdict(accepted=False, reason=reason, detail=str(error))
    verdict = _verdict(found, root)
    return 0 if verdict.accepted else 1, verdict


def _policy(arguments: argparse.Namespace) -> QuotePolicy:
    return QuotePolicy(
        allowed_statuses=frozenset({TcbStatus.UP_TO_DATE, *arguments.allow_status}),
        allowed_advisories=frozenset(arguments.allow_advisory),
        evaluation_floor=arguments.min_evaluation_number,
        max_collateral_age=arguments.max_collateral_age * _DAY,
        allow_dynamic_platform=not arguments.refuse_dynamic_platform,
        allow_cached_keys=not arguments.refuse_cached_keys,
        allow_smt=not arguments.refuse_smt,
    )


def _root(path: Path | None) -> AttestationRoot:
    return INTEL if path is None else root_for_audit(_read(path))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise Misconfigured(
            f"cannot read {path.name}", got=error.strerror, mend="Check the path."
        ) from None
    if len(data) > _MAX_FILE:
        raise MalformedInput(f"{path.name} is too large", expected=f"<= {_MAX_FILE} bytes")
    return data


def _quote(data: bytes) -> bytes:
    """Return the raw quote: a file whose text is hex is decoded, all else is taken as it is."""
    text = data.strip().removeprefix(b"0x")
    try:
        return binascii.unhexlify(text) if text else data
    except ValueError:
        return data


def _verdict(found: Appraisal, root: AttestationRoot) -> QuoteVerdict:
    refusal = found.refusal
    return QuoteVerdict(
        accepted=refusal is None,
        status=found.status,
        advisories=tuple(sorted(found.advisory_ids)),
        tee="sgx" if found.quote is None else "tdx",
        root=root.name.value,
        tcb_evaluation_number=found.tcb_evaluation_number,
        fmspc=found.fmspc.hex(),
        ppid=found.ppid.hex(),
        collateral_issued=found.collateral_issued,
        earliest_expiration=found.earliest_expiration,
        measurements=_measurements(found),
        reason=None if refusal is None else str(refusal.reason),
        detail=None if refusal is None else str(refusal),
    )


def _measurements(found: Appraisal) -> QuoteMeasurements | None:
    quote = found.quote
    if quote is None:
        return None
    measured = (quote.mrtd, quote.rtmr0, quote.rtmr1, quote.rtmr2)
    return QuoteMeasurements(
        measurement_id="0x" + measurement_id(_TEE_TDX, *measured).hex(),
        mrtd=quote.mrtd.hex(),
        rtmr0=quote.rtmr0.hex(),
        rtmr1=quote.rtmr1.hex(),
        rtmr2=quote.rtmr2.hex(),
        rtmr3=quote.rtmr3.hex(),
        report_data=quote.report_data.hex(),
        mr_seam=quote.mr_seam.hex(),
        td_attributes=f"{quote.td_attributes:#018x}",
        xfam=f"{quote.xfam:#018x}",
    )
