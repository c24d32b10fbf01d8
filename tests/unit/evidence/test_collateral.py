"""Collateral in RLP and JSON: bounded, complete, unambiguous."""

import json
from dataclasses import replace
from pathlib import Path

import dcap_qvl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence import collateral as form
from guest.evidence.collateral import Collateral, from_json, issued_at, signed_text, to_json
from guest.protocol.errors import MalformedInput
from tests.unit.evidence.attempts import Samples


def test_real_collateral_survives_both_forms(sample: Samples) -> None:
    real = sample("tdx_quote").collateral
    assert form.decode(form.encode(real)) == real
    assert from_json(to_json(real).encode()) == real
    assert len(form.encode(real)) < form.MAX_COLLATERAL


def test_the_json_form_is_the_librarys(data: Path, sample: Samples) -> None:
    library = dcap_qvl.QuoteCollateralV3.from_json((data / "tdx_quote_collateral.json").read_text())
    assert from_json(library.to_json().encode()) == sample("tdx_quote").collateral


def _table(data: Path) -> dict[str, object]:
    return json.loads((data / "tdx_quote_collateral.json").read_text())


def test_finding_612_a_chain_beside_the_quotes_own_is_refused(data: Path) -> None:
    """The library would prefer it to the certificates that the quote carries."""
    table = _table(data) | {"pck_certificate_chain": "-----BEGIN CERTIFICATE-----"}
    with pytest.raises(MalformedInput, match="PCK chain of its own"):
        from_json(json.dumps(table).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"tcb_info": None},
        {"tcb_info": 1},
        {"tcb_info_signature": "zz"},
        {"tcb_info_signature": "00"},
        {"tcb_info_signature": "0 0" * 64},
        {"root_ca_crl": "0"},
        {"tcb_info": "x" * (32 * 1024 + 1)},
        {"unknown": ""},
    ],
)
def test_a_field_of_another_form_is_malformed(data: Path, change: dict[str, object]) -> None:
    with pytest.raises(MalformedInput):
        from_json(json.dumps(_table(data) | change).encode())


def test_a_missing_field_is_malformed(data: Path) -> None:
    table = _table(data)
    del table["pck_crl"]
    with pytest.raises(MalformedInput, match="pck_crl"):
        from_json(json.dumps(table).encode())


def test_a_field_given_twice_is_malformed(data: Path) -> None:
    text = (data / "tdx_quote_collateral.json").read_bytes().strip()
    doubled = text[:-1] + b', "tcb_info": "{}"}'
    with pytest.raises(MalformedInput, match="unique keys"):
        from_json(doubled)


@pytest.mark.parametrize("text", [b"", b"[]", b"1", b"{}", b"\xff", b"[" * 100_000, b" " * 200_000])
def test_other_json_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        from_json(text)


def test_collateral_over_64_kib_is_malformed_though_each_field_is_within_its_bound(
    sample: Samples,
) -> None:
    real = sample("tdx_quote").collateral
    large = replace(real, pck_crl=bytes(32 * 1024), root_ca_crl=bytes(32 * 1024))
    with pytest.raises(MalformedInput, match="too large"):
        form.encode(large)


@pytest.mark.parametrize("field", ["tcb_info_issuer_chain", "qe_identity"])
def test_text_that_is_not_utf8_has_no_json_form(sample: Samples, field: str) -> None:
    with pytest.raises(MalformedInput, match="UTF-8"):
        to_json(replace(sample("tdx_quote").collateral, **{field: b"\xff"}))


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_malformed(data: bytes) -> None:
    for decode in (form.decode, from_json):
        with pytest.raises(MalformedInput):
            decode(data)


_CHAINS, _SIGNATURES = st.binary(max_size=50), st.binary(min_size=64, max_size=64)


@given(
    st.builds(
        Collateral,
        *[_CHAINS] * 5,
        _SIGNATURES,
        *[_CHAINS] * 2,
        _SIGNATURES,
    )
)
def test_every_record_encodes_to_what_decodes_to_it(collateral: Collateral) -> None:
    assert form.decode(form.encode(collateral)) == collateral


@pytest.mark.parametrize(
    "signed",
    [b"", b"[]", b"{}", b'{"issueDate": 1}', b'{"issueDate": "soon"}', b"[" * 50_000, b"\xff"],
)
def test_signed_json_without_a_date_is_malformed(signed: bytes) -> None:
    with pytest.raises(MalformedInput):
        issued_at(signed)


def test_a_date_is_read_as_utc() -> None:
    assert issued_at(b'{"issueDate": "2025-06-19T10:16:03Z"}') == 1750328163
    assert issued_at(b'{"issueDate": "2025-06-19T10:16:03"}') == 1750328163
    assert signed_text(b'{"pceId": "0000"}', "pceId") == "0000"
