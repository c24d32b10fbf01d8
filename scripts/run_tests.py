"""Runs the tests, tier by tier, and says at the end what ran, how long it took and what failed.

Owns: which tiers there are, what each needs to be set up, and what counts as a failure. A tier is
named after what it needs to run, not after what it tests. A skipped test is a failure: a test that
does not run proves nothing.
Must not: import anything but the standard library, since it runs before the set-up.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
NO_TESTS_RAN = 5  # pytest's exit code
OUT_OF_TIME = 124  # as coreutils' timeout
STOP_SECONDS = 20

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """One named group of tests."""

    folders: tuple[str, ...]
    parts: tuple[str, ...]
    """What scripts/setup must have made ready."""
    limit_seconds: int
    checks: tuple[tuple[str, Command], ...] = ()
    """Checks that are no tests, each with its title."""
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tier came to."""

    tier: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    problems: tuple[str, ...] = ()
    """Why the tier failed, beyond single failed tests."""
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing failed, nothing was skipped and nothing else went wrong."""
        return not (self.failed or self.skipped or self.problems)


STATIC_CHECKS: tuple[tuple[str, Command], ...] = (
    ("ruff check", (PYTHON, "-m", "ruff", "check", ".")),
    ("ruff format", (PYTHON, "-m", "ruff", "format", "--check", ".")),
    ("mypy --strict", (PYTHON, "-m", "mypy", "--strict")),
    ("import-linter", (str(ROOT / ".venv" / "bin" / "lint-imports"), "--no-logo")),
)

TIERS = {
    "unit": Tier(
        folders=("tests/unit", "tests/model", "tests/architecture"),
        parts=("dev",),
        limit_seconds=1200,
        checks=STATIC_CHECKS,
        workers=2,
    ),
    "contracts": Tier(("tests/contracts",), ("dev", "chain", "analysis"), 1800),
    "chain": Tier(("tests/chain",), ("dev", "chain"), 1500),
    "faults": Tier(("tests/faults",), ("dev", "chain"), 1500),
    "vm": Tier(("tests/vm",), ("dev", "chain"), 1800),
    "apps": Tier(("tests/apps",), ("dev", "chain"), 1800),
}


def run(command: Sequence[str], limit_seconds: float) -> int:
    """Run `command` at the root; return its exit code, or OUT_OF_TIME when its time was up.

    It has a session of its own, so that whatever it started ends with it.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HYPOTHESIS_PROFILE": "ci"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    ) as child:
        try:
            return child.wait(timeout=limit_seconds)
        except subprocess.TimeoutExpired:
            return OUT_OF_TIME
        finally:
            end_group(child)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End the child and everything in its group: politely first, and then not."""
    for signal_number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is not None and signal_number is signal.SIGINT:
            continue
        try:
            os.killpg(child.pid, signal_number)
        except ProcessLookupError:
            return
        try:
            child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def counts(report: Path) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) from a JUnit report that our own pytest wrote."""
    passed = failed = skipped = 0
    document = ElementTree.parse(report)  # noqa: S314 - our own pytest wrote it
    for suite in document.getroot().iter("testsuite"):
        tests, errors, failures, skips = (
            int(suite.get(key, "0")) for key in ("tests", "errors", "failures", "skipped")
        )
        failed += errors + failures
        skipped += skips
        passed += tests - errors - failures - skips
    return passed, failed, skipped


