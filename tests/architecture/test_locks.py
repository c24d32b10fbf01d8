"""The locks hold what pyproject.toml asks for, all that it needs, and nothing else."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = {"guest": ("guest",), "host": ("guest", "host"), "dev": ("guest", "host", "dev")}
# Of an environment of its own, so what it needs cannot be asked of the packages installed here.
SEPARATE = {"contracts": ("analysis",)}
# The lowest Python that we support needs the most: the locks are resolved for it.
ENVIRONMENT = {
    "python_version": "3.11",
    "python_full_version": "3.11.2",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}

ENTRY = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[A-Za-z0-9.+!]+)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)"
)


def lock_text(root: Path, level: str) -> str:
    return (root / f"requirements-{level}.lock").read_text()


def pins(root: Path, level: str) -> dict[str, str]:
    return {m["name"]: m["version"] for m in ENTRY.finditer(lock_text(root, level))}


def asked(root: Path, level: str) -> list[Requirement]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = (LOCKS | SEPARATE)[level]
    lines = project["dependencies"] + [line for name in names for line in extras[name]]
    return [Requirement(line) for line in lines]


def needed(requirement: Requirement) -> list[Requirement]:
    """Return what an installed distribution itself requires, with the extras asked of it."""
    found = []
    for line in distribution(requirement.name).requires or []:
        inner = Requirement(line)
        extras = requirement.extras or {""}
        if inner.marker is None or any(
            inner.marker.evaluate({**ENVIRONMENT, "extra": extra}) for extra in extras
        ):
            found.append(inner)
    return found


def closure(requirements: list[Requirement]) -> dict[str, list[Requirement]]:
    """Return every distribution that `requirements` lead to, and all that is asked of it."""
    reached: dict[str, list[Requirement]] = {}
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        asked_before = reached.setdefault(canonicalize_name(requirement.name), [])
        if str(requirement) in {str(known) for known in asked_before}:
            continue
        asked_before.append(requirement)
        waiting += needed(requirement)
    return reached


@pytest.mark.parametrize("level", LOCKS)
def test_a_lock_is_the_exact_closure_of_its_extras(root: Path, level: str) -> None:
    assert set(pins(root, level)) == set(closure(asked(root, level)))


@pytest.mark.parametrize("level", LOCKS)
def test_every_pin_satisfies_all_that_is_asked_of_it(root: Path, level: str) -> None:
    pinned = pins(root, level)
    broken = [
        f"{name}=={pinned[name]} against {requirement}"
        for name, requirements in closure(asked(root, level)).items()
        for requirement in requirements
        if not requirement.specifier.contains(pinned[name], prereleases=True)
    ]
    assert broken == []


@pytest.mark.parametrize("level", LOCKS)
def test_the_installed_versions_are_the_pinned_ones(root: Path, level: str) -> None:
    installed = {name: distribution(name).version for name in pins(root, level)}
    assert installed == pins(root, level)


@pytest.mark.parametrize("level", SEPARATE)
def test_a_separate_lock_pins_what_its_extras_ask_for(root: Path, level: str) -> None:
    pinned = pins(root, level)
    for requirement in asked(root, level):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("level", LOCKS | SEPARATE)
def test_a_lock_holds_hashed_pins_and_nothing_else(root: Path, level: str) -> None:
    text = lock_text(root, level)
    rest = ENTRY.sub("", "".join(line for line in text.splitlines(True) if line[0] != "#"))
    assert rest.strip() == ""
    assert "://" not in text


def test_each_lock_holds_the_one_before_hash_by_hash(root: Path) -> None:
    entries = {level: {m[0] for m in ENTRY.finditer(lock_text(root, level))} for level in LOCKS}
    assert entries["guest"] < entries["host"] < entries["dev"]


def test_every_guest_dependency_says_why_it_is_there(root: Path) -> None:
    text = (root / "pyproject.toml").read_text()
    block = re.search(r"^guest = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block
    for line in block[1].splitlines():
        assert re.match(r'  "[^"]+",\s+# \S.{15,}', line), f"no reason: {line}"
