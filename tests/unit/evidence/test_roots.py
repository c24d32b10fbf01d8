"""Two roots and no third."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from guest.evidence import roots
from guest.evidence.certificates import read_certificate
from guest.evidence.roots import (
    DEVELOPMENT,
    INTEL,
    AttestationRoot,
    RootName,
    root_for_audit,
    root_from_der,
)
from guest.protocol.errors import MalformedInput, Reason, Refused
from host.devplatform import pki
from host.devplatform.make_root import CERTIFICATE_FILE, KEY_FILE, make_root


@pytest.mark.parametrize("root", [INTEL, DEVELOPMENT])
def test_the_constants_of_a_root_are_those_of_its_certificate(root: AttestationRoot) -> None:
    facts = read_certificate(root.der)
    assert (root.spki_hash, root.key_id) == (facts.spki_hash, facts.key_id)
    assert root_from_der(root.der) is root
    assert root_for_audit(root.der) is root


def test_intels_root_is_the_one_that_the_samples_came_with(data: bytes) -> None:
    assert (data / "intel_sgx_root_ca.der").read_bytes() == INTEL.der


def test_the_development_root_says_that_it_is_one() -> None:
    assert "TEST" in read_certificate(DEVELOPMENT.der).common_name
    assert pki.root().chain[0].public_bytes(Encoding.DER) == DEVELOPMENT.der


def test_no_other_root_is_known(tmp_path: Path) -> None:
    make_root(tmp_path)
    other = (tmp_path / CERTIFICATE_FILE).read_bytes()
    assert x509.load_der_x509_certificate(other).subject == pki.root().chain[0].subject
    for der in (other, b"", INTEL.der + b"\0", INTEL.der[:-1]):
        with pytest.raises(Refused) as caught:
            root_from_der(der)
        assert caught.value.reason is Reason.QUOTE_WRONG_ROOT
    assert root_for_audit(other).name is RootName.OTHER
    with pytest.raises(MalformedInput):
        root_for_audit(b"junk")


def test_the_root_is_never_overwritten(tmp_path: Path) -> None:
    make_root(tmp_path)
    key = (tmp_path / KEY_FILE).read_bytes()
    assert b"public" in key
    with pytest.raises(FileExistsError):
        make_root(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == key


def test_nothing_adds_a_root_at_run_time() -> None:
    assert set(roots._BY_DER) == {INTEL.der, DEVELOPMENT.der}
