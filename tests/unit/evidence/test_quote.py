"""The layout: anything that is not exactly a TDX quote is refused, quickly and as our own error."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.dcap import platform_family
from guest.evidence.quote import MAX_QUOTE, Body, decode_quote
from guest.protocol.errors import MalformedInput, Reason, Refused
from host.devplatform.tdquote import TD10, TD15, TD15_EX, QuotingEnclave, TdReport

QUOTES = {
    (4, TD10): QuotingEnclave().quote(TdReport()),
    (5, TD10): QuotingEnclave().quote(TdReport(), version=5, body=TD10),
    (5, TD15): QuotingEnclave().quote(TdReport(), version=5, body=TD15),
    (5, TD15_EX): QuotingEnclave().quote(TdReport(), version=5, body=TD15_EX),
}
KINDS = sorted(QUOTES)


def _patched(quote: bytes, at: int, value: bytes) -> bytes:
    return quote[:at] + value + quote[at + len(value) :]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_read_where_it_was_written(kind: tuple[int, int]) -> None:
    version, body = kind
    report = TdReport(
        report_data=bytes(range(64)),
        mrtd=b"\x11" * 48,
        rtmrs=(b"\x12" * 48, b"\x13" * 48, b"\x14" * 48, b"\x15" * 48),
        td_attributes=0x1234,
        xfam=0x5678,
        mr_config_id=b"\x16" * 48,
        mr_owner=b"\x17" * 48,
        mr_owner_config=b"\x18" * 48,
        mr_seam=b"\x19" * 48,
        mr_signer_seam=b"\x1a" * 48,
        launch_svn=b"\x1b" * 16,
        mr_service_td=b"\x1c" * 48,
        current_service_td=b"\x1d" * 48,
        vm=2,
    )
    quote = decode_quote(QuotingEnclave().quote(report, version=version, body=body))
    assert (quote.version, quote.body) == (version, Body(body))
    assert (quote.rtmr0, quote.rtmr1, quote.rtmr2, quote.rtmr3) == report.rtmrs
    assert (quote.td_attributes, quote.xfam) == (0x1234, 0x5678)
    assert quote.tee_tcb_svn == report.launch_svn
    for name in ("report_data", "mrtd", "mr_config_id", "mr_owner", "mr_owner_config"):
        assert getattr(quote, name) == getattr(report, name), name
    assert (quote.mr_seam, quote.mr_signer_seam) == (report.mr_seam, report.mr_signer_seam)
    assert (report.mr_service_td in quote.service_td) == (body != TD10)
    assert (report.current_service_td in quote.service_td) == (body == TD15_EX)
    assert quote.vm == (2 if body == TD15_EX else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quote_cut_anywhere_is_malformed(kind: tuple[int, int]) -> None:
    quote = QUOTES[kind]
    for size in [*range(0, 800), *range(800, len(quote), 97), len(quote) - 1]:
        with pytest.raises(MalformedInput):
            decode_quote(quote[:size])


def test_zero_padding_is_accepted_up_to_the_drivers_buffer_and_nothing_else() -> None:
    quote = QUOTES[4, TD10]
    padded = quote.ljust(MAX_QUOTE, b"\0")
    assert decode_quote(padded) == decode_quote(quote)
    with pytest.raises(MalformedInput, match="too large"):
        decode_quote(padded + b"\0")
    with pytest.raises(MalformedInput, match="trailing"):
        decode_quote(quote + b"\0\x01")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, b"\x06"),
        (0, b"\x03"),
        (2, b"\x03"),
        (4, b"\x82"),
        (12, b"\x00"),
        (764, b"\x05"),
        (1218, b"\x21"),
        (1252, b"\x04"),
    ],
    ids=["version", "SGX's version", "key type", "TEE", "vendor", "outer type", "auth", "type"],
)
def test_an_unknown_kind_is_malformed(at: int, value: bytes) -> None:
    with pytest.raises(MalformedInput):
        decode_quote(_patched(QUOTES[4, TD10], at, value))


@pytest.mark.parametrize("kind", [0, 1, 5, 6, 65535])
def test_an_unknown_body_is_malformed(kind: tuple[int, int]) -> None:
    with pytest.raises(MalformedInput, match="body type"):
        decode_quote(_patched(QUOTES[5, TD15], 48, kind.to_bytes(2, "little")))


def test_a_body_whose_size_disagrees_with_its_type_is_malformed() -> None:
    with pytest.raises(MalformedInput, match="body size"):
        decode_quote(_patched(QUOTES[5, TD15], 50, (584).to_bytes(4, "little")))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_an_sgx_quote_is_refused_and_not_malformed(version: int) -> None:
    quote = _patched(QUOTES[4, TD10], 0, version.to_bytes(2, "little"))
    with pytest.raises(Refused) as caught:
        decode_quote(_patched(quote, 4, bytes(4)))
    assert caught.value.reason is Reason.QUOTE_NOT_TDX


@pytest.mark.parametrize("at", [632, 766, 1218, 1254])
def test_finding_567_a_length_is_checked_before_anything_of_that_size_exists(at: int) -> None:
    size = 2 if at == 1218 else 4
    quote = _patched(QUOTES[4, TD10], at, b"\xff" * size)
    tracemalloc.start()
    with pytest.raises(MalformedInput):
        decode_quote(quote)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 256 * 1024


def test_finding_566_no_decoder_of_evidence_decompresses() -> None:
    """A quote, its collateral and its log are read as they are: nothing can expand."""
    quote = QUOTES[4, TD10]
    assert len(decode_quote(quote).exact) == len(quote)


@given(st.binary(max_size=2000))
def test_any_bytes_decode_or_raise_our_own_error(data: bytes) -> None:
    try:
        decode_quote(data)
    except (MalformedInput, Refused):
        return


@given(st.sampled_from(KINDS), st.data())
def test_a_damaged_quote_decodes_or_raises_our_own_error(
    kind: tuple[int, int], data: bytes
) -> None:
    quote = bytearray(QUOTES[kind])
    edits = st.lists(
        st.tuples(st.integers(0, len(quote) - 1), st.integers(0, 255)), min_size=1, max_size=6
    )
    for at, value in data.draw(edits):
        quote[at] = value
    try:
        decoded = decode_quote(bytes(quote))
        platform_family(bytes(quote))
    except (MalformedInput, Refused):
        return
    assert decoded.exact == bytes(quote)[: len(decoded.exact)]
