"""A secret has no voice: every way in which Python shows, copies or compares a value is tried."""

import copy
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest

from guest.protocol.digests import Domain
from guest.protocol.errors import MalformedInput, Reason, Refused, shown
from guest.protocol.keys import EpochKeys
from guest.protocol.messages import AppData
from guest.protocol.primitives import DecryptionKey
from guest.protocol.secret import Secret

VALUE = b"SWORDFISHswordfish-0123456789abc"
assert len(VALUE) == 32


@dataclass(frozen=True, slots=True)
class Holder:
    """What a machine's state or an effect may look like."""

    name: str
    secret: Secret


def silent(text: str) -> None:
    for spelling in (VALUE.decode(), VALUE.hex(), str(list(VALUE))[1:40], repr(VALUE)[2:10]):
        assert spelling.lower() not in text.lower()


@pytest.mark.parametrize(
    "voice",
    [
        repr,
        str,
        "{}".format,
        "{!r:>40}".format,
        "{0:>40}".format,
        lambda s: "%s %r %a" % (s, s, s),  # noqa: UP031 - one more way out
        pprint.pformat,
        shown,
        lambda s: repr(Holder("x", s)),
        lambda s: repr([s, {1: s}]),
        lambda s: str(Refused(Reason.SIGNATURE, "bad", got=s, expected=Holder("x", s))),
        lambda s: str(MalformedInput("bad", got=(s,))),
        lambda s: logging.LogRecord("n", 10, "p", 1, "%s %r", (s, s), None).getMessage(),
        lambda s: repr(vars(type(s)).keys()),
    ],
)
def test_no_way_to_show_a_secret_shows_it(voice: Callable[[Secret], str]) -> None:
    silent(voice(Secret(VALUE)))


def test_a_traceback_with_local_variables_does_not_show_it() -> None:
    secret = Secret(VALUE)

    def fail(holder: Holder) -> None:
        raise ValueError(holder)

    with pytest.raises(ValueError, match="Secret") as caught:
        fail(Holder("x", secret))
    shown_error = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown_error.format())
    assert "Secret(...)" in text
    silent(text)


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s == s,  # noqa: PLR0124 - the comparison is the point
        lambda s: s != Secret(VALUE),
        lambda s: s == VALUE,
        lambda s: VALUE == s,  # noqa: SIM300 - the other side asks
        lambda s: s < Secret(VALUE),
        hash,
        lambda s: {s},
        lambda s: hash(Holder("x", s)),
        lambda s: Holder("x", s) == Holder("x", Secret(VALUE)),
        iter,
        list,
        bytes,
        bytearray,
        memoryview,
        int,
        lambda s: s[0],
        lambda s: 0x53 in s,
        lambda s: VALUE in [s],  # noqa: FURB171 - membership asks too
        lambda s: b"".join([s]),
        lambda s: s + b"",
        copy.copy,
        copy.deepcopy,
        lambda s: asdict(Holder("x", s)),
        lambda s: copy.deepcopy(Holder("x", s)),
        *[lambda s, p=p: pickle.dumps(s, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)],
        lambda s: pickle.dumps(Holder("x", s)),
        json.dumps,
        lambda s: json.dumps({"s": s}),
        lambda s: json.dumps({s: 1}),
        lambda s: s.__getstate__(),
        lambda s: object.__reduce_ex__(s, 2),
        vars,
    ],
)
def test_a_secret_cannot_be_compared_hashed_copied_or_taken_apart(
    use: Callable[[Secret], object],
) -> None:
    with pytest.raises(TypeError) as caught:
        use(Secret(VALUE))
    silent(str(caught.value))


def test_the_only_two_ways_to_use_a_secret_work() -> None:
    secret = Secret(VALUE)
    assert secret.expose() == VALUE
    assert secret.matches(Secret(VALUE))
    assert not secret.matches(Secret(VALUE[:-1]))
    assert not secret.matches(Secret(VALUE[:-1] + b"x"))
    assert len(secret) == 32


def test_wiping_overwrites_our_copy_and_no_one_elses() -> None:
    source = bytearray(VALUE)
    secret = Secret(source)
    inner = secret._value
    secret.wipe()
    assert len(secret) == 0
    assert bytes(inner) == b""
    assert source == VALUE
    secret.wipe()


def test_a_wiped_secret_is_never_mistaken_for_an_empty_one() -> None:
    """Two wiped secrets are not equal, and nothing can be derived from what everyone knows."""
    wiped, other = Secret(VALUE), Secret(VALUE)
    wiped.wipe()
    for use in (wiped.expose, lambda: wiped.matches(other), lambda: other.matches(wiped)):
        with pytest.raises(ValueError, match="wiped"):
            use()
    assert Secret(b"").matches(Secret(b""))


def test_a_later_change_of_the_source_does_not_reach_in() -> None:
    source = bytearray(VALUE)
    secret = Secret(source)
    source[:] = bytes(32)
    assert secret.expose() == VALUE


@pytest.mark.parametrize("value", [32, "text", [1, 2], None, Secret(VALUE)])
def test_a_secret_is_never_made_of_something_that_only_looks_like_bytes(value: object) -> None:
    """`bytearray(32)` would be 32 zeros: a key that everyone knows."""
    with pytest.raises(TypeError):
        Secret(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "holder",
    [EpochKeys(bytes(32), 1, Secret(VALUE)), DecryptionKey(Secret(VALUE * 3))],
    ids=["EpochKeys", "DecryptionKey"],
)
def test_what_holds_secrets_is_as_silent(holder: object) -> None:
    silent(repr(holder) + str(holder) + f"{holder}")
    for use in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps, vars):
        with pytest.raises(TypeError):
            use(holder)  # type: ignore[operator]


def test_nothing_can_be_derived_or_signed_with_the_wiped_keys_of_an_epoch() -> None:
    keys = EpochKeys(bytes(32), 1, Secret(VALUE))
    secret, addresses = keys.secret, keys.addresses
    keys.wipe()
    assert len(secret) == 0
    domain = Domain(1, bytes(20), test=True)
    for use in (
        lambda: keys.child("disk"),
        lambda: keys.scalar("disk"),
        lambda: keys.sign(domain, AppData(bytes(32))),
        keys.fingerprint,
    ):
        with pytest.raises(ValueError, match="wiped"):
            use()
    assert keys.addresses == addresses  # public facts stay
