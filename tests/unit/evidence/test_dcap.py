"""Every way in which a quote that looks right must still be refused, on simulated hardware."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guest.evidence import certificates, dcap
from guest.evidence.claims import Claims, authenticate
from guest.evidence.collateral import Collateral
from guest.evidence.dcap import verify_quote
from guest.evidence.quote import decode_quote
from guest.evidence.roots import DEVELOPMENT, INTEL, AttestationRoot, root_for_audit
from guest.evidence.tcb import STRICT, QuotePolicy, TcbStatus
from guest.protocol.errors import MalformedInput, Reason, Refused
from host.devplatform import pki
from host.devplatform.make_root import CERTIFICATE_FILE, make_root
from host.devplatform.pki import Issuer, Machine
from host.devplatform.tcbdata import Revoked, Scenario
from host.devplatform.tdquote import TD10, TD15, TD15_EX, QuotingEnclave, TdReport
from tests.unit.evidence.attempts import Attempt, Samples

BODIES = [(4, TD10), (5, TD10), (5, TD15), (5, TD15_EX)]
DAY = 24 * 3600


@pytest.mark.parametrize(("version", "body"), BODIES)
def test_a_good_quote_of_every_body_is_verified(good: Attempt, version: int, body: int) -> None:
    report = TdReport(report_data=b"\xaa" * 64, mrtd=b"\xbb" * 48)
    found = good.but(version=version, body=body, report=report).verify()
    assert found.tcb_status == "UpToDate"
    assert found.advisory_ids == frozenset()
    assert found.tee_type == 0x81
    assert (found.report_data, found.mrtd) == (b"\xaa" * 64, b"\xbb" * 48)
    assert (found.rtmr0, found.rtmr1, found.rtmr2, found.rtmr3) == report.rtmrs
    assert found.mr_seam == report.mr_seam
    assert found.root is DEVELOPMENT
    assert found.fmspc.hex() == "00dead00beef"
    assert found.ppid == Machine().ppid
    assert found.tcb_evaluation_number == 20
    assert found.collateral_issued == good.now - 3600
    assert found.earliest_expiration == good.now - 3600 + 30 * DAY


# -- roots ------------------------------------------------------------------------------------------


def test_a_simulated_quote_is_refused_under_intels_root(good: Attempt) -> None:
    assert good.but(root=INTEL).refused() is Reason.QUOTE_WRONG_ROOT


def test_a_real_quote_is_refused_under_the_development_root(sample: Samples) -> None:
    real = sample("tdx_quote")
    with pytest.raises(Refused) as caught:
        dcap.verify_quote(
            real.quote, real.collateral, now=1751624191, policy=STRICT, root=DEVELOPMENT
        )
    assert caught.value.reason is Reason.QUOTE_WRONG_ROOT


def test_a_real_quote_with_simulated_collateral_is_refused_under_either_root(
    good: Attempt, sample: Samples
) -> None:
    real = sample("tdx_quote").quote
    for root in (INTEL, DEVELOPMENT):
        assert good.but(edit_quote=lambda _: real, root=root).refused() is Reason.QUOTE_WRONG_ROOT


def test_a_simulated_quote_with_real_collateral_is_refused_under_either_root(
    good: Attempt, sample: Samples
) -> None:
    real = sample("tdx_quote").collateral
    for root in (INTEL, DEVELOPMENT):
        attempt = good.but(edit_collateral=lambda _: real, root=root, now=1751624191)
        assert attempt.refused() is Reason.QUOTE_WRONG_ROOT


def test_a_root_whose_name_and_key_disagree_is_refused(good: Attempt) -> None:
    mixed = replace(DEVELOPMENT, key_id=INTEL.key_id)
    assert good.but(root=mixed).refused() is Reason.QUOTE_WRONG_ROOT


def test_a_root_for_audit_never_admits(good: Attempt) -> None:
    other = root_for_audit(pki.platform_authority().chain[0].public_bytes(Encoding.DER))
    assert good.but(root=other).refused() is Reason.QUOTE_WRONG_ROOT


@pytest.fixture
def third_pki(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AttestationRoot]:
    """A whole PKI below a root that nobody knows."""
    made = (pki.root, pki.platform_authority, pki.signer, pki.platform_certificate)
    make_root(tmp_path)
    monkeypatch.setattr(pki, "_DIRECTORY", tmp_path)
    for cached in made:
        cached.cache_clear()
    yield root_for_audit((tmp_path / CERTIFICATE_FILE).read_bytes())
    for cached in made:
        cached.cache_clear()


def test_a_quote_under_a_third_root_can_be_audited_but_never_admits(
    good: Attempt, third_pki: AttestationRoot
) -> None:
    attempt = good.but(root=third_pki)
    assert attempt.appraise().refusal is None
    assert attempt.refused() is Reason.QUOTE_WRONG_ROOT
    for known in (INTEL, DEVELOPMENT):
        assert good.but(root=known).refused() is Reason.QUOTE_WRONG_ROOT


def test_a_chain_without_its_root_is_refused(good: Attempt) -> None:
    def without_root(collateral: Collateral) -> Collateral:
        leaf = certificates.decode_chain(collateral.tcb_info_issuer_chain)[:1]
        return replace(collateral, tcb_info_issuer_chain=certificates.encode_chain(leaf))

    assert good.but(edit_collateral=without_root).refused() is Reason.QUOTE_WRONG_ROOT


def test_a_chain_that_is_only_a_root_is_malformed(good: Attempt) -> None:
    def only_root(collateral: Collateral) -> Collateral:
        return replace(
            collateral, tcb_info_issuer_chain=certificates.encode_chain((DEVELOPMENT.der,))
        )

    assert "no leaf" in good.but(edit_collateral=only_root).malformed()


# -- who signed the collateral ------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["info_signer", "identity_signer"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: pki.platform_certificate(Machine()),
        pki.misnamed_signer,
        pki.indirect_signer,
        pki.two_faced_signer,
    ],
    ids=["a platform's key", "a leaf of another name", "the CA's leaf", "an SGX extension"],
)
def test_collateral_signed_by_another_role_is_refused(
    good: Attempt, part: str, make: Callable[[], Issuer]
) -> None:
    """The library accepts all of these: whoever extracts one machine's key could rate it himself."""
    attempt = good.but(scenario=Scenario(**{part: make()}))
    claims = authenticate(attempt.quote, attempt.collateral, now=attempt.now, root=DEVELOPMENT.der)
    assert claims.status == "UpToDate"
    assert attempt.refused() is Reason.QUOTE_COLLATERAL_SIGNER


