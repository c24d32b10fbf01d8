"""HTTP as bytes: strict heads, strict JSON, ASCII answers; garbage raises one error family."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.agent.http import (
    MAX_BODY,
    MAX_HEAD,
    BadRequest,
    Head,
    answer,
    body_arguments,
    parse_head,
    query_arguments,
)

GOOD = b"POST /GetKey HTTP/1.1\r\nHost: dstack\r\nContent-Length: 12\r\n\r\n"


def refused(data: bytes) -> int:
    with pytest.raises(BadRequest) as caught:
        parse_head(data)
    assert str(caught.value).isprintable()
    return caught.value.status


def test_a_plain_head_is_understood() -> None:
    assert parse_head(GOOD) == Head("POST", "/GetKey", "", 12, keep_alive=True)
    get = parse_head(b"GET /GetKey?path=a%2Fb&json HTTP/1.1\r\n\r\n")
    assert get == Head("GET", "/GetKey", "path=a%2Fb&json", 0, keep_alive=True)


@pytest.mark.parametrize(
    ("version", "field", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "connection: Close\r\n", False),
        ("1.1", "Connection: foo, close\r\n", False),
        ("1.1", "Connection: keep-alive\r\n", True),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
def test_a_connection_lives_as_long_as_the_caller_says(
    version: str, field: str, kept: bool
) -> None:
    assert parse_head(f"GET / HTTP/{version}\r\n{field}\r\n".encode()).keep_alive is kept


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\n\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.10\r\n\r\n", 505),
        (b"GET / http/1.1\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"G@T / HTTP/1.1\r\n\r\n", 400),
        (b"GET GetKey HTTP/1.1\r\n\r\n", 400),
        (b"GET http://dstack/GetKey HTTP/1.1\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\nrest", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n", 431),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_a_malformed_head_is_refused_with_its_status(data: bytes, status: int) -> None:
    assert refused(data) == status


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (b"Transfer-Encoding: chunked", 501),
        (b"transfer-encoding:identity", 501),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", 501),
        (b"Content-Length: 3\r\nContent-Length: 3", 400),
        (b"Content-Length: 3\r\ncontent-length: 30", 400),
        (b"Content-Length: 3, 3", 400),
        (b"Content-Length: -1", 400),
        (b"Content-Length: +1", 400),
        (b"Content-Length: 0x10", 400),
        (b"Content-Length: 1_0", 400),
        (b"Content-Length: ", 400),
        (b"Content-Length: \xb2", 400),
        (b"Content-Length: " + b"9" * 19, 400),
        (b"Content-Length: " + b"9" * 5000, 400),
        (b"Content-Length: 65537", 413),
        (b"Content-Length: 999999999999999999", 413),
        (b"Connection: close\r\nConnection: keep-alive", 400),
        (b"Expect: 100-continue", 417),
    ],
)
def test_a_body_whose_end_could_be_disputed_is_refused(field: bytes, status: int) -> None:
    """Two readers that see two ends of one body see two different next requests (smuggling)."""
    assert refused(b"POST / HTTP/1.1\r\n" + field + b"\r\n\r\n") == status


def test_the_largest_body_is_announced_without_complaint() -> None:
    head = parse_head(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MAX_BODY)
    assert head.body_size == MAX_BODY


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 8))
def test_no_bytes_make_the_parser_raise_something_else(noise: bytes, at: int, cut: int) -> None:
    for data in (noise, noise + b"\r\n\r\n", GOOD[:at] + noise[:3] + GOOD[at + cut :]):
        try:
            head = parse_head(data)
        except BadRequest as error:
            assert error.status in {400, 413, 417, 431, 501, 505}  # noqa: PT017 - one of two ends
        else:
            assert head.path.startswith("/")
            assert 0 <= head.body_size <= MAX_BODY


# --- arguments ----------------------------------------------------------------------------------


def test_arguments_of_a_query_are_decoded() -> None:
    query = "path=my%2Fkey+path&purpose=%C3%A9&algorithm=&json"
    assert query_arguments(query) == {
        "path": "my/key path",
        "purpose": "é",
        "algorithm": "",
        "json": "",
    }
    assert query_arguments("") == {}


@pytest.mark.parametrize(
    "query", ["path=a&path=b", "path=%ff", "&".join(f"a{i}=1" for i in range(17))]
)
def test_a_malformed_query_is_refused(query: str) -> None:
    with pytest.raises(BadRequest):
        query_arguments(query)


@given(st.text(max_size=100))
def test_no_query_raises_something_else(query: str) -> None:
    try:
        query_arguments(query)
    except BadRequest as error:
        assert error.status == 400  # noqa: PT017 - one of two ends


def test_an_empty_body_means_every_default() -> None:
    assert body_arguments(b"") == {}
    assert body_arguments(b"{}") == {}


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"{}x",
        b'{"path":"a"',  # what dstack's JavaScript client sends for a body that is not ASCII
        b'{"a":1,"a":2}',
        b'{"path":NaN}',
        b'{"x":{"a":1,"a":1}}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        '{"path":"a"}'.encode("utf-16"),
        b'{"n":' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 12_000,
    ],
    ids=range(16),
)
def test_a_body_that_is_not_one_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        body_arguments(body)
    assert caught.value.status == 400


@given(st.binary(max_size=100))
def test_no_body_raises_something_else(body: bytes) -> None:
    try:
        body_arguments(body)
    except BadRequest as error:
        assert error.status == 400  # noqa: PT017 - one of two ends


# --- answers ------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=3), st.booleans())
def test_an_answer_is_ascii_json_of_the_announced_length(
    reply: dict[str, str], keep_alive: bool
) -> None:
    """dstack's JavaScript client counts characters and waits for ever for bytes that never come."""
    data = answer(200, reply, keep_alive=keep_alive)
    head, _, body = data.partition(b"\r\n\r\n")
    assert data.isascii()
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: %d" % len(body) in lines
    assert b"Content-Type: application/json" in lines
    assert (b"Connection: close" in lines) is not keep_alive
    assert json.loads(body) == reply
