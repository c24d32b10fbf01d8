"""The project's text speaks of the project alone: no place it was made in, no machine, no promise."""

import re
from pathlib import Path

import pytest

# A letter in brackets keeps each pattern from finding itself.
FORBIDDEN = {
    "a registry's host": re.compile(
        r"\b(pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(org|com)|deb\.debia[n]\.org|crate[s]\.io)\b"
        r"|artifact[-_]?registr[y]",
        re.IGNORECASE,
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.$}/:~-])/(wor[k]|roo[t]|tm[p]|hom[e]|far[m])/[\w.]"
    ),
    "who or what wrote it": re.compile(
        r"\b(claud[e]|anthropi[c]|opena[i]|chatgp[t]|copilo[t]|ll[m]s?|language mode[l]s?)\b"
        r"|\bA[I][- ](assistant|agent|generated|written)",
        re.IGNORECASE,
    ),
    "the place it was made in": re.compile(
        r"\bissue #?\d+\b|\b(coding|this|previous|next) sessio[n]\b|shared/(design|style|referenc[e])",
        re.IGNORECASE,
    ),
    "a promise instead of code": re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b"),
}

BINARY = {".bin", ".der", ".png", ".gz", ".xz", ".hex", ".sqlite"}
# Written by tools or by others; only whole-file hashes or names in them are ours.
NOT_PROSE = {"package-lock.json"}


def faults(text: str) -> list[tuple[int, str, str]]:
    return [
        (number, why, found[0])
        for number, line in enumerate(text.splitlines(), 1)
        for why, pattern in FORBIDDEN.items()
        if (found := pattern.search(line))
    ]


@pytest.mark.parametrize(
    "line",
    [
        "see https://py" + "pi.org/project/x",
        '"resolved": "https://registry.npm' + 'js.org/x"',
        "open('/tm" + "p/x')",
        "cd /wor" + "k/main",
        "as in iss" + "ue #12",
        "written by Clau" + "de",
        "# TO" + "DO: later",
    ],
)
def test_a_planted_fault_is_seen(line: str) -> None:
    assert faults(line)


@pytest.mark.parametrize(
    "line",
    ["src/work/x", "a TLS session", "https://example.org/home/x", "/var/run/x.sock", "$ROOT/tmp/x"],
)
def test_what_is_harmless_is_let_through(line: str) -> None:
    assert faults(line) == []


def test_no_file_holds_a_forbidden_text(root: Path, files: tuple[Path, ...]) -> None:
    found = []
    for path in files:
        if path.suffix in BINARY:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(root)}:{n}: {why}: {what}" for n, why, what in faults(text)]
    assert found == [], "\n".join(found)


def test_a_package_lock_names_no_address(files: tuple[Path, ...]) -> None:
    for path in files:
        if path.name in NOT_PROSE:
            assert '"resolved"' not in path.read_text(), path
