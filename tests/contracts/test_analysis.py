"""Static analysis and proofs of the contract."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TOOLS = Path(__file__).resolve().parents[2] / ".venv-contracts" / "bin"
PROOFS = 7


def test_slither_finds_nothing_that_was_not_judged(run: Run, forge: Run, contracts: Path) -> None:
    # A folder of its own, made anew: slither trips over what an earlier build left.
    folder = contracts / "cache" / "slither"
    shutil.rmtree(folder, ignore_errors=True)
    cache = str(folder / "cache")
    forge(
        "build",
        "src",
        limit_seconds=120,
        FOUNDRY_OUT="cache/slither",
        FOUNDRY_CACHE_PATH=cache,
    )
    done = run(
        TOOLS / "slither",
        ".",
        "--foundry-ignore-compile",
        "--foundry-out-directory",
        "cache/slither",
        limit_seconds=120,
    )
    assert "analyzed" in done.stderr, done.stderr[-3000:]
    assert done.returncode == 0, done.stderr[-6000:]


def test_every_accepted_finding_has_its_reason(contracts: Path) -> None:
    accepted = json.loads((contracts / "slither.db.json").read_text())
    assert all(len(finding["reason"]) > 20 for finding in accepted)


def prove(run: Run, contract: str) -> str:
    """Run the prover on one contract; return its output."""
    done = run(
        TOOLS / "halmos",
        "--contract",
        contract,
        "--solver-timeout-assertion",
        "60s",
        limit_seconds=200,
    )
    return done.stdout + done.stderr


def test_every_call_is_proven_to_be_a_step_of_the_table(run: Run) -> None:
    output = prove(run, "StatusMachineProofs")
    assert f"test result: {PROOFS} passed; 0 failed" in output, output[-3000:]


def test_no_proof_is_empty(run: Run) -> None:
    """Each call can go through: claiming that it cannot is refuted, one by one, by an example."""
    output = prove(run, "StatusMachineReach")
    assert f"test result: 0 passed; {PROOFS} failed" in output, output[-3000:]
    assert output.count("Counterexample:") >= PROOFS
    assert "ERROR" not in output, output[-3000:]
