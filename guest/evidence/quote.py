"""TDX quote bytes to `UnverifiedQuote`: layout only, bounded, and authenticating nothing.

Owns every offset of a quote. It must not judge what a field says: that is `guest.evidence.dcap`.
Layout: Intel TDX DCAP Quoting Library API, appendix A.3 (version 4) and A.4 (version 5).

Padding: quoting services fill a buffer of fixed size and leave its rest zero, as Intel's own samples
show (4,936 bytes of quote in 5,006). So zero bytes after the quote are allowed up to `MAX_QUOTE`, and
only there; `exact` is the quote without them. No identity may be made from a hash of the bytes: an
ECDSA signature has a twin, whatever the layout says.
"""

from dataclasses import dataclass
from enum import IntEnum

from guest.protocol.errors import MalformedInput, Reason, Refused

MAX_QUOTE = 8 * 1024
"""The buffer of the kernel's TSM interface; longer outputs are of a kind that we do not read."""

TEE_TDX = 0x81
_TEE_SGX = 0
_HEADER = 48
_KEY_TYPE_P256 = 2
_QE_VENDOR_INTEL = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_CERTIFICATION_QE_REPORT = 6
_CERTIFICATION_PCK_CHAIN = 5
_QE_AUTHENTICATION = 32


class Body(IntEnum):
    """Kind of TD report, as version 5 numbers it. Version 4 carries `TD10` without saying so."""

    TD10 = 2
    TD15 = 3
    TD15_EX = 4


_BODY_SIZE = {Body.TD10: 584, Body.TD15: 648, Body.TD15_EX: 885}


@dataclass(frozen=True, slots=True)
class UnverifiedQuote:
    """What a quote claims. Hashes are 48 bytes; integers are little-endian in the quote.

    `service_td` joins the fields that name service TDs (none in TD10) and `vm` is the index of the
    partition that asked (0 outside TD15_EX); `certificates` is the PEM text of the PCK chain.
    """

    version: int
    body: Body
    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: int
    xfam: int
    mrtd: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    service_td: bytes
    vm: int
    certificates: bytes
    exact: bytes


