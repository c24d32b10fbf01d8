"""forge: format, every test of contracts/test, and the figures in contracts/snapshots."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Forge = Callable[..., "subprocess.CompletedProcess[str]"]

METADATA_BYTES = (
    53  # the CBOR that solc appends: it hashes the settings, which differ by remappings
)


def test_the_sources_are_formatted(forge: Forge) -> None:
    forge("fmt", "--check", limit_seconds=60)


def test_unit_fuzz_vector_and_regression_tests_pass_and_no_figure_moved(forge: Forge) -> None:
    done = forge("test", "--no-match-path", "test/invariant/*", limit_seconds=180)
    assert " 0 failed, 0 skipped" in done.stdout.splitlines()[-1]


def test_no_sequence_of_steps_breaks_an_invariant(forge: Forge) -> None:
    done = forge("test", "--match-path", "test/invariant/*", limit_seconds=180)
    assert " 0 failed, 0 skipped" in done.stdout.splitlines()[-1]


def test_a_figure_that_moved_is_seen(run: Forge, forge: Forge, contracts: Path) -> None:
    """Plant one: the comparison must be able to fail."""
    forge("test", "--match-contract", "GasTest", limit_seconds=180)
    snapshot = contracts / "snapshots" / "gas.json"
    honest = snapshot.read_text()
    figures = json.loads(honest)
    figures["register"] = str(int(figures["register"]) - 1)
    try:
        snapshot.write_text(json.dumps(figures))
        done = run(
            "forge",
            "test",
            "--match-contract",
            "GasTest",
            limit_seconds=180,
            FORGE_SNAPSHOT_CHECK="true",
        )
    finally:
        snapshot.write_text(honest)
    assert done.returncode != 0
    assert "[register]" in done.stdout + done.stderr


def test_what_forge_tested_is_what_is_released(forge: Forge, contracts: Path) -> None:
    forge("build", limit_seconds=180)
    built = json.loads((contracts / "out" / "KeyManager.sol" / "KeyManager.json").read_text())
    released = json.loads((contracts / "release" / "KeyManager.json").read_text())
    tested = bytes.fromhex(built["deployedBytecode"]["object"][2:])
    assert (
        tested[:-METADATA_BYTES]
        == bytes.fromhex(released["deployedBytecode"][2:])[:-METADATA_BYTES]
    )
