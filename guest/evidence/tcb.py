"""What we accept of a platform that is genuine: statuses, advisories, age, attributes.

Owns the policy record and the allow-lists in code. Every relaxation is one named field with a closed
set of values; there is no value that means "any" and none that switches a check off.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from guest.evidence.claims import Claims
from guest.evidence.quote import UnverifiedQuote
from guest.protocol.errors import Misconfigured, Reason, Refused

_DAY = 24 * 3600
_ADVISORY = re.compile(r"INTEL-(SA|DOC)-[0-9]{5}")
_DEBUG = 0x71
"""TDATTRIBUTES: bit 0 DEBUG, bits 4 to 6 profiling. Each lets the host look into the TD."""

TD_ATTRIBUTES = frozenset({1 << 28})
"""SEPT_VE_DISABLE and nothing else: what every production TD we have seen runs with. Without it the
host can raise #VE at places of its choice. A migratable TD or one with service TDs is not alone."""

XFAM_REQUIRED = 0x3
"""x87 and SSE: bits 0 and 1 are fixed to 1 (TDX module specification, XFAM)."""
XFAM_ALLOWED = 0x65AE7
"""What real TDs use: AVX, AVX-512, PKRU, CET, user interrupts, AMX. No processor trace (8) and no
last branch records (15), which observe the guest."""

SCALABLE_PLATFORMS = frozenset({1, 2})
"""SGX types with TDX: scalable, and scalable with integrity. Type 0 is a client platform."""


class TcbStatus(StrEnum):
    """Statuses that a policy may allow (Intel PCS). Revoked is not among them."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    TD_RELAUNCH_ADVISED = "TDRelaunchAdvised"
    TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED = "TDRelaunchAdvisedConfigurationNeeded"


@dataclass(frozen=True, slots=True)
class QuotePolicy:
    """Strict unless told otherwise, field by field.

    Ages in seconds. `evaluation_floor` is the floor below which older, unexpired collateral
    may not be replayed: it rises with each TCB recovery, so the network file names it. The three
    platform flags are allowed by default: every server with TDX that we have seen has all three set.
    """

    allowed_statuses: frozenset[str] = frozenset({TcbStatus.UP_TO_DATE})
    allowed_advisories: frozenset[str] = frozenset()
    evaluation_floor: int = 0
    max_collateral_age: int = 7 * _DAY
    allow_dynamic_platform: bool = True
    allow_cached_keys: bool = True
    allow_smt: bool = True

    def __post_init__(self) -> None:
        if not self.allowed_statuses:
            raise Misconfigured("a TCB policy allows no status")
        for status in self.allowed_statuses:
            if status not in frozenset(TcbStatus):
                raise Misconfigured(
                    "unknown TCB status in a policy", got=status, expected=", ".join(TcbStatus)
                )
        for advisory in self.allowed_advisories:
            if not _ADVISORY.fullmatch(advisory):
                raise Misconfigured(
                    "unknown advisory in a policy", got=advisory, expected="INTEL-SA-00000"
                )
        if not 0 <= self.evaluation_floor < 1 << 32:
            raise Misconfigured("TCB floor out of range", got=self.evaluation_floor)
        if not 0 < self.max_collateral_age <= 400 * _DAY:
            raise Misconfigured("collateral age out of range", got=self.max_collateral_age)


STRICT = QuotePolicy()


def status_from_text(text: str) -> TcbStatus:
    """Return the status that a library or a user named; refuses Revoked and what we do not know."""
    try:
        return TcbStatus(text)
    except ValueError:
        raise Refused(Reason.QUOTE_TCB_STATUS, "unknown TCB status", got=text) from None


def check_attributes(quote: UnverifiedQuote) -> None:
    """Refuse a TD that the host can watch or that is not alone. Raises `Refused`.

    MRCONFIGID, MROWNER and MROWNERCONFIG are the host's to choose, MRSIGNERSEAM is zero for Intel's
    TDX module, and service TDs could migrate or change the TD.
    """
    if quote.td_attributes & _DEBUG:
        raise Refused(
            Reason.QUOTE_DEBUG,
            "the host can debug or profile this TD",
            got=hex(quote.td_attributes),
        )
    if quote.td_attributes not in TD_ATTRIBUTES:
        raise Refused(
            Reason.QUOTE_ATTRIBUTES,
            "TD attributes are not allowed",
            got=hex(quote.td_attributes),
            expected=", ".join(map(hex, sorted(TD_ATTRIBUTES))),
        )
    if quote.xfam & ~XFAM_ALLOWED or quote.xfam & XFAM_REQUIRED != XFAM_REQUIRED:
        raise Refused(
            Reason.QUOTE_XFAM,
            "extended features are not allowed",
            got=hex(quote.xfam),
            expected=f"bits within {XFAM_ALLOWED:#x}",
        )
    for name, value in (
        ("MRSIGNERSEAM", quote.mr_signer_seam),
        ("MRCONFIGID", quote.mr_config_id),
        ("MROWNER", quote.mr_owner),
        ("MROWNERCONFIG", quote.mr_owner_config),
        ("a service TD field", quote.service_td),
        ("VMID", quote.vm.to_bytes(1, "big")),
    ):
        if any(value):
            raise Refused(Reason.QUOTE_ZERO_FIELDS, f"{name} is not zero", got=value)


def check_tcb(claims: Claims, policy: QuotePolicy) -> None:
    """Refuse a platform whose TCB the policy does not allow. Raises `Refused`."""
    if claims.evaluation_number < policy.evaluation_floor:
        raise Refused(
            Reason.QUOTE_TCB_FLOOR,
            "TCB evaluation data number is too low",
            got=claims.evaluation_number,
            expected=f">= {policy.evaluation_floor}",
        )
    for status in claims.statuses:
        if status_from_text(status) not in policy.allowed_statuses:
            raise Refused(
                Reason.QUOTE_TCB_STATUS,
                "TCB status is not allowed",
                got=status,
                expected=", ".join(sorted(policy.allowed_statuses)),
            )
    unknown = claims.advisories - policy.allowed_advisories
    if unknown:
        raise Refused(Reason.QUOTE_ADVISORY, "advisories are open", got=", ".join(sorted(unknown)))
    flags = (
        ("dynamic platform", claims.dynamic_platform, policy.allow_dynamic_platform),
        ("cached keys", claims.cached_keys, policy.allow_cached_keys),
        ("SMT", claims.smt, policy.allow_smt),
    )
    for name, found, allowed in flags:
        if found and not allowed:
            raise Refused(Reason.QUOTE_TCB_STATUS, f"{name} is not allowed")


def check_server(claims: Claims) -> None:
    """Refuse a TDX quote from a machine that is no server platform. Raises `Refused`."""
    if claims.platform_type not in SCALABLE_PLATFORMS:
        raise Refused(Reason.QUOTE_TCB_STATUS, "not a server platform", got=claims.platform_type)
