"""The contracts' own tools, each run with a time limit and its output shown when it fails."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
FORGE = CONTRACTS / "node_modules" / "@foundry-rs" / "forge-linux-amd64" / "bin" / "forge"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def contracts() -> Path:
    return CONTRACTS


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs a command in `contracts/` and returns how it ended."""

    def run_in_contracts(
        *command: str | Path, limit_seconds: int, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        tools = f"{FORGE.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(word) for word in command],
            cwd=CONTRACTS,
            env={**os.environ, "PATH": tools, "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
        )

    return run_in_contracts


@pytest.fixture(scope="session")
def forge(run: Run) -> Run:
    """Return a function that runs forge and fails the test, with forge's output, if forge fails.

    Snapshots are compared and never written: a changed figure is committed on purpose or not at all.
    """

    def run_forge(*arguments: str, limit_seconds: int, **environment: str) -> object:
        settings = {"FORGE_SNAPSHOT_CHECK": "true", **environment}
        done = run(FORGE, *arguments, limit_seconds=limit_seconds, **settings)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done

    return run_forge
