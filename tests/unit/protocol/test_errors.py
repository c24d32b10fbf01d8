"""Errors: one printable line each, whose fault, what, got, expected, the mend; never a secret."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol.errors import (
    FATAL,
    MalformedInput,
    Misconfigured,
    ProtocolViolation,
    Reason,
    Refused,
    ReplicatoorError,
    Unavailable,
    shown,
)
from guest.protocol.secret import Secret

FAMILIES = [MalformedInput, ProtocolViolation, Misconfigured, Unavailable]
anything = (
    st.text()
    | st.binary(max_size=300)
    | st.integers()
    | st.lists(st.text(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=3)
)


def assert_one_printable_line(text: str) -> None:
    assert text.isascii()
    assert text.isprintable()


@given(anything)
def test_foreign_values_are_shown_short_escaped_and_on_one_line(value: object) -> None:
    text = shown(value)
    assert_one_printable_line(text)
    assert len(text) <= 120


@pytest.mark.parametrize("family", FAMILIES)
@given(what=st.text(max_size=60), got=anything, expected=anything, mend=st.text(max_size=60))
def test_an_error_is_one_printable_line_whatever_goes_into_it(
    family: type[Any], what: str, got: object, expected: object, mend: str
) -> None:
    line = str(family(what, got=got, expected=expected, mend=mend))
    assert_one_printable_line(line)
    assert len(line) <= 10 * (len(what) + len(mend)) + 2 * 120 + 30


@pytest.mark.parametrize(
    "attack",
    [
        "ok\nguest: exit: all is well",
        "\r\x1b[2K\x1b[1Aforged",
        "\u2028\u202e\u200b",
        "\x00\x07\x9b31m",
        "\ud800",
    ],
)
def test_a_peers_text_cannot_forge_a_log_line_or_steer_a_terminal(attack: str) -> None:
    for line in (shown(attack), str(MalformedInput(attack, got=attack, mend=attack))):
        assert_one_printable_line(line)


def test_a_peer_cannot_flood_a_log_line() -> None:
    for value in ("x" * 10**6, b"x" * 10**6, ["x"] * 10**5, "é" * 10**5):
        assert len(shown(value)) == 120
        assert shown(value).endswith("...")


def test_a_huge_number_is_shown_by_its_size() -> None:
    """`str` of it would raise ValueError: an error about an error."""
    assert shown(10**6000) == "an integer of 19932 bits"
    assert shown(-(10**6000)) == "an integer of 19932 bits"
    assert shown(2**256) == str(2**256)


def test_a_secret_is_never_shown() -> None:
    secret = Secret(b"SWORDFISH" * 4)
    refused = Refused(Reason.SIGNATURE, "bad", got=secret, expected=[secret], mend="Try again.")
    for text in (shown(secret), shown([secret]), str(refused), repr(refused)):
        assert "SWORDFISH" not in text
        assert b"SWORDFISH".hex() not in text


def test_an_error_says_what_got_expected_and_the_mend_in_this_order() -> None:
    error = MalformedInput("too large", got=5, expected="<= 4", mend="Send less.")
    assert str(error) == "too large; got 5; expected <= 4. Send less."
    assert str(MalformedInput("too large")) == "too large"
    assert str(MalformedInput("bad", got=b"\x01\xff")) == "bad; got 0x01ff"
    assert str(MalformedInput("bad", got=0, expected=False)) == "bad; got 0; expected False"


def test_a_refusal_begins_with_its_reason_code() -> None:
    refused = Refused(Reason.QUOTE_DEBUG, "the platform is in debug mode")
    assert str(refused) == "quote-debug: the platform is in debug mode"
    assert refused.reason is Reason.QUOTE_DEBUG


def test_the_base_says_whose_fault_nothing_is_and_so_cannot_be_raised() -> None:
    with pytest.raises(TypeError, match="family"):
        ReplicatoorError("oops")


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_whether_trying_again_can_help(reason: Reason) -> None:
    assert Refused(reason, "x").fatal is (reason in FATAL)
    assert reason.value == reason.value.lower()
    assert set(reason.value) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_what_may_pass_by_itself_is_not_fatal_and_what_the_operator_must_mend_is() -> None:
    assert not Unavailable("x").fatal
    assert not MalformedInput("x").fatal
    assert not ProtocolViolation("x").fatal
    assert Misconfigured("x").fatal
    assert Misconfigured("x", reason=Reason.KIND_ROW).reason is Reason.KIND_ROW


def test_reason_codes_are_unique() -> None:
    assert len({reason.value for reason in Reason}) == len(list(Reason))
