"""Makes the development root: a self-signed CA whose private key is public, by intention.

Run once, as `python -m host.devplatform.make_root DIRECTORY`; what it wrote is committed beside this
file. It refuses to overwrite, since `guest.evidence.roots` names the committed certificate.
"""

import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from host.devplatform.names import ROOT_NAME

KEY_FILE = "INSECURE-DEVELOPMENT-ROOT-KEY.pem"
CERTIFICATE_FILE = "insecure-development-root.der"
_WARNING = (
    "This private key is public. Whoever holds it can simulate any platform, so it vouches for\n"
    "nothing. Networks of kind test use it to let everyone play along; real ones refuse it.\n"
)


def make_root(directory: Path) -> None:
    """Write a new key and certificate into `directory`; raises `FileExistsError`."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ROOT_NAME)
        .issuer_name(ROOT_NAME)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with (directory / KEY_FILE).open("x") as file:
        file.write(_WARNING + pem.decode())
    with (directory / CERTIFICATE_FILE).open("xb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.DER))


if __name__ == "__main__":
    make_root(Path(sys.argv[1]))
