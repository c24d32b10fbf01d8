"""Each import contract of pyproject.toml breaks on the violations planted for it.

That they hold on the tree itself is what import-linter says in the unit tier.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TRUSTED = "Trusted code never imports untrusted code"
HOST_VIEW = "The host sees guest.protocol, and evidence only where it audits"
PURE = "Protocol, evidence, core and chain do no I/O"
LAYERS = "Guest layers"
CRYPTO = "One file makes every low-level crypto call"
QUOTES = "One file calls the quote verifier"

PACKAGES = ("agent", "machine", "platform", "core", "chain", "evidence", "protocol")
MODULES = (
    "__main__",
    "runtime",
    "link",
    "config",
    "protocol/primitives",
    "evidence/dcap",
    "evidence/claims",
)
HOST_MODULES = ("__main__", "audit/quote", "service")

PLANTED = [
    ("guest/runtime.py", "import host.service", TRUSTED),
    ("guest/agent/socket.py", "from host import service", TRUSTED),
    ("host/service.py", "import guest.runtime", HOST_VIEW),
    ("host/service.py", "from guest.core import joiner", HOST_VIEW),
    ("host/service.py", "import guest.evidence.dcap", HOST_VIEW),
    ("host/__main__.py", "import guest.evidence.dcap", HOST_VIEW),
    ("host/audit/quote.py", "import guest.chain", HOST_VIEW),
    ("guest/protocol/clock.py", "import time", PURE),
    ("guest/evidence/files.py", "from pathlib import Path", PURE),
    ("guest/core/joiner.py", "import os", PURE),
    ("guest/core/joiner.py", "def f():\n    import asyncio", PURE),
    ("guest/chain/fetch.py", "import urllib.request", PURE),
    ("guest/chain/entropy.py", "from secrets import token_bytes", PURE),
    ("guest/core/joiner.py", "import guest.runtime", LAYERS),
    ("guest/protocol/codec.py", "import guest.evidence.dcap", LAYERS),
    ("guest/chain/clock.py", "import guest.core", LAYERS),
    ("guest/agent/socket.py", "import guest.platform", LAYERS),
    ("guest/newcomer.py", "", LAYERS),
    ("guest/protocol/keys.py", "import cryptography.hazmat", CRYPTO),
    ("guest/core/joiner.py", "from coincurve import PrivateKey", CRYPTO),
    ("guest/evidence/dcap.py", "from Crypto.Hash import keccak", CRYPTO),
    ("guest/core/admission.py", "import dcap_qvl", QUOTES),
    ("guest/evidence/dcap.py", "import dcap_qvl", QUOTES),
]

ALLOWED = [
    ("host/service.py", "import guest.protocol.codec"),
    ("host/audit/quote.py", "from guest.evidence import dcap"),
    (
        "guest/protocol/primitives.py",
        "import coincurve, cryptography.hazmat\nfrom Crypto.Hash import keccak",
    ),
    ("guest/evidence/claims.py", "import dcap_qvl, guest.protocol.primitives"),
    ("guest/runtime.py", "import asyncio, guest.agent, guest.platform, guest.core, guest.protocol"),
]


def skeleton(folder: Path) -> None:
    """Lay out a project with the real contracts and empty modules in the real places."""
    for package in ("", *PACKAGES):
        place = folder / "guest" / package
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").write_text("")
    for module in MODULES:
        (folder / "guest" / f"{module}.py").write_text("")
    for module in HOST_MODULES:
        file = folder / "host" / f"{module}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").write_text("")
        file.write_text("")
    (folder / "guest" / "protocol" / "codec.py").write_text("")


def plant(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def verdicts(folder: Path, root: Path) -> dict[str, str]:
    """Return what import-linter says of each contract: KEPT or BROKEN."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    command += ["--config", str(root / "pyproject.toml")]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200", "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    names = {TRUSTED, HOST_VIEW, PURE, LAYERS, CRYPTO, QUOTES}
    found = {
        name: word
        for line in done.stdout.splitlines()
        for name in names
        for word in ("KEPT", "BROKEN")
        if line.startswith(f"{name} {word}")
    }
    assert set(found) == names, f"import-linter gave no verdict: {done.stdout}{done.stderr}"
    assert (done.returncode == 0) == ("BROKEN" not in found.values())
    return found


def test_every_contract_is_one_that_these_tests_break(root: Path) -> None:
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {row["name"] for row in contracts["contracts"]} == {name for *_, name in PLANTED}


def test_what_the_layout_allows_keeps_every_contract(tmp_path: Path, root: Path) -> None:
    skeleton(tmp_path)
    for path, text in ALLOWED:
        plant(tmp_path, path, text)
    assert "BROKEN" not in verdicts(tmp_path, root).values()


@pytest.mark.parametrize(("path", "text", "broken"), PLANTED)
def test_a_planted_violation_breaks_its_contract(
    tmp_path: Path, root: Path, path: str, text: str, broken: str
) -> None:
    skeleton(tmp_path)
    plant(tmp_path, path, text)
    assert verdicts(tmp_path, root)[broken] == "BROKEN"