def test_a_signer_hidden_behind_another_pem_label_is_refused(good: Attempt) -> None:
    """Parsers differ in the labels they take; the leaf that one judges must be the other's too."""
    forged = good.but(scenario=Scenario(info_signer=pki.platform_certificate(Machine())))
    honest = good.collateral.tcb_info_issuer_chain

    def disguise(collateral: Collateral) -> Collateral:
        hidden = collateral.tcb_info_issuer_chain.replace(b"CERTIFICATE", b"X CERTIFICATE")
        return replace(collateral, tcb_info_issuer_chain=hidden + honest)

    assert "certificate chain" in forged.but(edit_collateral=disguise).malformed()


def test_signed_data_that_was_changed_is_refused(good: Attempt) -> None:
    def relabel(collateral: Collateral) -> Collateral:
        return replace(collateral, tcb_info=collateral.tcb_info.replace(b":20", b":21"))

    assert good.but(edit_collateral=relabel).refused() is Reason.QUOTE_INVALID


# -- revocation and time ------------------------------------------------------------------------------


@pytest.mark.parametrize("revoked", list(Revoked))
def test_a_revoked_certificate_is_refused(good: Attempt, revoked: Revoked) -> None:
    assert good.but(scenario=Scenario(revoked=revoked)).refused() is Reason.QUOTE_REVOKED


def test_expired_collateral_is_refused(good: Attempt) -> None:
    attempt = good.but(scenario=Scenario(age=31 * DAY))
    assert attempt.refused() is Reason.QUOTE_COLLATERAL_EXPIRED


