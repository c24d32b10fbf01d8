"""Changelog, licence and CI have the form that they promise."""

import re
import tomllib
from pathlib import Path

import pytest

KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def changelog_faults(text: str) -> list[str]:
    """Return what differs from Keep a Changelog 1.1.0, newest first."""
    faults = []
    if not text.startswith("# Changelog\n"):
        faults.append("the first line is not '# Changelog'")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    if not versions or versions[0] != "[Unreleased]":
        faults.append("the first section is not '## [Unreleased]'")
    faults += [
        f"not a version and a date: {line}"
        for line in versions[1:]
        if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", line)
    ]
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    faults += [f"not a kind of change: {kind}" for kind in kinds if kind not in KINDS]
    return faults


def test_the_changelog_keeps_its_form(root: Path) -> None:
    assert changelog_faults((root / "CHANGELOG.md").read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "# Changes\n\n## [Unreleased]\n",
        "# Changelog\n\n## [0.1.0] - 2026-01-01\n",
        "# Changelog\n\n## [Unreleased]\n\n## 0.1.0\n",
        "# Changelog\n\n## [Unreleased]\n\n### News\n",
    ],
)
def test_a_changelog_of_another_form_is_seen(text: str) -> None:
    assert changelog_faults(text)


def test_the_licence_is_mit_and_the_package_says_so(root: Path) -> None:
    text = (root / "LICENSE").read_text()
    assert text.startswith("MIT License")
    assert "WITHOUT WARRANTY OF ANY KIND" in text
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT"


def test_ci_runs_the_tests_and_nothing_else(root: Path) -> None:
    lines = (root / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert len(commands) == 1
    assert commands[0].endswith('/../scripts/test"')
