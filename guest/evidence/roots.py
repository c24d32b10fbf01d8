"""The two roots that attestation may end in, as constants that are measured with the code.

Owns who they are. Which of them a network uses is its network file's word; that the pair (kind, root)
makes sense is checked where that file is read. Nothing here can add a root at run time.
"""

import base64
from dataclasses import dataclass
from enum import StrEnum

from guest.evidence.certificates import read_certificate
from guest.protocol.errors import Reason, Refused


class RootName(StrEnum):
    """Which root. `OTHER` exists for auditors only: no quote under it ever admits a node."""

    INTEL = "intel"
    DEVELOPMENT = "development"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class AttestationRoot:
    """A trust anchor.

    `spki_hash` is Keccak-256 of the SubjectPublicKeyInfo (DER): the contract's `attestationRoot`.
    `key_id` is SHA-384 of the bare public key: what verification reports as `root_key_id`.
    `signer` is the end of the common name that a signer of TCB data must have.
    """

    name: RootName
    der: bytes
    spki_hash: bytes
    key_id: bytes
    signer: str


INTEL = AttestationRoot(
    RootName.INTEL,
    base64.b64decode(
        "MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIwaDEaMBgGA1UEAwwRSW50ZWwg"
        "U0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkG"
        "A1UECAwCQ0ExCzAJBgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgGA1UEAwwR"
        "SW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFy"
        "YTELMAkGA1UECAwCQ0ExCzAJBgNVBAYTAlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPW"
        "sCzaEKi71OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOBuzCBuDAfBgNVHSME"
        "GDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJMEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50"
        "cnVzdGVkc2VydmljZXMuaW50ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUImUM1lqdNInzg7SV"
        "Ur9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYIKoZIzj0EAwIDSQAwRgIhAOW/"
        "5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwgAiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI="
    ),
    bytes.fromhex("86025e7dd182053e011ffcf31d3985f6e9c24bc76bef1735b0f435110d20e8f2"),
    bytes.fromhex(
        "46e403bd34f05a3f2817ab9badcaacc7ffc98e0f261008cd"
        "30dae936cace18d5dcf58eef31463613de1570d516200993"
    ),
    "Intel SGX TCB Signing",
)
"""Intel SGX Root CA, as Intel publishes it with its provisioning certification service."""

DEVELOPMENT = AttestationRoot(
    RootName.DEVELOPMENT,
    base64.b64decode(
        "MIICBDCCAaqgAwIBAgIBATAKBggqhkjOPQQDAjBnMTgwNgYDVQQDDC9SZXBsaWNhdG9vciBURVNUIFJvb3QgQ0Es"
        "IHByaXZhdGUga2V5IGlzIHB1YmxpYzErMCkGA1UECgwiUmVwbGljYXRvb3IgVEVTVCwgbm90IGEgQ1BVIHZlbmRv"
        "cjAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowZzE4MDYGA1UEAwwvUmVwbGljYXRvb3IgVEVTVCBS"
        "b290IENBLCBwcml2YXRlIGtleSBpcyBwdWJsaWMxKzApBgNVBAoMIlJlcGxpY2F0b29yIFRFU1QsIG5vdCBhIENQ"
        "VSB2ZW5kb3IwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQccKQLfESfnlH3BQUW2SghsNaD4X+YYplqkmUhzXTM"
        "3bOiM6/PoH3D3s1gl+hnwpJ9JLCwjfgw3Rpp8ZgQif92o0UwQzASBgNVHRMBAf8ECDAGAQH/AgEBMA4GA1UdDwEB"
        "/wQEAwIBBjAdBgNVHQ4EFgQUrDzuWuZcwoRhadu/HV4kVS6E9ggwCgYIKoZIzj0EAwIDSAAwRQIhAMzbVyVb8ScF"
        "EW3sZYrSSu8CycL2TwYEJKeODWjm+sMxAiAKPv5W4ZpxrJvKEqKhno6zaQ72FQ36WfxV3L2rA72vNg=="
    ),
    bytes.fromhex("14d383c04cd7af7908c3f4000655305eac1986c5d84684a274b853fa54389179"),
    bytes.fromhex(
        "c1286dcfde843a78d9c11dcee0c977c3fc48f4401ce98696"
        "e5fc42186d3089237d0b2412ad0a8bedbcea0602e7b367ab"
    ),
    "Replicatoor TEST TCB Signing",
)
"""The root of simulated hardware. Its private key is public, so it vouches for nothing."""

_BY_DER = {root.der: root for root in (INTEL, DEVELOPMENT)}


def root_from_der(der: bytes) -> AttestationRoot:
    """Return the known root with exactly this certificate; refuses any other."""
    root = _BY_DER.get(der)
    if root is None:
        raise Refused(
            Reason.QUOTE_WRONG_ROOT,
            "unknown attestation root",
            mend="Use Intel's root, or the development root for a network of kind test.",
        )
    return root


def root_for_audit(der: bytes) -> AttestationRoot:
    """Return any root, so that an auditor can judge quotes of another PKI. Raises `MalformedInput`."""
    if der in _BY_DER:
        return _BY_DER[der]
    facts = read_certificate(der)
    return AttestationRoot(RootName.OTHER, der, facts.spki_hash, facts.key_id, "TCB Signing")