def run_pytest(name: str, tier: Tier, folders: list[str], expression: str | None) -> Outcome:
    """Run the tests in `folders`."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        command += ["-n", str(tier.workers)] if tier.workers else []
        command += ["-k", expression] if expression else []
        code = run([*command, *folders], tier.limit_seconds)
        if code == NO_TESTS_RAN and expression:
            return Outcome(name, note="nothing matches -k")
        if code == NO_TESTS_RAN:
            return Outcome(name, problems=(f"there is no test in {' '.join(folders)}",))
        if not report.exists():
            return Outcome(name, problems=(f"pytest ended with code {code} and no report",))
        passed, failed, skipped = counts(report)
    problems: tuple[str, ...] = ()
    if code == OUT_OF_TIME or (code and not failed):
        why = f"not done after {tier.limit_seconds} s" if code == OUT_OF_TIME else f"code {code}"
        problems = (f"pytest: {why}",)
    if skipped:
        problems += (f"{skipped} skipped: a test that does not run proves nothing",)
    return Outcome(name, 0.0, passed, failed, skipped, problems)


def run_tier(name: str, expression: str | None) -> Outcome:
    """Set up for one tier and run its checks and tests."""
    tier = TIERS[name]
    folders = [folder for folder in tier.folders if (ROOT / folder).is_dir()]
    if not folders:
        return Outcome(name, note="no tests yet")
    announce(name)
    code = run([str(ROOT / "scripts" / "setup"), *tier.parts], limit_seconds=3600)
    if code:
        return Outcome(name, problems=("the set-up failed",))
    began = time.monotonic()
    problems: tuple[str, ...] = ()
    for title, command in () if expression else tier.checks:
        announce(f"{name}: {title}")
        if code := run(command, tier.limit_seconds):
            problems += (f"{title}: code {code}",)
    announce(f"{name}: pytest {' '.join(folders)}")
    outcome = run_pytest(name, tier, folders, expression)
    return replace(outcome, seconds=time.monotonic() - began, problems=problems + outcome.problems)


def announce(title: str) -> None:
    """Print a heading between the outputs of the tools."""
    print(f"\n=== {title}", flush=True)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table of tiers, every problem, and the sum on the last line."""
    print(f"\n{'tier':<11}{'result':<9}{'passed':>7}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for row in outcomes:
        result = (row.note and "-") or ("ok" if row.ok else "FAILED")
        print(
            f"{row.tier:<11}{result:<9}{row.passed:>7}{row.failed:>8}{row.skipped:>9}"
            f"{row.seconds:>9.1f}  {row.note}"
        )
    for row in outcomes:
        for problem in row.problems:
            print(f"{row.tier}: {problem}")
    passed = sum(row.passed for row in outcomes)
    failed = sum(row.failed + len(row.problems) for row in outcomes)
    print(f"\nTOTAL: {passed} passed, {failed} failed", flush=True)


def parse(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the tiers to run, in their own order, and pytest's -k expression."""
    parser = argparse.ArgumentParser(
        prog="scripts/test", description="Set up what the tests need and run them."
    )
    parser.add_argument("--only", metavar="TIER,...", help=f"of: {','.join(TIERS)}")
    parser.add_argument("-k", metavar="EXPR", help="only tests that match, as in pytest")
    options = parser.parse_args(arguments)
    chosen = list(TIERS) if options.only is None else options.only.split(",")
    if unknown := [name for name in chosen if name not in TIERS]:
        parser.error(f"unknown tier {unknown[0]!r}; there are: {', '.join(TIERS)}")
    return [name for name in TIERS if name in chosen], options.k


def interrupted(signal_number: int, _frame: FrameType | None) -> None:
    """Turn a request to stop into the exception that Ctrl-C raises."""
    raise KeyboardInterrupt(signal_number)


def main() -> int:
    """Run the tiers that were asked for; return the exit code."""
    chosen, expression = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, interrupted)
    outcomes: list[Outcome] = []
    try:
        for name in chosen:
            outcomes.append(run_tier(name, expression))  # noqa: PERF401 - kept when interrupted
    except KeyboardInterrupt:
        show(outcomes)
        print("interrupted", file=sys.stderr)
        return 130
    show(outcomes)
    if not any(row.passed or row.failed or row.problems for row in outcomes):
        print(f"no test ran: nothing in {', '.join(chosen)}", file=sys.stderr)
        return 1
    return 0 if all(row.ok for row in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
