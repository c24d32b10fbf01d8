"""The guest runs with the packages of its own lock and no other."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

# Read by a fresh interpreter. Everything that is neither the standard library, nor guest, nor one of
# the lock's packages cannot be imported in it, however deep the import stands.
PROBE = """
import importlib, pkgutil, sys

allowed = set(sys.argv[2:]) | set(sys.stdlib_module_names) | {"guest"}

class OnlyTheLock:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ImportError(f"{name} is not in the guest's lock")
        return None

for name in [name for name in sys.modules if name.partition(".")[0] not in allowed]:
    if name != "__main__":
        del sys.modules[name]
sys.meta_path.insert(0, OnlyTheLock())
sys.path.insert(0, sys.argv[1])
import guest
for module in pkgutil.walk_packages(guest.__path__, "guest."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


def locked(root: Path, level: str) -> set[str]:
    text = (root / f"requirements-{level}.lock").read_text()
    return {match.lower() for match in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


def importable(distributions: set[str]) -> set[str]:
    """Return the top-level modules that the installed `distributions` bring."""
    return {
        module
        for module, owners in packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", owner).lower() in distributions for owner in owners)
    }


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level modules that a file imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add((node.module or "").partition(".")[0])
    return found


def probe(root: Path, modules: set[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", PROBE, str(root), *sorted(modules)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_guest_module_imports_with_the_guest_lock_alone(root: Path) -> None:
    done = probe(root, importable(locked(root, "guest")))
    assert done.returncode == 0, done.stderr
    assert "guest.protocol.primitives" in done.stdout


def test_the_probe_refuses_a_package_that_the_lock_lacks(root: Path) -> None:
    without = importable(locked(root, "guest") - {"coincurve"})
    done = probe(root, without)
    assert done.returncode != 0
    assert "coincurve is not in the guest's lock" in done.stderr


def test_no_guest_file_names_a_package_outside_its_lock(root: Path) -> None:
    allowed = importable(locked(root, "guest")) | set(sys.stdlib_module_names) | {"guest"}
    found = {
        f"{path.relative_to(root)} imports {name}"
        for path in (root / "guest").rglob("*.py")
        for name in imported(ast.parse(path.read_text())) - allowed
    }
    assert not found, found


def test_the_guest_lock_is_small_and_has_no_chain_client(root: Path) -> None:
    names = locked(root, "guest")
    assert len(names) <= 8, names
    assert not {"web3", "eth-account", "aiohttp", "requests", "httpx"} & names