@pytest.mark.parametrize("part", ["age", "identity_age", "platform_crl_age", "root_crl_age"])
def test_any_part_that_is_expired_is_refused(good: Attempt, part: str) -> None:
    attempt = good.but(scenario=Scenario(**{part: 30 * DAY}))
    assert attempt.refused() is Reason.QUOTE_COLLATERAL_EXPIRED


@pytest.mark.parametrize("part", ["age", "identity_age", "platform_crl_age", "root_crl_age"])
def test_any_part_from_the_future_is_refused(good: Attempt, part: str) -> None:
    """The library lets the issue date of a CRL be days ahead."""
    attempt = good.but(scenario=Scenario(**{part: -60}))
    assert attempt.refused() is Reason.QUOTE_COLLATERAL_EXPIRED


@pytest.mark.parametrize("part", ["age", "identity_age", "platform_crl_age"])
def test_collateral_older_than_a_week_is_refused_though_it_has_not_expired(
    good: Attempt, part: str
) -> None:
    at_most = good.but(scenario=Scenario(**{part: 7 * DAY}))
    assert at_most.verify().collateral_issued == good.now - 7 * DAY
    older = good.but(scenario=Scenario(**{part: 7 * DAY + 1}))
    assert older.refused() is Reason.QUOTE_COLLATERAL_OLD
    relaxed = older.but(policy=QuotePolicy(max_collateral_age=8 * DAY))
    assert relaxed.verify().tcb_status == "UpToDate"


def test_the_roots_crl_may_be_older_since_it_is_issued_once_a_year(good: Attempt) -> None:
    assert good.but(scenario=Scenario(root_crl_age=20 * DAY)).verify()


def test_a_platform_whose_certificate_expired_is_refused(good: Attempt) -> None:
    machine = Machine(number=7, valid_until=datetime.fromtimestamp(good.now - 1, UTC))
    attempt = good.but(enclave=QuotingEnclave(machine), scenario=Scenario(machine=machine))
    assert attempt.refused() is Reason.QUOTE_COLLATERAL_EXPIRED


@pytest.mark.parametrize("now", [-1, 1 << 40, 1 << 64])
def test_a_time_out_of_range_is_refused(good: Attempt, now: int) -> None:
    with pytest.raises(Refused) as caught:
        dcap.verify_quote(good.quote, good.collateral, now=now, policy=STRICT, root=DEVELOPMENT)
    assert caught.value.reason is Reason.QUOTE_COLLATERAL_EXPIRED


# -- the platform's TCB -------------------------------------------------------------------------------

LAUNCH_STATUSES = [
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]


@pytest.mark.parametrize("status", LAUNCH_STATUSES)
def test_each_status_is_refused_until_a_policy_names_it(good: Attempt, status: str) -> None:
    attempt = good.but(scenario=Scenario(status=status))
    assert attempt.refused() is Reason.QUOTE_TCB_STATUS
    allowed = QuotePolicy(allowed_statuses=frozenset({"UpToDate", status}))
    assert attempt.but(policy=allowed).verify().tcb_status == status
    other = QuotePolicy(allowed_statuses=frozenset(set(TcbStatus) - {status}))
    assert attempt.but(policy=other).refused() is Reason.QUOTE_TCB_STATUS


@pytest.mark.parametrize(
    ("launch", "status"),
    [
        ("OutOfDate", "TDRelaunchAdvised"),
        ("OutOfDateConfigurationNeeded", "TDRelaunchAdvisedConfigurationNeeded"),
    ],
)
def test_a_relaunch_advice_is_refused_until_a_policy_names_it(
    good: Attempt, launch: str, status: str
) -> None:
    newer = TdReport(current_svn=bytes([3, 1, 6]) + bytes(13))
    attempt = good.but(
        version=5,
        body=TD15,
        report=newer,
        scenario=Scenario(status=launch, current_status="UpToDate"),
    )
    assert attempt.refused() is Reason.QUOTE_TCB_STATUS
    allowed = QuotePolicy(allowed_statuses=frozenset({"UpToDate", status}))
    assert attempt.but(policy=allowed).verify().tcb_status == status


