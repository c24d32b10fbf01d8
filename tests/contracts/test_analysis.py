"""Static analysis and proofs of the contract."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]

TOOLS = Path(__file__).resolve().parents[2] / ".venv-contracts" / "bin"
CONFIGURATION = Path(__file__).resolve().parents[2] / "contracts" / "slither.config.json"
PROOFS = 7


def described(finding: dict[str, str]) -> tuple[str, str]:
    """Name a finding by what it says, without the line numbers, which any edit moves."""
    return finding["check"], re.sub(r"#\d+(-\d+)?", "", finding["description"])


def unjudged(run: Run, forge: Run, project: Path, accepted: Path) -> list[tuple[str, str]]:
    """Build a Foundry project anew and return slither's findings that nobody accepted."""
    # A folder of its own: slither trips over what earlier builds left.
    folder = project / "cache" / "slither"
    shutil.rmtree(folder, ignore_errors=True)
    settings = {"FOUNDRY_OUT": "cache/slither", "FOUNDRY_CACHE_PATH": "cache/slither/cache"}
    forge("build", "src", "--root", str(project), limit_seconds=120, **settings)
    report = folder / "findings.json"
    done = run(
        TOOLS / "slither",
        project,
        "--foundry-ignore-compile",
        "--foundry-out-directory",
        "cache/slither",
        "--config-file",
        CONFIGURATION,
        "--json",
        report,
        limit_seconds=120,
    )
    assert report.is_file(), done.stderr[-3000:]
    answer = json.loads(report.read_text())
    assert answer["success"], answer["error"]
    judged = {described(finding) for finding in json.loads(accepted.read_text())}
    found = {described(finding) for finding in answer["results"].get("detectors", [])}
    return sorted(found - judged)


def test_slither_finds_nothing_that_was_not_judged(run: Run, forge: Run, contracts: Path) -> None:
    assert unjudged(run, forge, contracts, contracts / "slither.db.json") == []


def test_a_new_finding_is_seen(run: Run, forge: Run, contracts: Path, tmp_path: Path) -> None:
    shutil.copy(contracts / "foundry.toml", tmp_path)
    (tmp_path / "solc.cjs").symlink_to(contracts / "solc.cjs")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "KeyManager.sol").write_text(
        "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\n"
        "contract Planted { function pay() external { require(tx.origin == address(1)); "
        "payable(msg.sender).transfer(1); } }\n"
    )
    found = unjudged(run, forge, tmp_path, contracts / "slither.db.json")
    assert "tx-origin" in {check for check, _ in found}


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
