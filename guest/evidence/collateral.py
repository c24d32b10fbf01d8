"""Collateral: what Intel says about platforms at some time, as a bounded record.

Owns its two forms: the RLP bytes in a document, and the JSON that dcap-qvl and this project's files
use (byte fields in hex). It believes nothing in it; `guest.evidence.dcap` judges it with a quote.
"""

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Annotated

from guest.protocol import codec
from guest.protocol.errors import MalformedInput
from guest.protocol.sizes import AtMost, Exactly

MAX_COLLATERAL = 64 * 1024
_MAX_JSON = 2 * MAX_COLLATERAL + 1024
"""Bytes fields double in hex, and newlines of PEM are escaped."""

_Chain = Annotated[bytes, AtMost(8 * 1024)]
_Crl = Annotated[bytes, AtMost(32 * 1024)]
_Json = Annotated[bytes, AtMost(32 * 1024)]
_RawSignature = Annotated[bytes, Exactly(64)]


@dataclass(frozen=True, slots=True)
class Collateral:
    """PCS collateral, version 3 or 4.

    Chains are PEM, CRLs are DER, the JSON texts are the exact bytes that were signed, signatures are
    r then s. The chain of the platform's own certificate is no part of it: that comes in the quote.
    Nothing reads `pck_crl_issuer_chain`: the CRL must be signed by the issuer in the quote's chain.
    """

    pck_crl_issuer_chain: _Chain
    root_ca_crl: _Crl
    pck_crl: _Crl
    tcb_info_issuer_chain: _Chain
    tcb_info: _Json
    tcb_info_signature: _RawSignature
    qe_identity_issuer_chain: _Chain
    qe_identity: _Json
    qe_identity_signature: _RawSignature


_NAMES = tuple(field.name for field in fields(Collateral))
_HEX = frozenset({"root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"})


def encode(collateral: Collateral) -> bytes:
    """Return the RLP list of the nine fields; raises `MalformedInput` over 64 KiB."""
    data = codec.encode(collateral)
    if len(data) > MAX_COLLATERAL:
        raise MalformedInput("collateral is too large", got=len(data), expected=MAX_COLLATERAL)
    return data


def decode(data: bytes) -> Collateral:
    """Decode the RLP form, at most 64 KiB; raises `MalformedInput`."""
    return codec.decode(Collateral, data, max_size=MAX_COLLATERAL)


def to_json(collateral: Collateral) -> str:
    """Return the JSON form; raises `MalformedInput` where a text is not UTF-8."""
    try:
        return json.dumps(
            {
                name: value.hex() if name in _HEX else value.decode()
                for name, value in ((name, getattr(collateral, name)) for name in _NAMES)
            }
        )
    except UnicodeDecodeError:
        raise MalformedInput("collateral holds text that is not UTF-8") from None


def from_json(text: bytes) -> Collateral:
    """Read the JSON form: exactly the nine keys, once each. Raises `MalformedInput`.

    `pck_certificate_chain`, which the library would prefer to the chain in the quote, is refused.
    """
    if len(text) > _MAX_JSON:
        raise MalformedInput("collateral is too large", got=len(text), expected=f"<= {_MAX_JSON}")
    try:
        parsed = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise MalformedInput("collateral is not JSON with unique keys") from None
    if not isinstance(parsed, dict):
        raise MalformedInput("collateral is not a JSON object")
    if parsed.pop("pck_certificate_chain", None) is not None:
        raise MalformedInput(
            "collateral carries a PCK chain of its own",
            mend="Remove pck_certificate_chain: the chain inside the quote is the one that counts.",
        )
    if set(parsed) != set(_NAMES):
        odd = sorted(set(parsed) ^ set(_NAMES))
        raise MalformedInput("collateral has missing or unknown fields", got=", ".join(odd))
    collateral = Collateral(*[_field(name, parsed[name]) for name in _NAMES])
    encode(collateral)
    return collateral


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("duplicate key")
    return table


def _field(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise MalformedInput(f"collateral field {name} is not a string")
    if name not in _HEX:
        return value.encode("utf-8", "surrogatepass")
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = None
    if data is None or len(value) != 2 * len(data):
        raise MalformedInput(f"collateral field {name} is not hex")
    return data


def issued_at(signed: bytes) -> int:
    """Return `issueDate` of TCB info or QE identity in Unix seconds; raises `MalformedInput`."""
    try:
        date = datetime.fromisoformat(signed_text(signed, "issueDate"))
    except ValueError:
        raise MalformedInput("issueDate does not parse") from None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())


def signed_text(signed: bytes, name: str) -> str:
    """Return a text member of TCB info or QE identity; raises `MalformedInput`."""
    try:
        parsed = json.loads(signed)
    except (ValueError, RecursionError):
        raise MalformedInput("signed JSON does not parse") from None
    value = parsed.get(name) if isinstance(parsed, dict) else None
    if not isinstance(value, str):
        raise MalformedInput(f"signed JSON lacks {name}")
    return value
