"""The boundary to the verification library: its errors become ours, its panics too."""

import pytest

from guest.evidence import claims
from guest.evidence.claims import Claims, authenticate
from guest.evidence.roots import DEVELOPMENT
from guest.protocol.errors import Reason, Refused
from tests.unit.evidence.attempts import Attempt


class PanicException(BaseException):
    """As the binding names a panic in Rust."""


def _authenticate(good: Attempt, **changes: object) -> Claims:
    arguments = {"now": good.now, "root": DEVELOPMENT.der} | changes
    return authenticate(good.quote, good.collateral, **arguments)


def test_a_good_quote_is_authentic(good: Attempt) -> None:
    found = _authenticate(good)
    assert (found.status, found.statuses) == ("UpToDate", ("UpToDate", "UpToDate"))
    assert found.report["mr_td"] == "01" * 48


@pytest.mark.parametrize("root", [b"", b"junk"])
def test_a_root_that_does_not_parse_is_refused(good: Attempt, root: bytes) -> None:
    with pytest.raises(Refused) as caught:
        _authenticate(good, root=root)
    assert caught.value.reason is Reason.QUOTE_INVALID


def test_a_panic_of_the_library_is_a_refusal(
    good: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panicking:
        def __init__(self, *_: object) -> None:
            raise PanicException

    monkeypatch.setattr(claims.dcap_qvl, "QuoteVerifier", Panicking)
    with pytest.raises(Refused, match="panicked"):
        _authenticate(good)


def test_an_interrupt_is_not_taken_for_a_panic(
    good: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def __init__(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(claims.dcap_qvl, "QuoteVerifier", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        _authenticate(good)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tcb": {}}',
        '{"tcb": {"status": 1}, "platform": {"pck": {}, "tcb_level": {}}}',
    ],
)
def test_claims_of_another_shape_are_refused(
    good: Attempt, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Another version of the library must not pass with fields missing."""

    class Verifier:
        def __init__(self, *_: object) -> None:
            pass

        def verify_with_policy(self, *_: object) -> "Verifier":
            return self

        def to_json(self) -> str:
            return text

    monkeypatch.setattr(claims.dcap_qvl, "QuoteVerifier", Verifier)
    with pytest.raises(Refused) as caught:
        _authenticate(good)
    assert caught.value.reason is Reason.QUOTE_INVALID


def test_messages_stay_on_one_line_and_short(good: Attempt) -> None:
    with pytest.raises(Refused) as caught:
        _authenticate(good.but(now=good.now), now=good.now + 400 * 24 * 3600)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
