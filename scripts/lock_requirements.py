"""Writes the requirements-*.lock files from the extras that pyproject.toml names.

Owns: which extras make which lock, and the form of a lock: `name==version` and the SHA-256 of every
wheel that pip would choose for it, one for each supported Python on x86-64 Linux. No sdist is
admitted, so installing from a lock runs no build script. A lock names no address: where packages
come from is the machine's business, what they contain is ours.
Must not: be needed to install or to test; only to change a dependency.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Lock name -> extras it holds. The measured image installs `guest` and nothing else. `contracts` is for
# an environment of its own, since its tools pin libraries that the host needs in newer versions.
LOCKS = {
    "guest": ("guest",),
    "host": ("guest", "host"),
    "dev": ("guest", "host", "dev"),
    "contracts": ("analysis",),
}
# Locks that share an environment, and so versions, with this one.
WIDEST = "dev"
SEPARATE = frozenset({"contracts"})
# The lowest one resolves: a newer Python only ever needs fewer backports than it. The highest is
# the last for which every pinned package has a wheel (coincurve 21 has none for 3.14). Whole versions,
# those of Debian 12, Ubuntu 24.04 and Debian 13: to pip, 3.12 alone is 3.12.0, which some exclude.
PYTHONS = ("3.11.2", "3.12.3", "3.13.5")
# Debian 12 has glibc 2.36; pip wants every older tag spelt out.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
PIP_TIMEOUT_SECONDS = 900

Pins = dict[str, str]
Hashes = dict[str, set[str]]


class LockError(Exception):
    """The lock cannot be made; the message says why."""


def normalised(name: str) -> str:
    """Return a distribution name in the one form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def report(arguments: Iterable[str], requirements: Iterable[str]) -> list[tuple[str, str, str]]:
    """Ask pip what it would install: (name, version, SHA-256 of the file), nothing is installed.

    Raises:
        LockError: pip fails, or chose a file whose index gives no SHA-256.
    """
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "-qq"]
    command += ["--no-input", "--disable-pip-version-check", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory() as folder:
        # Only the machine's main index counts: a side index, or a folder of wheels, may hold files
        # of the same version that were built elsewhere. An empty folder stands in for both.
        empty = Path(folder, "empty")
        empty.mkdir()
        environment = {
            **os.environ,
            "PIP_EXTRA_INDEX_URL": empty.as_uri(),
            "PIP_FIND_LINKS": str(empty),
        }
        answer = Path(folder, "report.json")
        command += ["--target", folder, "--report", str(answer), *arguments, *requirements]
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PIP_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise LockError(done.stderr.strip())
        chosen = json.loads(answer.read_text())["install"]
    rows = []
    for item in chosen:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        digest = item["download_info"]["archive_info"].get("hashes", {}).get("sha256")
        if not digest:
            raise LockError(f"the index gives no SHA-256 for {name} {version}")
        rows.append((normalised(name), version, digest))
    return rows


def resolve(requirements: list[str], constraints: Pins) -> Pins:
    """Return the closure of `requirements`, with the versions of `constraints` where it has them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in constraints.items())
        file.flush()
        rows = report(["--constraint", file.name], requirements)
    return {name: version for name, version, _ in rows}


def wheel_hashes(pins: Pins) -> Hashes:
    """Return the SHA-256 of the wheel that each supported Python would take for each pin."""
    found: Hashes = {name: set() for name in pins}
    exact = [f"{name}=={version}" for name, version in pins.items()]
    platforms = [word for tag in PLATFORMS for word in ("--platform", tag)]
    for python in PYTHONS:
        arguments = ["--no-deps", "--python-version", python, *platforms]
        for name, _, digest in report(arguments, exact):
            found[name].add(digest)
        print(f"python {python}: {len(exact)} wheels", file=sys.stderr)
    return found


def render(pins: Pins, hashes: Hashes) -> str:
    """Return the text of a lock in the form that `pip install --require-hashes` reads."""
    lines = ["# Written by scripts/lock from pyproject.toml. Do not edit."]
    for name in sorted(pins):
        digests = [f"    --hash=sha256:{digest}" for digest in sorted(hashes[name])]
        lines.append(" \\\n".join([f"{name}=={pins[name]}", *digests]))
    return "\n".join(lines) + "\n"


def write(lock: str, pins: Pins, hashes: Hashes) -> None:
    """Write one lock file."""
    (ROOT / f"requirements-{lock}.lock").write_text(render(pins, hashes))
    print(f"requirements-{lock}.lock: {len(pins)} packages", file=sys.stderr)


def lock_all(wanted: dict[str, list[str]]) -> None:
    """Resolve and write every lock."""
    shared = resolve(wanted[WIDEST], {})
    hashes = wheel_hashes(shared)
    for lock, requirements in wanted.items():
        if lock in SEPARATE:
            own = resolve(requirements, {})
            write(lock, own, wheel_hashes(own))
        else:
            write(lock, resolve(requirements, shared), hashes)


def main() -> int:
    """Rewrite every lock; return the exit code."""
    argparse.ArgumentParser(prog="scripts/lock", description=__doc__.splitlines()[0]).parse_args()
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    lowest = PYTHONS[0].rpartition(".")[0]
    if running != lowest:
        message = f"run with Python {lowest}, the lowest supported; this is {running}"
        print(f"lock: {message}", file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = {
        lock: [line for extra in names for line in extras[extra]] for lock, names in LOCKS.items()
    }
    try:
        lock_all(wanted)
    except (LockError, subprocess.TimeoutExpired) as error:
        print(f"lock: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
