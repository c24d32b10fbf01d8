"""X.509 for attestation: the only file of trusted code that parses certificates and CRLs.

Owns a strict PEM reader, so that the verification library and we see the same certificates, and the
few facts that we read from them. It verifies no signature: it is asked only about certificates whose
chain the library has verified, and about the root that the network file names.
"""

import base64
import binascii
import re
import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from guest.protocol.errors import MalformedInput
from guest.protocol.primitives import keccak256, sha384

MAX_CHAIN = 3
"""Leaf, one intermediate, root: no chain of this PKI is longer."""

_BLOCK = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)-----END CERTIFICATE-----\n?"
)
_SGX_EXTENSION = x509.ObjectIdentifier("1.2.840.113741.1.13.1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Facts of one certificate. `spki_hash` is Keccak-256 of its SubjectPublicKeyInfo (DER).

    `key_id` is SHA-384 of the bare public key, as Intel's libraries name a root.
    """

    common_name: str
    subject: bytes
    issuer: bytes
    has_sgx_extension: bool
    spki_hash: bytes
    key_id: bytes


def decode_chain(pem: bytes) -> tuple[bytes, ...]:
    """Return the DER of one to three certificates, leaf first, from canonical PEM (RFC 7468, 3).

    Canonical means that the text encodes back to itself, but for a newline at its end. Anything else
    could read differently in another parser, which may take other labels, skip junk or trim.
    Raises `MalformedInput`.
    """
    blocks = _BLOCK.findall(pem)
    if not 1 <= len(blocks) <= MAX_CHAIN:
        raise MalformedInput(
            "certificate chain has a wrong length", got=len(blocks), expected=f"1 to {MAX_CHAIN}"
        )
    try:
        chain = tuple([base64.b64decode(block) for block in blocks])
    except binascii.Error:
        raise MalformedInput("certificate chain is not base64") from None
    if encode_chain(chain).removesuffix(b"\n") != pem.removesuffix(b"\n"):
        raise MalformedInput("certificate chain is not canonical PEM")
    return chain


def encode_chain(chain: tuple[bytes, ...]) -> bytes:
    """Return the one PEM text of a chain of DER certificates."""
    return b"".join(
        [
            b"-----BEGIN CERTIFICATE-----\n"
            + b"".join([text[at : at + 64] + b"\n" for at in range(0, len(text), 64)])
            + b"-----END CERTIFICATE-----\n"
            for text in map(base64.b64encode, chain)
        ]
    )


def read_certificate(der: bytes) -> Certificate:
    """Return what we want to know of a certificate; raises `MalformedInput`."""
    try:
        with warnings.catch_warnings():
            # The library only warns of names and numbers outside the profile; we refuse them.
            warnings.simplefilter("error")
            return _facts(x509.load_der_x509_certificate(der))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, Warning) as error:
        raise MalformedInput("certificate does not parse", got=error) from None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise MalformedInput("certificate has a bad extension", got=error) from None


def _facts(certificate: x509.Certificate) -> Certificate:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key = certificate.public_key()
    return Certificate(
        common_name=str(names[0].value) if len(names) == 1 else "",
        subject=certificate.subject.public_bytes(),
        issuer=certificate.issuer.public_bytes(),
        has_sgx_extension=_SGX_EXTENSION in {e.oid for e in certificate.extensions},
        spki_hash=keccak256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        key_id=sha384(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
    )


def crl_issued_at(der: bytes) -> int:
    """Return the `thisUpdate` of a CRL in Unix seconds; raises `MalformedInput`."""
    try:
        return int(x509.load_der_x509_crl(der).last_update_utc.timestamp())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MalformedInput("CRL does not parse", got=error) from None
