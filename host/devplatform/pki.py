"""The simulated PKI: certificates and CRLs below the one committed development root.

Every key below the root is derived from the root's private key, which is public anyway. So services
that never met share one PKI, nothing is stored, and a restart changes nothing. Shapes follow Intel's
SGX PCK certificate and CRL profile, since the verifier of real quotes reads them.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from host.devplatform.names import FMSPC, PCE_ID, PCK_NAME, PLATFORM_CA_NAME, ROOT_NAME, SIGNER_NAME

_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
_DIRECTORY = Path(__file__).parent
_ROOT_FILE = "INSECURE-DEVELOPMENT-ROOT-KEY.pem"
_CERTIFICATE_FILE = "insecure-development-root.der"
_SGX_EXTENSION = "1.2.840.113741.1.13.1"
_SGX_OID = bytes.fromhex("2a864886f84d010d01")
_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2120, 1, 1, tzinfo=UTC)
_SEQUENCE, _INTEGER, _OCTETS, _OID, _ENUMERATED, _BOOLEAN = 0x30, 0x02, 0x04, 0x06, 0x0A, 0x01

CPU_SVN = bytes([5] * 8) + bytes(8)
PCE_SVN = 11


@dataclass(frozen=True, slots=True)
class Machine:
    """One simulated machine. `number` makes its keys and PPID; the rest stands in its certificate."""

    number: int = 0
    fmspc: bytes = FMSPC
    pce_id: bytes = PCE_ID
    platform_type: int = 1
    dynamic_platform: bool = True
    cached_keys: bool = True
    smt: bool = True
    valid_until: datetime = _UNTIL

    @property
    def ppid(self) -> bytes:
        """The 16 bytes that name this machine's processor."""
        return hashlib.sha256(b"ppid %d" % self.number).digest()[:16]


class Issuer:
    """A key with the certificate chain below the root that vouches for it, leaf first."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate) -> None:
        """Take a key whose certificate is the first of `chain`."""
        self.key = key
        self.chain = chain

    @cached_property
    def pem(self) -> bytes:
        """The chain as PEM, leaf first, root last."""
        encoded = [c.public_bytes(serialization.Encoding.PEM) for c in self.chain]
        return b"".join(encoded)

    @property
    def serial(self) -> int:
        """Serial number of the leaf."""
        return self.chain[0].serial_number


@cache
def root() -> Issuer:
    """Return the development root."""
    key = serialization.load_pem_private_key((_DIRECTORY / _ROOT_FILE).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the development root has a key of another kind")
    der = (_DIRECTORY / _CERTIFICATE_FILE).read_bytes()
    return Issuer(key, x509.load_der_x509_certificate(der))


def derived_key(label: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key with this label, the same in every process."""
    seed = root().key.private_numbers().private_value.to_bytes(32, "big")
    number = int.from_bytes(hashlib.sha512(seed + label.encode()).digest(), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


@cache
def platform_authority() -> Issuer:
    """Return the CA that signs platforms' certificates and their CRL."""
    return _issue("platform CA", PLATFORM_CA_NAME, root(), authority=True)


@cache
def signer() -> Issuer:
    """Return the signer of TCB info and QE identity."""
    return _issue("TCB signer", SIGNER_NAME, root())


@cache
def misnamed_signer() -> Issuer:
    """Return a leaf directly below the root that has no signing role."""
    return _issue("misnamed signer", PCK_NAME, root())


@cache
def indirect_signer() -> Issuer:
    """Return a leaf with the signer's name that the platform CA made, which it may not."""
    return _issue("indirect signer", SIGNER_NAME, platform_authority())


@cache
def two_faced_signer() -> Issuer:
    """Return a leaf with the signer's name and issuer that is also a platform's certificate."""
    return _issue("two-faced signer", SIGNER_NAME, root(), extension=sgx_extension(Machine()))


@cache
def platform_certificate(machine: Machine) -> Issuer:
    """Return the PCK certificate of a machine, with its SGX extension."""
    return _issue(
        f"PCK {machine.number}",
        PCK_NAME,
        platform_authority(),
        extension=sgx_extension(machine),
        until=machine.valid_until,
    )


def crl(issuer: Issuer, revoked: Iterable[int], *, issued: datetime, until: datetime) -> bytes:
    """Return a CRL in DER that revokes these serial numbers."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.chain[0].subject)
        .last_update(issued)
        .next_update(until)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def sgx_extension(machine: Machine) -> bytes:
    """Return the DER of Intel's SGX extension (SGX PCK certificate profile, 1.3.5)."""
    tcb = [_entry(_der(_INTEGER, bytes([svn])), 2, i + 1) for i, svn in enumerate(CPU_SVN)]
    tcb += [_entry(_der(_INTEGER, bytes([PCE_SVN])), 2, 17), _entry(_der(_OCTETS, CPU_SVN), 2, 18)]
    flags = (machine.dynamic_platform, machine.cached_keys, machine.smt)
    configuration = [
        _entry(_der(_BOOLEAN, b"\xff" if flag else b"\0"), 7, i + 1) for i, flag in enumerate(flags)
    ]
    return _der(
        _SEQUENCE,
        _entry(_der(_OCTETS, machine.ppid), 1),
        _entry(_der(_SEQUENCE, *tcb), 2),
        _entry(_der(_OCTETS, machine.pce_id), 3),
        _entry(_der(_OCTETS, machine.fmspc), 4),
        _entry(_der(_ENUMERATED, bytes([machine.platform_type])), 5),
        _entry(_der(_OCTETS, machine.ppid[::-1]), 6),
        _entry(_der(_SEQUENCE, *configuration), 7),
    )


def _entry(value: bytes, *arc: int) -> bytes:
    return _der(_SEQUENCE, _der(_OID, _SGX_OID + bytes(arc)), value)


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(digits)]) + digits + content


def _issue(
    label: str,
    name: x509.Name,
    issuer: Issuer,
    *,
    authority: bool = False,
    extension: bytes = b"",
    until: datetime = _UNTIL,
) -> Issuer:
    key = derived_key(label)
    usage = x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=authority, path_length=0 if authority else None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(ROOT_NAME if issuer is root() else issuer.chain[0].subject)
        .public_key(key.public_key())
        .serial_number(1 + int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big"))
        .not_valid_before(_FROM)
        .not_valid_after(until)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if extension:
        oid = x509.ObjectIdentifier(_SGX_EXTENSION)
        builder = builder.add_extension(x509.UnrecognizedExtension(oid, extension), critical=False)
    return Issuer(key, builder.sign(issuer.key, hashes.SHA256()), *issuer.chain)
