"""Named regressions: what went wrong elsewhere and must not go wrong here."""

import ast
from pathlib import Path

import pytest

import guest
from guest.evidence.dcap import verify_quote
from guest.evidence.roots import DEVELOPMENT, INTEL, root_from_der
from guest.evidence.tcb import STRICT
from guest.protocol.errors import MalformedInput, Reason, Refused
from tests.unit.evidence.attempts import Attempt

GUEST = Path(guest.__file__).parent
TRUSTED = sorted([*(GUEST / "evidence").glob("*.py"), *(GUEST / "platform").glob("*.py")])
SOURCES = sorted([*GUEST.rglob("*.py"), *(GUEST.parent / "host").rglob("*.py")])


def _names(path: Path) -> set[str]:
    """Every name, attribute and imported module in a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Import):
            found.update(part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            found.update((node.module or "").split("."))
            found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("path", TRUSTED, ids=lambda path: path.stem)
def test_s1_and_finding_562_no_environment_chooses_who_makes_or_verifies_quotes(path: Path) -> None:
    assert not _names(path) & {"environ", "getenv", "environb", "urllib", "http", "requests"}


@pytest.mark.parametrize("path", TRUSTED, ids=lambda path: path.stem)
def test_s1_the_librarys_own_downloads_are_never_called(path: Path) -> None:
    names = _names(path)
    assert (
        not names
        & {
            "get_collateral",
            "get_collateral_from_pcs",
            "get_collateral_and_verify",
            "verify_with_policy",
        }
        or path.stem == "claims"
    )
    assert ("dcap_qvl" in names) == (path.stem == "claims")


def test_s1_the_one_caller_of_the_library_downloads_nothing() -> None:
    names = _names(GUEST / "evidence" / "claims.py")
    assert not {name for name in names if name.startswith("get_")}
    assert "strict" not in names


def test_s11_and_finding_563_the_guest_holds_no_simulated_platform() -> None:
    for path in sorted(GUEST.rglob("*.py")):
        names = _names(path)
        assert "devplatform" not in names, path
        assert not names & {"load_pem_private_key", "derive_private_key"}, path


def test_s11_a_quote_that_anyone_can_have_is_refused_on_a_real_network(good: Attempt) -> None:
    attempt = good.but(root=root_from_der(INTEL.der))
    assert attempt.refused() is Reason.QUOTE_WRONG_ROOT


@pytest.mark.parametrize("quote", [b"", bytes(5006), b"\x04\x00\x02\x00\x81" + bytes(5001)])
def test_finding_614_a_machine_without_a_tee_has_no_quote_that_passes(
    good: Attempt, quote: bytes
) -> None:
    assert good.but(edit_quote=lambda _: quote)
    with pytest.raises((MalformedInput, Refused)):
        verify_quote(quote, good.collateral, now=good.now, policy=STRICT, root=DEVELOPMENT)


def test_only_the_verifier_makes_verified_quotes() -> None:
    """A type that says verified must have one maker, or it says nothing."""
    makers = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            target = node.func
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
            if name == "VerifiedQuote":
                makers.add(path.name)
    assert makers == {"dcap.py"}


def test_no_identity_is_made_from_a_hash_of_quote_bytes() -> None:
    """Signatures have twins and quotes have padding: evidence code hashes registers and keys only."""
    hashing = {path.stem for path in TRUSTED if _names(path) & {"keccak256", "sha256", "sha384"}}
    assert hashing <= {"certificates", "eventlog", "attestation", "header", "trie", "state_proof"}
