"""Intel's real samples come out as their table says, by the call that admits nodes."""

import json

import pytest

from guest.evidence.collateral import from_json
from guest.evidence.dcap import Appraisal, platform_family, verify_any_quote, verify_quote
from guest.evidence.quote import Body, decode_quote
from guest.evidence.roots import INTEL, root_from_der
from guest.evidence.tcb import STRICT, QuotePolicy, TcbStatus
from guest.protocol.errors import Reason, Refused
from tests.unit.evidence.attempts import Samples

CASES = [
    "tdx_v4_td10",
    "tdx_v4_td10_expired",
    "sgx_v3",
    "sgx_v3_expired",
    "tdx_v5_td15_no_level",
    "tdx_v4_tampered_report_data",
]
REASONS = {
    "tdx_v4_td10_expired": Reason.QUOTE_COLLATERAL_EXPIRED,
    "sgx_v3_expired": Reason.QUOTE_COLLATERAL_EXPIRED,
    "tdx_v5_td15_no_level": Reason.QUOTE_TCB_STATUS,
    "tdx_v4_tampered_report_data": Reason.QUOTE_INVALID,
}
RELAXED = QuotePolicy(
    allowed_statuses=frozenset(TcbStatus),
    allowed_advisories=frozenset({"INTEL-SA-00289", "INTEL-SA-00615"}),
    max_collateral_age=30 * 24 * 3600,
)


def test_the_table_holds_the_cases_we_know(data: bytes) -> None:
    assert sorted(json.loads((data / "expected.json").read_text())) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_sample_comes_out_as_its_table_says(data: bytes, name: str) -> None:
    case = json.loads((data / "expected.json").read_text())[name]
    quote = (data / case["quote"]).read_bytes()
    collateral = from_json((data / case["collateral"]).read_bytes())
    root = root_from_der((data / "intel_sgx_root_ca.der").read_bytes())
    assert root is INTEL

    def appraise() -> Appraisal:
        return verify_any_quote(
            quote, collateral, now=case["now"], policy=RELAXED, root=root, accept_sgx=True
        )

    if case["expect"] != "reject":
        found = appraise()
        assert (found.status, found.refusal) == (case["expect"], None)
        return
    with pytest.raises(Refused, match=case["error_contains"]) as caught:
        appraise()
    assert caught.value.reason is REASONS[name]


def test_the_strict_policy_admits_the_real_tdx_sample_while_its_collateral_is_young(
    sample: Samples,
) -> None:
    real, issued = sample("tdx_quote"), 1750327563
    found = verify_quote(real.quote, real.collateral, now=issued + 3600, policy=STRICT, root=INTEL)
    assert found.tcb_status == "UpToDate"
    assert found.tcb_evaluation_number == 17
    assert found.fmspc.hex() == "b0c06f000000"
    assert found.ppid.hex() == "811dca2a26b952e85bb6448b097ba4fd"


def test_the_strict_policy_refuses_the_same_sample_when_its_collateral_is_a_fortnight_old(
    sample: Samples,
) -> None:
    real = sample("tdx_quote")
    with pytest.raises(Refused) as caught:
        verify_quote(real.quote, real.collateral, now=1751624191, policy=STRICT, root=INTEL)
    assert caught.value.reason is Reason.QUOTE_COLLATERAL_OLD


def test_an_sgx_quote_admits_nobody_whatever_the_policy(sample: Samples) -> None:
    real = sample("sgx_quote")
    with pytest.raises(Refused) as caught:
        verify_quote(real.quote, real.collateral, now=1751624924, policy=RELAXED, root=INTEL)
    assert caught.value.reason is Reason.QUOTE_NOT_TDX


def test_an_sgx_quote_is_not_acceptable_to_an_auditor_unless_he_says_so(sample: Samples) -> None:
    real = sample("sgx_quote")
    found = verify_any_quote(
        real.quote, real.collateral, now=1751624924, policy=RELAXED, root=INTEL
    )
    assert found.status == "ConfigurationAndSWHardeningNeeded"
    assert found.refusal is not None
    assert found.refusal.reason is Reason.QUOTE_NOT_TDX


def test_an_sgx_quote_still_answers_to_the_tcb_policy(sample: Samples) -> None:
    real = sample("sgx_quote")
    young = QuotePolicy(max_collateral_age=30 * 24 * 3600)
    found = verify_any_quote(
        real.quote, real.collateral, now=1751624924, policy=young, root=INTEL, accept_sgx=True
    )
    assert found.refusal is not None
    assert found.refusal.reason is Reason.QUOTE_TCB_STATUS


@pytest.mark.parametrize("name", ["tdx-quote.hex", "quote-from-tappd.hex"])
def test_samples_without_collateral_decode(data: bytes, name: str) -> None:
    text = (data / name).read_text().strip().removeprefix("0x")
    quote = decode_quote(bytes.fromhex(text))
    assert (quote.version, quote.body) == (4, Body.TD10)
    assert quote.td_attributes == 1 << 28


def test_real_quotes_carry_zero_padding_which_is_no_part_of_them(sample: Samples) -> None:
    quote = sample("tdx_quote").quote
    decoded = decode_quote(quote)
    assert len(quote) == 5006
    assert decoded.exact == quote[:4936]
    assert decode_quote(decoded.exact) == decoded


def test_real_quotes_name_their_platform_family(sample: Samples) -> None:
    assert platform_family(sample("tdx_quote").quote) == (bytes.fromhex("b0c06f000000"), "platform")