def test_a_module_that_got_worse_after_launch_does_not_hide_behind_a_good_launch(
    good: Attempt,
) -> None:
    """Intel's rule keeps the launch's status when the current module is the worse one."""
    newer = TdReport(current_svn=bytes([3, 1, 6]) + bytes(13))
    attempt = good.but(
        version=5, body=TD15, report=newer, scenario=Scenario(current_status="OutOfDate")
    )
    assert attempt.appraise().status == "UpToDate"
    assert attempt.refused() is Reason.QUOTE_TCB_STATUS


def test_a_quoting_enclave_that_needs_configuration_does_not_hide_behind_its_platform(
    good: Attempt,
) -> None:
    attempt = good.but(scenario=Scenario(enclave_status="ConfigurationNeeded"))
    assert attempt.appraise().status == "UpToDate"
    assert attempt.refused() is Reason.QUOTE_TCB_STATUS


@pytest.mark.parametrize("part", ["module_status", "enclave_status"])
def test_an_outdated_module_or_enclave_makes_the_platform_outdated(
    good: Attempt, part: str
) -> None:
    attempt = good.but(scenario=Scenario(**{part: "OutOfDate"}))
    assert attempt.appraise().status == "OutOfDate"
    assert attempt.refused() is Reason.QUOTE_TCB_STATUS


@pytest.mark.parametrize("part", ["status", "module_status", "enclave_status"])
def test_a_revoked_tcb_is_refused_whatever_the_policy_allows(good: Attempt, part: str) -> None:
    everything = QuotePolicy(allowed_statuses=frozenset(TcbStatus))
    attempt = good.but(scenario=Scenario(**{part: "Revoked"}), policy=everything)
    assert attempt.refused() is Reason.QUOTE_REVOKED


@pytest.mark.parametrize(
    "scenario",
    [Scenario(pce_svn=12), Scenario(module_isvsvn=4), Scenario(status="TDRelaunchAdvised")],
    ids=["no level", "old module", "a status that no level may have"],
)
def test_a_platform_without_a_tcb_level_is_refused(good: Attempt, scenario: Scenario) -> None:
    assert good.but(scenario=scenario).refused() is Reason.QUOTE_TCB_STATUS


def test_a_module_of_unknown_version_is_refused(good: Attempt) -> None:
    report = TdReport(launch_svn=bytes([3, 2, 5]) + bytes(13))
    assert good.but(report=report).refused() is Reason.QUOTE_TCB_STATUS


@pytest.mark.parametrize("part", ["advisories", "enclave_advisories"])
def test_an_open_advisory_is_refused_until_a_policy_names_it(good: Attempt, part: str) -> None:
    attempt = good.but(scenario=Scenario(**{part: ("INTEL-SA-00615", "INTEL-SA-00289")}))
    assert attempt.refused() is Reason.QUOTE_ADVISORY
    one = QuotePolicy(allowed_advisories=frozenset({"INTEL-SA-00615"}))
    assert attempt.but(policy=one).refused() is Reason.QUOTE_ADVISORY
    both = QuotePolicy(allowed_advisories=frozenset({"INTEL-SA-00615", "INTEL-SA-00289"}))
    assert attempt.but(policy=both).verify().advisory_ids == both.allowed_advisories


def test_an_advisory_of_the_module_now_loaded_is_not_lost(good: Attempt) -> None:
    """The library's verdict lists the launch's advisories only."""
    newer = TdReport(current_svn=bytes([3, 1, 6]) + bytes(13))
    attempt = good.but(
        version=5,
        body=TD15,
        report=newer,
        scenario=Scenario(current_status="UpToDate", current_advisories=("INTEL-SA-01234",)),
    )
    assert attempt.refused() is Reason.QUOTE_ADVISORY


@pytest.mark.parametrize("part", ["evaluation_number", "enclave_evaluation_number"])
def test_collateral_from_before_a_tcb_recovery_is_refused(good: Attempt, part: str) -> None:
    floor = QuotePolicy(evaluation_floor=20)
    assert good.but(policy=floor).verify().tcb_evaluation_number == 20
    replayed = good.but(policy=floor, scenario=Scenario(**{part: 19}))
    assert replayed.refused() is Reason.QUOTE_TCB_FLOOR


