"""Every attack in docs/attacks.md has a test that names it; a label without a test is a promise broken."""

import re
from pathlib import Path

PYTHON_TEST = re.compile(r"^\s*def (test_\w+)", re.MULTILINE)
SOLIDITY_TEST = re.compile(r"function (test\w*_\w+)\s*\(")
ROW = re.compile(r"^\| ([A-Z]?\d+) \|", re.MULTILINE)


def labels_of(name: str) -> set[str]:
    """Return the labels in a test's name: S1, g3, finding_549, findings_607_to_609, 1237_1306."""
    words = name.split("_")
    found = {word.upper() for word in words if re.fullmatch(r"[sSkKgGlL]\d{1,2}", word)}
    found |= {word for word in words if re.fullmatch(r"\d{3,4}", word)}
    for first, last in re.findall(r"(\d{3,4})_to_(\d{3,4})", name):
        found |= {str(number) for number in range(int(first), int(last) + 1)}
    return found


def labels_attacked(root: Path) -> set[str]:
    names: list[str] = []
    for path in (root / "tests").rglob("test_*.py"):
        names += PYTHON_TEST.findall(path.read_text())
    for path in (root / "contracts" / "test").rglob("*.sol"):
        names += SOLIDITY_TEST.findall(path.read_text())
    return {label for name in names for label in labels_of(name)}


def test_every_attack_that_is_described_is_made_by_a_test(root: Path) -> None:
    described = set(ROW.findall((root / "docs" / "attacks.md").read_text()))
    assert len(described) > 40
    assert sorted(described - labels_attacked(root)) == []


def test_labels_are_read_from_names() -> None:
    assert labels_of("test_findings_607_to_609_no_value") == {"607", "608", "609"}
    assert labels_of("test_K1_AZeroSignature") == {"K1"}
    assert labels_of("test_s5_s6_and_findings_1237_1306_x") == {"S5", "S6", "1237", "1306"}
    assert labels_of("test_what_storage_never_named") == set()
