"""Chains in PEM have one text, so that two parsers cannot read two chains out of it."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.certificates import (
    crl_issued_at,
    decode_chain,
    encode_chain,
    read_certificate,
)
from guest.evidence.roots import DEVELOPMENT, INTEL
from guest.protocol.errors import MalformedInput
from host.devplatform import pki

CHAIN = encode_chain((DEVELOPMENT.der, INTEL.der))


def test_a_canonical_chain_decodes_to_its_certificates() -> None:
    assert decode_chain(CHAIN) == (DEVELOPMENT.der, INTEL.der)
    assert decode_chain(CHAIN.removesuffix(b"\n")) == (DEVELOPMENT.der, INTEL.der)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        CHAIN + b"\n",
        b"\n" + CHAIN,
        b"junk" + CHAIN,
        CHAIN + b"junk",
        CHAIN.replace(b"-----\n", b"-----\r\n"),
        CHAIN.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        CHAIN.replace(b"-----\n", b"----- \n"),
        CHAIN.replace(b"\n-----END", b"\n\n-----END"),
        CHAIN.replace(b"=\n", b"\n"),
        CHAIN.replace(
            b"-----END CERTIFICATE-----\n-----BEGIN", b"-----END CERTIFICATE-----\n#\n-----BEGIN"
        ),
        encode_chain((DEVELOPMENT.der,) * 4),
        b"-----BEGIN CERTIFICATE-----\n"
        + base64.b64encode(INTEL.der)
        + b"\n-----END CERTIFICATE-----\n",
    ],
)
def test_any_other_text_of_a_chain_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_chain(text)


@given(st.binary(max_size=300))
def test_any_text_decodes_to_a_chain_that_encodes_to_it_or_is_malformed(text: bytes) -> None:
    for candidate in (
        text,
        b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n",
    ):
        try:
            chain = decode_chain(candidate)
        except MalformedInput:
            continue
        assert encode_chain(chain).rstrip(b"\n") == candidate.rstrip(b"\n")


@given(st.integers(0, len(INTEL.der) - 1), st.integers(0, 255))
def test_a_damaged_certificate_reads_or_is_malformed(at: int, value: int) -> None:
    der = INTEL.der[:at] + bytes([value]) + INTEL.der[at + 1 :]
    try:
        read_certificate(der)
    except MalformedInput:
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_no_certificate_and_no_crl(data: bytes) -> None:
    for read in (read_certificate, crl_issued_at):
        with pytest.raises(MalformedInput):
            read(data)


def test_facts_of_a_platforms_certificate() -> None:
    chain = decode_chain(pki.platform_certificate(pki.Machine()).pem)
    leaf, authority, root = [read_certificate(der) for der in chain]
    assert leaf.has_sgx_extension
    assert not authority.has_sgx_extension
    assert (leaf.issuer, authority.issuer) == (authority.subject, root.subject)
    assert leaf.common_name == "Replicatoor TEST PCK Certificate"
    assert root.key_id == DEVELOPMENT.key_id
