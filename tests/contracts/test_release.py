"""The committed build outputs, and the ABI that everything outside reads."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

STANDARD_VIEWS = {  # OpenZeppelin's, beside the fixed names
    "owner",
    "pendingOwner",
    "transferOwnership",
    "acceptOwnership",
    "renounceOwnership",
    "eip712Domain",
}
FIXED_NAMES = {
    "bootstrap", "register", "onboard", "onboardBatch", "confirm", "confirmBatch", "reject",
    "renew", "revoke", "expire", "proposeMeasurement", "activateMeasurement",
    "cancelMeasurement", "removeMeasurement", "setContainer", "xPub", "appRoot", "epoch", "epochs",
    "appEpoch", "container", "nodes", "measurements", "attestationRoot", "networkKind", "appId",
    "genesisDocument", "genesisNode", "genesisBlock", "genesisTime", "notice", "verify",
    "isValidSignature", "version", "memberCount", "pendingCount", "isMember", "statusOf",
}  # fmt: skip
ADDED_VIEWS = {"networkId", "pendingContainer"}


def build(run: Run, *arguments: str) -> "subprocess.CompletedProcess[str]":
    script = Path("..", "scripts", "build_contracts.py")
    return run(sys.executable, script, *arguments, limit_seconds=120)


def test_the_release_is_what_the_sources_build(run: Run) -> None:
    done = build(run, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["contracts/release/storage-layout.json", "host/chain/KeyManager.json"]
)
def test_a_changed_output_is_seen(run: Run, contracts: Path, name: str) -> None:
    path = contracts.parent / name
    honest = path.read_text()
    try:
        path.write_text(honest.replace('"slot": 3', '"slot": 4', 1))
        done = build(run, "--check")
    finally:
        path.write_text(honest)
    assert done.returncode == 1
    assert name in done.stdout


def test_the_functions_are_the_fixed_ones_and_no_others(contracts: Path) -> None:
    abi = json.loads((contracts / "release" / "KeyManager.abi.json").read_text())
    names = {entry["name"] for entry in abi if entry["type"] == "function"}
    assert names == FIXED_NAMES | ADDED_VIEWS | STANDARD_VIEWS


def test_every_error_but_the_owners_says_what_was_wrong(contracts: Path) -> None:
    abi = json.loads((contracts / "release" / "KeyManager.abi.json").read_text())
    silent = {entry["name"] for entry in abi if entry["type"] == "error" and not entry["inputs"]}
    # OpenZeppelin's, for strings that the constructor never passes.
    assert silent <= {"InvalidShortString"}


def test_the_code_can_be_deployed(contracts: Path) -> None:
    code = json.loads((contracts / "release" / "KeyManager.json").read_text())["deployedBytecode"]
    assert len(code) // 2 - 1 <= 24_576