@pytest.mark.parametrize(
    "scenario",
    [Scenario(fmspc=bytes(6)), Scenario(pce_id=b"\x00\x01")],
    ids=["another FMSPC", "another PCE"],
)
def test_tcb_info_of_another_platform_is_refused(good: Attempt, scenario: Scenario) -> None:
    assert good.but(scenario=scenario).refused() is Reason.QUOTE_INVALID


@pytest.mark.parametrize("flag", ["dynamic_platform", "cached_keys", "smt"])
def test_a_platform_flag_is_refused_when_a_policy_says_so(good: Attempt, flag: str) -> None:
    strict = QuotePolicy(**{f"allow_{flag}": False})
    assert good.but(policy=strict).refused() is Reason.QUOTE_TCB_STATUS
    machine = Machine(number=8, **{flag: False})
    plain = good.but(policy=strict, enclave=QuotingEnclave(machine))
    assert plain.verify().tcb_status == "UpToDate"


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_only_server_platforms_are_accepted(good: Attempt, kind: int) -> None:
    machine = Machine(number=10 + kind, platform_type=kind)
    attempt = good.but(enclave=QuotingEnclave(machine))
    if kind:
        assert attempt.verify().ppid == machine.ppid
    else:
        assert attempt.refused() is Reason.QUOTE_TCB_STATUS


# -- the TD itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", [0, 4, 5, 6])
def test_a_td_that_the_host_can_debug_or_profile_is_refused(good: Attempt, bit: int) -> None:
    report = TdReport(td_attributes=1 << 28 | 1 << bit)
    assert good.but(report=report).refused() is Reason.QUOTE_DEBUG


@pytest.mark.parametrize("bit", [b for b in range(1, 64) if b not in {4, 5, 6, 28}])
def test_no_other_attribute_is_accepted(good: Attempt, bit: int) -> None:
    report = TdReport(td_attributes=1 << 28 | 1 << bit)
    assert good.but(report=report).refused() is Reason.QUOTE_ATTRIBUTES


def test_a_td_in_which_the_host_can_raise_exceptions_is_refused(good: Attempt) -> None:
    assert good.but(report=TdReport(td_attributes=0)).refused() is Reason.QUOTE_ATTRIBUTES


@pytest.mark.parametrize("xfam", [0, 1, 2, 0x602E7 | 1 << 8, 0x602E7 | 1 << 15, (1 << 64) - 1])
def test_extended_features_outside_the_list_are_refused(good: Attempt, xfam: int) -> None:
    assert good.but(report=TdReport(xfam=xfam)).refused() is Reason.QUOTE_XFAM


@pytest.mark.parametrize("xfam", [0x3, 0x207, 0x600E7, 0x602E7, 0x618E7, 0x642E7, 0x65AE7])
def test_extended_features_of_real_machines_are_accepted(good: Attempt, xfam: int) -> None:
    assert good.but(report=TdReport(xfam=xfam)).verify().xfam == xfam


@pytest.mark.parametrize("name", ["mr_config_id", "mr_owner", "mr_owner_config", "mr_signer_seam"])
def test_a_field_that_must_be_zero_is_refused_when_it_is_not(good: Attempt, name: str) -> None:
    report = TdReport(**{name: bytes(47) + b"\x01"})
    assert good.but(report=report).refused() is Reason.QUOTE_ZERO_FIELDS


@pytest.mark.parametrize("body", [TD15, TD15_EX])
def test_a_td_with_a_service_td_is_refused(good: Attempt, body: int) -> None:
    report = TdReport(mr_service_td=bytes(47) + b"\x01")
    assert good.but(version=5, body=body, report=report).refused() is Reason.QUOTE_ZERO_FIELDS


def test_a_service_td_bound_after_creation_is_refused(good: Attempt) -> None:
    """The library looks at the one bound at creation only."""
    report = TdReport(current_service_td=b"\x01" + bytes(47))
    assert good.but(version=5, body=TD15_EX, report=report).refused() is Reason.QUOTE_ZERO_FIELDS


