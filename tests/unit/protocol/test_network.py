"""The network file: strict, and nothing in it can switch a check off."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest import config
from guest.protocol import network
from guest.protocol.errors import Misconfigured, Reason
from guest.protocol.network import Kind, Network, TcbPolicy, Trust

GOOD = Network(
    network_id=b"\x01" * 32,
    kind=Kind.TEST,
    chain_id=11155111,
    contract=b"\x02" * 20,
    code_hash=b"\x03" * 32,
    attestation_root=b"\x30\x82",
    trust=Trust.WITNESSED,
    witness=b"\x04" * 20,
    notice_floor=3600,
    notice=86400,
    max_view_age=300,
    tcb=TcbPolicy(("UpToDate", "SWHardeningNeeded"), ("INTEL-SA-00001",), 17),
)
REAL = replace(GOOD, kind=Kind.REAL, chain_id=1, trust=Trust.LIGHT_CLIENT, witness=bytes(20))
MEMBERS = sorted(network._MEMBERS)
TCB_MEMBERS = sorted(network._TCB_MEMBERS)


def content(source: Network = GOOD) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(network.render(source))
    return parsed


def parse(value: object) -> Network:
    return network.parse(json.dumps(value).encode())


def assert_refused(text: bytes | object, reason: Reason = Reason.NETWORK_FILE) -> Misconfigured:
    with pytest.raises(Misconfigured) as caught:
        network.parse(text) if isinstance(text, bytes) else parse(text)
    assert caught.value.reason is reason, caught.value
    assert caught.value.fatal
    assert "\n" not in str(caught.value)
    return caught.value


# --- round trip ---------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Every network that may be written down."""
    kind = draw(st.sampled_from(Kind))
    trust = Trust.LIGHT_CLIENT if kind is Kind.REAL else draw(st.sampled_from(Trust))
    floor = draw(st.integers(1 if kind is Kind.REAL else 0, 2**32 - 1))

    def filled(size: int) -> bytes:
        return draw(st.binary(min_size=size, max_size=size).filter(any))

    return Network(
        network_id=filled(32),
        kind=kind,
        chain_id=draw(st.integers(1 if kind is Kind.REAL else 2, 2**63 - 1)),
        contract=filled(20),
        code_hash=filled(32),
        attestation_root=draw(st.binary(min_size=1, max_size=200).filter(any)),
        trust=trust,
        witness=filled(20) if trust is Trust.WITNESSED else bytes(20),
        notice_floor=floor,
        notice=draw(st.integers(floor, 2**32 - 1)),
        max_view_age=draw(st.integers(1, 3600)),
        tcb=TcbPolicy(
            tuple(draw(st.lists(st.sampled_from(sorted(network._KNOWN_STATUSES)), min_size=1))[:8]),
            tuple(draw(st.lists(st.from_regex(r"INTEL-SA-[0-9]{5}", fullmatch=True), max_size=4))),
            draw(st.integers(0, 2**32 - 1)),
        ),
    )


@given(networks())
def test_what_is_rendered_parses_to_the_same_network(source: Network) -> None:
    text = network.render(source)
    assert network.parse(text) == source
    assert network.render(network.parse(text)) == text


@given(networks(), st.data())
def test_damaged_files_parse_or_are_refused_in_one_line(
    source: Network, data: st.DataObject
) -> None:
    text = bytearray(network.render(source))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        parsed = network.parse(bytes(text))
    except Misconfigured as error:
        assert "\n" not in str(error)  # noqa: PT017 - both ends are allowed here
        return
    assert network.parse(network.render(parsed)) == parsed


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_raise_nothing_else(text: bytes) -> None:
    assert_refused(text)


# --- the rows that may start --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "trust"),
    [
        (Kind.TEST, Trust.UNVERIFIED),
        (Kind.TEST, Trust.WITNESSED),
        (Kind.TEST, Trust.LIGHT_CLIENT),
        (Kind.REAL, Trust.LIGHT_CLIENT),
    ],
)
def test_four_rows_can_be_written_down(kind: Kind, trust: Trust) -> None:
    witness = b"\x04" * 20 if trust is Trust.WITNESSED else bytes(20)
    row = replace(GOOD, kind=kind, trust=trust, witness=witness)
    assert parse(content(row)) == row


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.WITNESSED])
def test_a_real_network_never_reads_the_chain_on_somebodys_word(trust: Trust) -> None:
    witness = "0x" + ("04" * 20 if trust is Trust.WITNESSED else "00" * 20)
    assert_refused(content(REAL) | {"trust": trust.value, "witness": witness}, Reason.KIND_ROW)


