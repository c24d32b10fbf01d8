"""Simulated quotes: TD reports signed as a quoting enclave would, versions 4 and 5.

Owns the writing of the layout that `guest.evidence.quote` reads; the two are written apart from each
other, so that a mistake in one shows as a failing test and not as an agreement.
"""

import hashlib
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from host.devplatform.pki import Machine, derived_key, platform_certificate

QE_SIGNER = hashlib.sha256(b"Replicatoor TEST quoting enclave").digest()
QE_PRODUCT = 2
QE_VERSION = 4
_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_AUTHENTICATION = bytes(range(32))

TD10, TD15, TD15_EX = 2, 3, 4


@dataclass(frozen=True, slots=True)
class TdReport:
    """What a simulated TD reports. Defaults are those of a production TD on a current module."""

    report_data: bytes = bytes(64)
    mrtd: bytes = b"\x01" * 48
    rtmrs: tuple[bytes, bytes, bytes, bytes] = (b"\x02" * 48, b"\x03" * 48, b"\x04" * 48, bytes(48))
    td_attributes: int = 1 << 28
    xfam: int = 0x602E7
    mr_config_id: bytes = bytes(48)
    mr_owner: bytes = bytes(48)
    mr_owner_config: bytes = bytes(48)
    mr_seam: bytes = b"\x05" * 48
    mr_signer_seam: bytes = bytes(48)
    launch_svn: bytes = bytes([3, 1, 5]) + bytes(13)
    current_svn: bytes = bytes([3, 1, 5]) + bytes(13)
    mr_service_td: bytes = bytes(48)
    current_service_td: bytes = bytes(48)
    vm: int = 0

    def encode(self, body: int) -> bytes:
        """Return the report as a body of this type."""
        data = b"".join(
            (
                self.launch_svn,
                self.mr_seam,
                self.mr_signer_seam,
                bytes(8),
                struct.pack("<QQ", self.td_attributes, self.xfam),
                self.mrtd,
                self.mr_config_id,
                self.mr_owner,
                self.mr_owner_config,
                *self.rtmrs,
                self.report_data,
            )
        )
        if body >= TD15:
            data += self.current_svn + self.mr_service_td
        if body == TD15_EX:
            data += bytes([self.vm]) + b"\x06" * 32 + bytes(48 + 48 + 8)
            data += bytes(16) + self.launch_svn + bytes(12) + self.current_service_td + bytes(8)
        return data


@dataclass(frozen=True, slots=True)
class QuotingEnclave:
    """A simulated quoting enclave on one machine. Attributes 0x15 are those of a production one."""

    machine: Machine = field(default_factory=Machine)
    attributes: int = 0x15
    isv_svn: int = QE_VERSION

    def quote(self, report: TdReport, *, version: int = 4, body: int = TD10) -> bytes:
        """Return a signed quote. Version 4 carries only TD10."""
        head = struct.pack("<HHIHH", version, 2, 0x81, 0, 0) + _VENDOR + bytes(20)
        encoded = report.encode(body)
        if version == 5:
            head += struct.pack("<HI", body, len(encoded))
        signed = head + encoded
        key = derived_key(f"attestation key {self.machine.number}")
        public = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )[1:]
        certification = self._certification(public)
        signature = sign_raw(key, signed) + public
        signature += struct.pack("<HI", 6, len(certification)) + certification
        return signed + struct.pack("<I", len(signature)) + signature

    def _certification(self, attestation_key: bytes) -> bytes:
        bound = hashlib.sha256(attestation_key + _AUTHENTICATION).digest()
        report = b"".join(
            (
                bytes(16 + 4 + 28),
                struct.pack("<QQ", self.attributes, 0xE7),
                b"\x07" * 32,
                bytes(32),
                QE_SIGNER,
                bytes(96),
                struct.pack("<HH", QE_PRODUCT, self.isv_svn),
                bytes(60),
                bound,
                bytes(32),
            )
        )
        certificate = platform_certificate(self.machine)
        chain = certificate.pem + b"\0"
        return (
            report
            + sign_raw(certificate.key, report)
            + struct.pack("<H", len(_AUTHENTICATION))
            + _AUTHENTICATION
            + struct.pack("<HI", 5, len(chain))
            + chain
        )


def sign_raw(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return the ECDSA signature with SHA-256 as r then s, 32 bytes each."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