class _Cursor:
    """Reads forward; every length is checked against what is left before anything is sliced."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, size: int, what: str) -> bytes:
        left = len(self._data) - self.at
        if size > left:
            raise MalformedInput(f"quote is cut short in {what}", got=left, expected=size)
        self.at += size
        return self._data[self.at - size : self.at]

    def integer(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "little")

    def want(self, size: int, value: int, what: str) -> None:
        got = self.integer(size, what)
        if got != value:
            raise MalformedInput(f"quote has an unknown {what}", got=got, expected=value)

    def rest(self) -> bytes:
        return self._data[self.at :]


def is_sgx(data: bytes) -> bool:
    """Whether the header says that this is an SGX quote. Says nothing about the rest."""
    return len(data) >= _HEADER and int.from_bytes(data[4:8], "little") == _TEE_SGX


def decode_quote(data: bytes) -> UnverifiedQuote:
    """Decode a TDX quote: version 4 with TD10, or version 5 with TD10, TD15 or TD15Ex.

    Raises `Refused` with `QUOTE_NOT_TDX` for an SGX quote, `MalformedInput` for all else.
    """
    if len(data) > MAX_QUOTE:
        raise MalformedInput("quote is too large", got=len(data), expected=f"<= {MAX_QUOTE}")
    cursor = _Cursor(data)
    version = _header(cursor)
    body = _body_kind(cursor, version)
    report = _Cursor(cursor.take(_BODY_SIZE[body], "the TD report"))
    signature = cursor.take(cursor.integer(4, "the signature's length"), "the signature data")
    if any(cursor.rest()):
        raise MalformedInput("quote has trailing bytes that are not zero padding")
    take = report.take
    return UnverifiedQuote(
        version=version,
        body=body,
        tee_tcb_svn=take(16, "TEE_TCB_SVN"),
        mr_seam=take(48, "MRSEAM"),
        mr_signer_seam=take(48, "MRSIGNERSEAM"),
        seam_attributes=take(8, "SEAMATTRIBUTES"),
        td_attributes=report.integer(8, "TDATTRIBUTES"),
        xfam=report.integer(8, "XFAM"),
        mrtd=take(48, "MRTD"),
        mr_config_id=take(48, "MRCONFIGID"),
        mr_owner=take(48, "MROWNER"),
        mr_owner_config=take(48, "MROWNERCONFIG"),
        rtmr0=take(48, "RTMR0"),
        rtmr1=take(48, "RTMR1"),
        rtmr2=take(48, "RTMR2"),
        rtmr3=take(48, "RTMR3"),
        report_data=take(64, "REPORTDATA"),
        vm=report.rest()[64] if body is Body.TD15_EX else 0,
        service_td=_service_td(report.rest()),
        certificates=_certificates(signature),
        exact=data[: cursor.at],
    )


def _header(cursor: _Cursor) -> int:
    version = cursor.integer(2, "the version")
    key_type = cursor.integer(2, "the key type")
    tee = cursor.integer(4, "the TEE type")
    if version not in {3, 4, 5}:
        raise MalformedInput("quote has an unknown version", got=version, expected="4 or 5")
    if tee == _TEE_SGX:
        raise Refused(Reason.QUOTE_NOT_TDX, "this is an SGX quote")
    if tee != TEE_TDX or version == 3:
        raise MalformedInput("quote has an unknown TEE type", got=tee, expected=TEE_TDX)
    if key_type != _KEY_TYPE_P256:
        raise MalformedInput("quote has an unknown key type", got=key_type, expected=_KEY_TYPE_P256)
    cursor.take(4, "the header")
    vendor = cursor.take(16, "the vendor")
    if vendor != _QE_VENDOR_INTEL:
        raise MalformedInput("quote has an unknown vendor", got=vendor, expected=_QE_VENDOR_INTEL)
    cursor.take(20, "the user data")
    return version


def _body_kind(cursor: _Cursor, version: int) -> Body:
    if version == 4:
        return Body.TD10
    kind = cursor.integer(2, "the body type")
    if kind not in _BODY_SIZE:
        raise MalformedInput("quote has an unknown body type", got=kind, expected="2, 3 or 4")
    body = Body(kind)
    cursor.want(4, _BODY_SIZE[body], "body size")
    return body


def _service_td(tail: bytes) -> bytes:
    """Return MRSERVICETD and, in TD15Ex, hash and attributes of service TDs at creation and now.

    `tail` is what follows REPORTDATA: TEE_TCB_SVN2 (16), MRSERVICETD (48), then in TD15Ex: VMID (1),
    TD_ID (32), DEV_INFO (48), initial hash (48) and attributes (8), three values of the initial TCB
    (16, 16, 12), current hash (48) and attributes (8).
    """
    return tail[16:64] + tail[145:201] + tail[245:301]


def _certificates(signature: bytes) -> bytes:
    """Return the PCK chain's PEM text; every length must fill its container exactly."""
    outer = _Cursor(signature)
    outer.take(128, "the signature and its key")
    outer.want(2, _CERTIFICATION_QE_REPORT, "outer certification type")
    size = outer.integer(4, "the outer certification data's length")
    inner = _Cursor(outer.take(size, "the outer certification data"))
    inner.take(384 + 64, "the QE report and its signature")
    inner.want(2, _QE_AUTHENTICATION, "length of QE authentication data")
    inner.take(_QE_AUTHENTICATION, "the QE authentication data")
    inner.want(2, _CERTIFICATION_PCK_CHAIN, "certification type")
    chain = inner.take(inner.integer(4, "the PCK chain's length"), "the PCK chain")
    if outer.rest() or inner.rest():
        raise MalformedInput("quote has bytes between its signature data and its end")
    return chain.removesuffix(b"\0")
