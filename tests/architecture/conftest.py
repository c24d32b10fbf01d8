"""The sources that the rules are about."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Source:
    """One parsed Python file of the product."""

    path: str
    """Relative to the root, with slashes."""
    text: str
    tree: ast.Module


def parsed(folder: str) -> Iterator[Source]:
    for file in sorted((ROOT / folder).rglob("*.py")):
        text = file.read_text()
        yield Source(file.relative_to(ROOT).as_posix(), text, ast.parse(text))


@pytest.fixture(scope="session")
def guest_sources() -> tuple[Source, ...]:
    return tuple(parsed("guest"))


@pytest.fixture(scope="session")
def sources(guest_sources: tuple[Source, ...]) -> tuple[Source, ...]:
    return (*guest_sources, *parsed("host"))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
