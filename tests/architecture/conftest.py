"""Where the tree is, and which of its files are ours."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> tuple[Path, ...]:
    """Every file of the project: all that .gitignore does not name, with or without git."""
    lines = (ROOT / ".gitignore").read_text().split()
    folders = {line.rstrip("/") for line in lines if line.endswith("/")} | {".git"}
    patterns = [line for line in lines if not line.endswith("/")]
    found: list[Path] = []
    waiting = [ROOT]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            inside = path.relative_to(ROOT)
            if path.is_symlink() or any(inside.match(pattern) for pattern in patterns):
                continue
            if not path.is_dir():
                found.append(path)
            elif not any(inside.match(folder) for folder in folders):
                waiting.append(path)
    return tuple(found)