def test_a_test_network_cannot_live_on_ethereum_mainnet() -> None:
    assert_refused(content() | {"chainId": 1}, Reason.KIND_ROW)
    assert parse(content(REAL)).chain_id == 1


@pytest.mark.parametrize("trust", [Trust.UNVERIFIED, Trust.LIGHT_CLIENT])
def test_a_witness_stands_there_exactly_if_it_is_trusted(trust: Trust) -> None:
    assert_refused(content() | {"trust": trust.value}, Reason.KIND_ROW)
    assert_refused(content() | {"witness": "0x" + "00" * 20}, Reason.KIND_ROW)


def test_a_test_network_signs_under_another_name() -> None:
    assert GOOD.domain.test
    assert not REAL.domain.test
    assert replace(REAL, chain_id=GOOD.chain_id).domain.separator != GOOD.domain.separator


# --- findings 607, 608, 609: a value that switches a check off ----------------------------------

OFF = ["any", "dev", "none", "off", "*", "", False, True, None, 0, -1, [], {}, 1.0, "1"]


@pytest.mark.parametrize("value", OFF, ids=repr)
@pytest.mark.parametrize("name", MEMBERS)
def test_findings_607_to_609_no_value_switches_a_check_off(name: str, value: object) -> None:
    with pytest.raises(Misconfigured):
        parse(content(REAL) | {name: value})
    if (
        name != "noticeFloor" or isinstance(value, bool) or value != 0
    ):  # a test network has no notice
        with pytest.raises(Misconfigured):
            parse(content() | {name: value})


@pytest.mark.parametrize("value", [*OFF, ["any"], [False], ["UpToDate", "Revoked"], ["uptodate"]])
def test_findings_607_to_609_no_tcb_status_means_every_status(value: object) -> None:
    assert_refused(content() | {"tcb": content()["tcb"] | {"statuses": value}})


@pytest.mark.parametrize("value", [value for value in OFF if value not in ([], 0)])
def test_findings_607_to_609_no_advisory_list_means_every_advisory(value: object) -> None:
    for name in ("advisories", "evaluationFloor"):
        assert_refused(content() | {"tcb": content()["tcb"] | {name: value}})


