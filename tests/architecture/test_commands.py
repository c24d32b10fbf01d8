"""The newcomer's commands: what they say when something is missing, and what counts as a failure."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def runner(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tests", root / "scripts" / "run_tests.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


def machine_with(folder: Path, *programs: str) -> dict[str, str]:
    """Return an environment whose PATH holds these programs and no other."""
    for name in ("bash", "env", "dirname", "basename", "readlink", "uname", *programs):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return {"PATH": str(folder)}


def setup(
    root: Path, environment: dict[str, str] | None, *words: str
) -> subprocess.CompletedProcess[str]:
    command = [str(root / "scripts" / "setup"), *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_all_that_a_machine_lacks_is_named_at_once(root: Path, tmp_path: Path) -> None:
    done = setup(root, machine_with(tmp_path), "host", "chain")
    assert done.returncode == 1
    assert done.stdout == ""
    for lacking in ("python3, 3.11 to 3.13 (found none)", "node 18 or newer", "npm (found none)"):
        assert f"- {lacking}" in done.stderr
    assert "apt-get install -y python3 python3-venv nodejs npm\n" in done.stderr


@pytest.mark.parametrize("version", ["v16.20.2", "v12.22.12"])
def test_an_old_node_is_named_with_its_version(root: Path, tmp_path: Path, version: str) -> None:
    environment = machine_with(tmp_path)
    node = tmp_path / "node"
    node.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo {version} && exit 0\nexit 1\n')
    node.chmod(0o755)
    done = setup(root, environment, "--python")
    assert f"node 18 or newer (found {version})" in done.stderr


def test_an_unknown_part_is_bad_usage(root: Path) -> None:
    done = setup(root, None, "everything")
    assert done.returncode == 2
    assert "there are: guest host dev chain analysis" in done.stderr


def test_an_unknown_tier_is_bad_usage_and_sets_nothing_up(
    runner: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        runner.parse(["--only", "unit,chains"])
    assert stopped.value.code == 2
    assert "unknown tier 'chains'" in capsys.readouterr().err


def test_no_test_stands_outside_every_tier(runner: ModuleType, root: Path) -> None:
    placed = [folder for tier in runner.TIERS.values() for folder in tier.folders]
    assert len(placed) == len(set(placed))
    for file in (root / "tests").rglob("test_*.py"):
        inside = file.relative_to(root).as_posix()
        assert any(inside.startswith(f"{folder}/") for folder in placed), inside


@pytest.mark.parametrize(
    ("failed", "skipped", "problems", "ok"),
    [(0, 0, (), True), (1, 0, (), False), (0, 1, (), False), (0, 0, ("mypy",), False)],
)
def test_a_tier_is_good_only_when_nothing_failed_or_was_skipped(
    runner: ModuleType, failed: int, skipped: int, problems: tuple[str, ...], ok: bool
) -> None:
    assert runner.Outcome("unit", 1.0, 9, failed, skipped, problems).ok is ok


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("def test_a(): pass", (1, 0, 0, ())),
        ("def test_a(): assert 0", (0, 1, 0, ())),
        ("import pytest\ndef test_a(): pytest.skip('later')", (0, 0, 1, "skipped")),
        ("import pytest\n@pytest.fixture\ndef f(): 1/0\ndef test_a(f): pass", (0, 1, 0, ())),
        ("import absent_module", (0, 1, 0, ())),
        ("", (0, 0, 0, "there is no test")),
        ("import os\ndef test_a(): os._exit(3)", (0, 0, 0, "no report")),
    ],
)
def test_what_pytest_ends_with_is_counted(
    runner: ModuleType, tmp_path: Path, body: str, expected: tuple[int, int, int, object]
) -> None:
    (tmp_path / "test_case.py").write_text(body)
    tier = runner.Tier((str(tmp_path),), (), 60)
    outcome = runner.run_pytest("case", tier, [str(tmp_path)], None)
    *counted, problem = expected
    assert [outcome.passed, outcome.failed, outcome.skipped] == counted
    assert outcome.problems == () if problem == () else str(problem) in outcome.problems[0]


def test_a_tier_that_does_not_end_is_ended(runner: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "test_case.py").write_text("import time\ndef test_a(): time.sleep(600)")
    outcome = runner.run_pytest("case", runner.Tier((str(tmp_path),), (), 2), [str(tmp_path)], None)
    assert outcome.problems
    assert not outcome.ok


def test_the_last_line_sums_up_in_the_form_that_ci_reads(
    runner: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    runner.show([runner.Outcome("unit", 1.0, 9, 1, 0, ("mypy: code 1",))])
    assert re.fullmatch(r"TOTAL: 9 passed, 2 failed", capsys.readouterr().out.splitlines()[-1])