def test_a_partition_of_a_td_is_refused(good: Attempt) -> None:
    report = TdReport(vm=1)
    assert good.but(version=5, body=TD15_EX, report=report).refused() is Reason.QUOTE_ZERO_FIELDS


# -- forged bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "body"), BODIES)
def test_every_changed_byte_before_the_certificates_is_refused(
    good: Attempt, version: int, body: int
) -> None:
    """The library lets the outer certification type change; here no flip survives."""
    attempt = good.but(version=version, body=body)
    quote, collateral = attempt.quote, attempt.collateral
    end = quote.index(b"-----BEGIN")
    for at in range(0, end, 7 if body == TD10 else 23):
        changed = quote[:at] + bytes([quote[at] ^ 0x40]) + quote[at + 1 :]
        with pytest.raises((Refused, MalformedInput)):
            dcap.verify_quote(changed, collateral, now=attempt.now, policy=STRICT, root=DEVELOPMENT)


def test_the_certificates_in_a_quote_have_no_free_bytes(good: Attempt) -> None:
    quote, collateral = good.quote, good.collateral
    start = quote.index(b"-----BEGIN")
    for at in range(start, len(quote), 41):
        changed = quote[:at] + bytes([quote[at] ^ 0x01]) + quote[at + 1 :]
        with pytest.raises((Refused, MalformedInput)):
            dcap.verify_quote(changed, collateral, now=good.now, policy=STRICT, root=DEVELOPMENT)


def test_a_quote_without_its_intermediate_certificate_is_malformed(good: Attempt) -> None:
    def thin_out(quote: bytes) -> bytes:
        decoded = decode_quote(quote)
        chain = certificates.decode_chain(decoded.certificates)
        thinned = certificates.encode_chain((chain[0], chain[2])) + b"\0"
        spare = len(decoded.certificates) + 1 - len(thinned)
        return _with_chain(quote, thinned, spare)

    assert "leaf and CA" in good.but(edit_quote=thin_out).malformed()


def _with_chain(quote: bytes, chain: bytes, spare: int) -> bytes:
    start = quote.index(b"-----BEGIN")
    out = bytearray(quote[:start] + chain)
    for offset, length in ((632, 4), (start - 492, 4), (start - 4, 4)):
        size = int.from_bytes(out[offset : offset + length], "little") - spare
        out[offset : offset + length] = size.to_bytes(length, "little")
    return bytes(out)


def test_a_quote_of_a_debug_quoting_enclave_is_refused(good: Attempt) -> None:
    attempt = good.but(enclave=QuotingEnclave(attributes=0x17))
    assert attempt.refused() in {Reason.QUOTE_DEBUG, Reason.QUOTE_INVALID}


def test_a_quote_of_an_old_quoting_enclave_is_refused(good: Attempt) -> None:
    assert good.but(enclave=QuotingEnclave(isv_svn=3)).refused() is Reason.QUOTE_TCB_STATUS


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_collateral_is_refused_or_malformed(sample: Samples, data: st.DataObject) -> None:
    """But for the one field that nothing reads, no byte may change; and no error is another's."""
    real = sample("tdx_quote")
    name = data.draw(
        st.sampled_from([n for n in real.collateral.__slots__ if "pck_crl_i" not in n])
    )
    value = getattr(real.collateral, name)
    at = data.draw(st.integers(0, len(value) - 1))
    changed = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    with pytest.raises((Refused, MalformedInput)):
        verify_quote(
            real.quote,
            replace(real.collateral, **{name: changed}),
            now=1751624191,
            policy=QuotePolicy(max_collateral_age=30 * DAY),
            root=INTEL,
        )


def test_two_readings_that_differ_are_refused(
    good: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the library ever read a field elsewhere than we do, no quote passes."""

    def elsewhere(*arguments: object, **named: object) -> Claims:
        claims = authenticate(*arguments, **named)
        return replace(claims, report=claims.report | {"mr_td": "00" * 48})

    monkeypatch.setattr(dcap, "authenticate", elsewhere)
    assert good.refused() is Reason.QUOTE_INVALID
