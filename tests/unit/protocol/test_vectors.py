"""The vectors that Python and Solidity share are what the code makes today."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def check(script: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(script), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_committed_vectors_are_those_of_the_code() -> None:
    result = check(ROOT / "scripts" / "make_vectors.py")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["digests.json", "keys.json"])
def test_a_changed_vector_is_noticed(name: str, tmp_path: Path) -> None:
    """The check is run over a copy in which one hexadecimal digit is another."""
    for folder in ("scripts", "tests/vectors"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "guest").symlink_to(ROOT / "guest")
    script = tmp_path / "scripts" / "make_vectors.py"
    script.write_text((ROOT / "scripts" / "make_vectors.py").read_text())
    for file in ("digests.json", "keys.json"):
        text = (ROOT / "tests" / "vectors" / file).read_text()
        (tmp_path / "tests" / "vectors" / file).write_text(text)
    assert check(script).returncode == 0
    changed = tmp_path / "tests" / "vectors" / name
    text = changed.read_text()
    at = text.rindex('"') - 1
    changed.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    result = check(script)
    assert result.returncode == 1
    assert name in result.stdout
