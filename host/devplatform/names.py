"""Names of the simulated PKI: whoever meets one in a log or a certificate sees that it is a fake.

The words "Platform" and "TCB Signing" stay, since verifiers look for them.
"""

from cryptography import x509
from cryptography.x509.oid import NameOID

FMSPC = bytes.fromhex("00dead00beef")
PCE_ID = bytes(2)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Replicatoor TEST, not a CPU vendor"),
        ]
    )


ROOT_NAME = _name("Replicatoor TEST Root CA, private key is public")
PLATFORM_CA_NAME = _name("Replicatoor TEST PCK Platform CA")
PCK_NAME = _name("Replicatoor TEST PCK Certificate")
SIGNER_NAME = _name("Replicatoor TEST TCB Signing")
