"""A verified quote admits only what it says: this message, this image, before the seal."""

import pytest

from guest.evidence.eventlog import Event, replay
from guest.evidence.policy import check_join_quote
from guest.evidence.tcb import QuotePolicy, status_from_text
from guest.protocol.digests import measurement_id
from guest.protocol.errors import Misconfigured, Reason, Refused
from host.devplatform.tdquote import TdReport
from tests.unit.evidence.attempts import Attempt

MRTD, RTMRS = b"\x01" * 48, (b"\x02" * 48, b"\x03" * 48, b"\x04" * 48, bytes(48))
WANTED = bytes(range(64))
IMAGE = measurement_id(0x81, MRTD, *RTMRS[:3])


def _checked(
    good: Attempt,
    *,
    wanted: bytes = WANTED,
    image: bytes = IMAGE,
    log: tuple[Event, ...] = (),
    **report: object,
) -> None:
    quote = good.but(
        report=TdReport(**({"report_data": WANTED, "mrtd": MRTD, "rtmrs": RTMRS} | report))
    ).verify()
    check_join_quote(quote, report_data=wanted, measurement_id=image, event_log=log)


def _reason(good: Attempt, **changes: object) -> Reason:
    with pytest.raises(Refused) as caught:
        _checked(good, **changes)
    return caught.value.reason


def test_the_right_quote_joins(good: Attempt) -> None:
    _checked(good)


@pytest.mark.parametrize("at", [0, 31, 32, 63])
def test_g4_every_byte_of_report_data_is_compared(good: Attempt, at: int) -> None:
    changed = WANTED[:at] + bytes([WANTED[at] ^ 1]) + WANTED[at + 1 :]
    assert _reason(good, wanted=changed) is Reason.QUOTE_REPORT_DATA


@pytest.mark.parametrize("wanted", [b"", WANTED[:32], WANTED + b"\0"])
def test_g4_report_data_of_another_length_never_matches(good: Attempt, wanted: bytes) -> None:
    assert _reason(good, wanted=wanted) is Reason.QUOTE_REPORT_DATA


@pytest.mark.parametrize("which", ["mrtd", 0, 1, 2])
def test_s2_genuine_hardware_with_another_image_is_refused(good: Attempt, which: str | int) -> None:
    other = b"\xee" * 48
    if which == "mrtd":
        assert _reason(good, mrtd=other) is Reason.QUOTE_MEASUREMENT
    else:
        rtmrs = tuple(other if i == which else r for i, r in enumerate(RTMRS))
        assert _reason(good, rtmrs=rtmrs) is Reason.QUOTE_MEASUREMENT


def test_an_image_that_the_message_does_not_name_is_refused(good: Attempt) -> None:
    assert _reason(good, image=bytes(32)) is Reason.QUOTE_MEASUREMENT


@pytest.mark.parametrize("which", ["mrtd", 0, 1, 2])
def test_finding_559_an_unset_register_is_refused_even_if_it_is_asked_for(
    good: Attempt, which: str | int
) -> None:
    mrtd = bytes(48) if which == "mrtd" else MRTD
    rtmrs = tuple(bytes(48) if i == which else r for i, r in enumerate(RTMRS))
    image = measurement_id(0x81, mrtd, *rtmrs[:3])
    assert _reason(good, mrtd=mrtd, rtmrs=rtmrs, image=image) is Reason.QUOTE_MEASUREMENT


def test_a_quote_that_an_app_asked_for_after_the_seal_is_refused(good: Attempt) -> None:
    sealed = (Event("replicatoor-sealed", b""),)
    rtmrs = (*RTMRS[:3], replay(sealed))
    assert _reason(good, rtmrs=rtmrs) is Reason.QUOTE_RTMR3
    assert _reason(good, rtmrs=rtmrs, log=sealed) is Reason.QUOTE_RTMR3


def test_finding_1430_a_log_that_disagrees_with_its_register_is_refused(good: Attempt) -> None:
    assert _reason(good, log=(Event("x", b""),)) is Reason.QUOTE_EVENT_LOG


@pytest.mark.parametrize(
    "values",
    [
        {"allowed_statuses": frozenset()},
        {"allowed_statuses": frozenset({"any"})},
        {"allowed_statuses": frozenset({"*"})},
        {"allowed_statuses": frozenset({"uptodate"})},
        {"allowed_statuses": frozenset({"Revoked"})},
        {"allowed_advisories": frozenset({"any"})},
        {"allowed_advisories": frozenset({"INTEL-SA-*"})},
        {"allowed_advisories": frozenset({""})},
        {"evaluation_floor": -1},
        {"evaluation_floor": 1 << 32},
        {"max_collateral_age": 0},
        {"max_collateral_age": False},
        {"max_collateral_age": 401 * 24 * 3600},
    ],
    ids=str,
)
def test_findings_607_608_609_no_value_of_a_policy_switches_a_check_off(
    values: dict[str, object],
) -> None:
    with pytest.raises(Misconfigured):
        QuotePolicy(**values)


@pytest.mark.parametrize("text", ["Revoked", "", "OK", "SW_HARDENING_NEEDED"])
def test_an_unknown_status_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        status_from_text(text)
    assert caught.value.reason is Reason.QUOTE_TCB_STATUS