@pytest.mark.parametrize("name", ["networkId", "contract", "codeHash", "attestationRoot"])
def test_finding_559_a_zero_or_empty_value_stands_for_nothing(name: str) -> None:
    zeros = "0x" + "00" * (len(content()[name]) // 2 - 1)
    assert_refused(content() | {name: zeros})
    assert_refused(content() | {name: "0x"})


def test_the_contracts_notice_is_never_below_the_floor() -> None:
    assert_refused(content() | {"notice": 3599})
    assert parse(content() | {"notice": 3600}).notice == 3600


# --- strict JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_refused_by_name(name: str) -> None:
    without = content()
    del without[name]
    assert name in str(assert_refused(without))


@pytest.mark.parametrize("name", TCB_MEMBERS)
def test_a_missing_member_of_the_policy_is_refused_by_name(name: str) -> None:
    without = content()
    del without["tcb"][name]
    assert name in str(assert_refused(without))


@pytest.mark.parametrize("name", ["skipVerification", "Kind", "kind ", "chain_id", ""])
def test_an_unknown_member_is_refused(name: str) -> None:
    assert_refused(content() | {name: 1})
    assert_refused(content() | {"tcb": content()["tcb"] | {name: 1}})


@pytest.mark.parametrize("name", [*MEMBERS, *TCB_MEMBERS])
def test_a_member_that_stands_twice_is_refused(name: str) -> None:
    text = network.render(GOOD).decode()
    at = text.index(f'"{name}":')
    value = json.dumps(content()[name] if name in MEMBERS else content()["tcb"][name])
    assert_refused((text[:at] + f'"{name}": {value}, ' + text[at:]).encode())


WRONG: list[object] = [None, True, 1.5, "x", "0xzz", [], {}, [1], {"a": 1}, "0x" + "AB" * 32, 2**64]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    assert_refused(content() | {name: value})


@pytest.mark.parametrize(
    "spell",
    [
        lambda value: value[2:],
        lambda value: value.upper(),
        lambda value: "0X" + value[2:],
        lambda value: value[:-1],
        lambda value: value + "00",
        lambda value: value[:4] + " " + value[4:],
        lambda value: value[:-2] + "\u0660\u0660",  # digits of another script
    ],
)
@pytest.mark.parametrize("name", ["networkId", "contract", "codeHash", "witness"])
def test_hex_has_one_spelling(name: str, spell: Callable[[str], str]) -> None:
    letters = content() | {name: "0x" + "ab" * (len(content()[name]) // 2 - 1)}
    assert parse(letters)
    assert spell(letters[name]) != letters[name]
    assert_refused(letters | {name: spell(letters[name])})


@pytest.mark.parametrize("version", [0, 2, 1.0, "1", True, None, -1])
def test_another_version_is_refused(version: object) -> None:
    assert_refused(content() | {"version": version})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"{}",
        b'"' + b"x" * 100 + b'"',
        network.render(GOOD)[:-3],
        network.render(GOOD) + b"{}",
        b"\xef\xbb\xbf" + network.render(GOOD),
        network.render(GOOD).decode().encode("utf-16"),
        network.render(GOOD).decode().encode("utf-32-le"),
        network.render(GOOD).replace(b"86400", b"NaN"),
        network.render(GOOD).replace(b"86400", b"Infinity"),
        network.render(GOOD).replace(b"86400", b"86400.0"),
        network.render(GOOD).replace(b"86400", b"8.64e4"),
        network.render(GOOD).replace(b"86400", b"9" * 5000),
        network.render(GOOD).replace(b"86400", b"086400"),
        network.render(GOOD).replace(b"86400", b"86400, // long enough"),
        network.render(GOOD).replace(b"{", b"{,", 1),
        b"[" * 10_000,
        b'{"a":' * 3000,
        network.render(GOOD) + b" " * network.MAX_NETWORK_FILE,
    ],
    ids=range(22),
)
def test_what_is_not_one_plain_json_object_is_refused(text: bytes) -> None:
    assert_refused(text)


@pytest.mark.parametrize("texts", [["x"] * 65, ["x" * 65], [1], ["UpToDate", None], "UpToDate"])
def test_lists_of_texts_are_bounded(texts: object) -> None:
    for name in ("statuses", "advisories"):
        assert_refused(content() | {"tcb": content()["tcb"] | {name: texts}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chainId", 0),
        ("chainId", 2**63),
        ("maxViewAge", 0),
        ("maxViewAge", 3601),
        ("notice", 2**32),
    ],
)
def test_numbers_are_bounded(name: str, value: int) -> None:
    assert name in str(assert_refused(content() | {name: value}))


# --- the command line that reads it -------------------------------------------------------------

ARGUMENTS = ["--host", "unix:h", "--platform", "unix:p", "--app-socket", "a"]


def test_a_guest_reads_its_network_from_the_measured_file(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(network.render(GOOD))
    assert config.parse(["--network", str(path), *ARGUMENTS]).network == GOOD


def test_a_network_file_that_cannot_be_read_is_the_operators_to_mend(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(Misconfigured, match="--network") as caught:
            config.parse(["--network", str(path), *ARGUMENTS])
        assert caught.value.reason is Reason.NETWORK_FILE


def test_a_network_file_of_any_size_is_read_up_to_its_bound_only(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    with path.open("wb") as file:
        file.truncate(1 << 32)  # four sparse gigabytes
    with pytest.raises(Misconfigured, match="too large"):
        config.parse(["--network", str(path), *ARGUMENTS])


def test_the_environment_decides_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(network.render(GOOD))
    before = config.parse(["--network", str(path), *ARGUMENTS])
    for name in ("NETWORK", "CHAIN_ID", "TRUST", "REPLICATOOR_NETWORK", "PLATFORM"):
        monkeypatch.setenv(name, "dev")
    assert config.parse(["--network", str(path), *ARGUMENTS]) == before


@pytest.mark.parametrize("advisory", ["", "any", "INTEL-SA-1", "INTEL-SA-00001 ", "CVE-2025-1"])
def test_an_advisory_that_no_verifier_knows_is_refused_at_the_start(advisory: str) -> None:
    changed = content()
    changed["tcb"]["advisories"] = [advisory]
    with pytest.raises(Misconfigured, match="advisories"):
        network.parse(json.dumps(changed).encode())
