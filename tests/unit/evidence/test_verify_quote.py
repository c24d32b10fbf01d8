"""`replicatoor verify quote`: the same judgement as admission, with a verdict for people."""

import argparse
import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import pytest

from guest.evidence.collateral import to_json
from guest.evidence.roots import DEVELOPMENT
from guest.protocol.errors import Misconfigured
from host.audit.verify_quote import QuoteVerdict, add_arguments, run
from host.devplatform.tcbdata import Scenario
from tests.unit.evidence.attempts import Attempt


def _run(*words: object) -> tuple[int, QuoteVerdict]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    code, verdict = run(parser.parse_args([str(word) for word in words]))
    assert json.loads(json.dumps(asdict(verdict)))["accepted"] == (code == 0)
    assert verdict.accepted == (verdict.reason is None) == (verdict.detail is None)
    assert "\n" not in (verdict.detail or "")
    return code, verdict


def _sample(data: Path, name: str, now: int, *words: object) -> tuple[int, QuoteVerdict]:
    collateral = data / f"{name.removesuffix('_tampered_report_data')}_collateral.json"
    return _run(data / name, "--collateral", collateral, "--now", now, *words)


def test_the_real_tdx_sample_is_accepted_without_any_flag(data: Path) -> None:
    code, verdict = _sample(data, "tdx_quote", 1751624191)
    assert code == 0
    assert (verdict.status, verdict.root, verdict.tee) == ("UpToDate", "intel", "tdx")
    assert verdict.measurements is not None
    assert len(verdict.measurements.mrtd) == 96
    assert verdict.measurements.td_attributes == "0x0000000010000000"


def test_a_quote_in_hex_is_the_same_quote(data: Path, tmp_path: Path) -> None:
    raw = (data / "tdx_quote").read_bytes()
    for number, text in enumerate((raw.hex(), "0x" + raw.hex() + "\n", raw.hex().upper())):
        path = tmp_path / str(number)
        path.write_text(text)
        collateral = data / "tdx_quote_collateral.json"
        code, _ = _run(path, "--collateral", collateral, "--now", 1751624191)
        assert code == 0


def test_every_case_of_the_table_comes_out_as_it_says(data: Path) -> None:
    for name, case in json.loads((data / "expected.json").read_text()).items():
        code, verdict = _sample(data, case["quote"], case["now"])
        if case["expect"] == "reject":
            assert code == 1, name
            assert case["error_contains"] in (verdict.detail or ""), name
            assert verdict.status is None, name
        else:
            assert verdict.status == case["expect"], name
            assert code == (0 if case["expect"] == "UpToDate" else 1), name


def test_the_sgx_sample_needs_every_one_of_its_flags(data: Path) -> None:
    flags = [
        ["--allow-sgx"],
        ["--allow-status", "ConfigurationAndSWHardeningNeeded"],
        ["--allow-advisory", "INTEL-SA-00289"],
        ["--allow-advisory", "INTEL-SA-00615"],
    ]
    code, verdict = _sample(data, "sgx_quote", 1751624924, *chain.from_iterable(flags))
    assert (code, verdict.tee) == (0, "sgx")
    assert verdict.status == "ConfigurationAndSWHardeningNeeded"
    assert verdict.advisories == ("INTEL-SA-00289", "INTEL-SA-00615")
    assert verdict.measurements is None
    reasons = ["quote-not-tdx", "quote-tcb-status", "quote-advisory", "quote-advisory"]
    for missing, reason in enumerate(reasons):
        fewer = chain.from_iterable(flags[:missing] + flags[missing + 1 :])
        code, verdict = _sample(data, "sgx_quote", 1751624924, *fewer)
        assert (code, verdict.reason) == (1, reason)
        assert verdict.status == "ConfigurationAndSWHardeningNeeded"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--max-collateral-age", "7"], "quote-collateral-old"),
        (["--min-evaluation-number", "18"], "quote-tcb-floor"),
        (["--refuse-smt"], "quote-tcb-status"),
        (["--refuse-cached-keys"], "quote-tcb-status"),
        (["--refuse-dynamic-platform"], "quote-tcb-status"),
    ],
)
def test_a_stricter_flag_refuses_and_still_shows_what_was_found(
    data: Path, words: list[str], reason: str
) -> None:
    code, verdict = _sample(data, "tdx_quote", 1751624191, *words)
    assert (code, verdict.reason, verdict.status) == (1, reason, "UpToDate")


def _write(tmp_path: Path, attempt: Attempt) -> list[object]:
    (tmp_path / "quote").write_bytes(attempt.quote)
    (tmp_path / "collateral").write_text(to_json(attempt.collateral))
    (tmp_path / "root").write_bytes(DEVELOPMENT.der)
    return [tmp_path / "quote", "--collateral", tmp_path / "collateral", "--now", attempt.now]


def test_a_simulated_quote_is_accepted_only_under_its_own_root(
    good: Attempt, tmp_path: Path
) -> None:
    words = _write(tmp_path, good)
    assert _run(*words)[1].reason == "quote-wrong-root"
    code, verdict = _run(*words, "--root", tmp_path / "root")
    assert (code, verdict.root) == (0, "development")


def test_each_status_has_its_flag(good: Attempt, tmp_path: Path) -> None:
    words = _write(tmp_path, good.but(scenario=Scenario(status="OutOfDate")))
    words += ["--root", tmp_path / "root"]
    assert _run(*words)[1].reason == "quote-tcb-status"
    assert _run(*words, "--allow-status", "OutOfDate")[0] == 0


@pytest.mark.parametrize("value", ["any", "Revoked", ""])
def test_a_status_that_no_policy_may_allow_is_bad_usage(
    good: Attempt, tmp_path: Path, value: str
) -> None:
    words = _write(tmp_path, good)
    with pytest.raises(SystemExit) as caught:
        _run(*words, "--allow-status", value)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "words",
    [["--allow-advisory", "any"], ["--max-collateral-age", "0"], ["--min-evaluation-number", "-1"]],
)
def test_a_flag_that_makes_no_sense_is_bad_usage(
    good: Attempt, tmp_path: Path, words: list[str]
) -> None:
    with pytest.raises(Misconfigured):
        _run(*_write(tmp_path, good), *words)


@pytest.mark.parametrize("content", [b"", b"junk", b"00", bytes(300_000)])
@pytest.mark.parametrize("part", ["quote", "collateral", "root"])
def test_bad_input_is_one_line_and_no_traceback(
    good: Attempt, tmp_path: Path, part: str, content: bytes
) -> None:
    words = [*_write(tmp_path, good), "--root", tmp_path / "root"]
    (tmp_path / part).write_bytes(content)
    code, verdict = _run(*words)
    assert code == 1
    assert verdict.reason in {"malformed-input", "quote-not-tdx"}


def test_a_missing_file_is_one_line(good: Attempt, tmp_path: Path) -> None:
    words = _write(tmp_path, good)
    (tmp_path / "quote").unlink()
    code, verdict = _run(*words)
    assert (code, verdict.reason) == (1, "configuration")
    assert str(tmp_path) not in (verdict.detail or "")
