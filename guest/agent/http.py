"""HTTP/1.1 as far as apps need it: heads, arguments and answers as bytes. No I/O here.

Strict (RFC 9112) and small: Content-Length only, since dstack's JavaScript client cannot read chunks;
answers are ASCII JSON, since it counts characters. What is refused is refused with a JSON error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never, TypeAlias, cast
from urllib.parse import parse_qsl

from guest.protocol.errors import MalformedInput, shown

MAX_HEAD = 8 * 1024
MAX_BODY = 64 * 1024
_MAX_FIELDS = 64
_MAX_ARGUMENTS = 16
_END_OF_HEAD = b"\r\n\r\n"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}

Arguments: TypeAlias = Mapping[str, object]
"""What a caller gave: members of a JSON object, or texts of a query."""
Reply: TypeAlias = Mapping[str, object]
"""What a method answers: one JSON object."""


class BadRequest(MalformedInput):
    """A request that cannot be understood; the connection ends after the answer."""

    def __init__(
        self, status: int, what: str, *, got: object = None, expected: object = None
    ) -> None:
        """Like every error, with the HTTP status beside it."""
        super().__init__(what, got=got, expected=expected)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. `path` begins with a slash; `query` is still encoded."""

    method: str
    path: str
    query: str
    body_size: int
    keep_alive: bool


def parse_head(data: bytes) -> Head:
    """Parse a request head that ends in an empty line; raises `BadRequest`."""
    if len(data) > MAX_HEAD:
        raise BadRequest(431, "request head too large", got=len(data), expected=f"<= {MAX_HEAD}")
    if not data.endswith(_END_OF_HEAD):
        raise BadRequest(400, "the request head is cut short")
    first, *lines = data[: -len(_END_OF_HEAD)].split(b"\r\n")
    method, target, version = _request_line(first)
    fields = _fields(lines)
    if b"transfer-encoding" in fields:
        raise BadRequest(501, "Transfer-Encoding is not served", expected="Content-Length")
    if b"expect" in fields:
        raise BadRequest(417, "Expect is not served")
    connection = fields.get(b"connection", b"").lower()
    options = [option.strip() for option in connection.split(b",")]
    path, _, query = target.partition("?")
    return Head(
        method=method,
        path=path,
        query=query,
        body_size=_body_size(fields.get(b"content-length", b"0")),
        keep_alive=b"close" not in options and (version == b"HTTP/1.1" or b"keep-alive" in options),
    )


def query_arguments(query: str) -> Arguments:
    """Return the arguments of a GET; raises `BadRequest`."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,  # `?json` is a flag that dstack's callers may set
            errors="strict",
            max_num_fields=_MAX_ARGUMENTS,
        )
        return _once(cast("list[tuple[str, object]]", pairs))
    except ValueError:
        raise BadRequest(400, "the query is malformed", got=query) from None


def body_arguments(body: bytes) -> Arguments:
    """Return the arguments of a POST: a JSON object, or nothing at all; raises `BadRequest`."""
    if not body:
        return {}
    try:
        content: object = json.loads(
            body.decode(), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise BadRequest(400, "the body is not JSON with unique members") from None
    if not isinstance(content, dict):
        raise BadRequest(400, "the body is not a JSON object", got=type(content).__name__)
    return cast("dict[str, object]", content)


def answer(status: int, reply: Reply, *, keep_alive: bool) -> bytes:
    """Return a whole response: status line, fields, ASCII JSON."""
    body = json.dumps(reply).encode("ascii")
    connection = "keep-alive" if keep_alive else "close"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    )
    return head.encode("ascii") + body


def _request_line(line: bytes) -> tuple[str, str, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise BadRequest(400, "the request line is malformed", got=shown(line[:64]))
    method, target, version = parts
    if not version.startswith(b"HTTP/1.") or len(version) != 8:
        raise BadRequest(505, "not HTTP/1.1", got=shown(version[:16]))
    if not method or not set(method) <= _TOKEN:
        raise BadRequest(400, "the request method is malformed", got=shown(method[:16]))
    if not target.startswith(b"/") or not all(0x21 <= byte <= 0x7E for byte in target):
        raise BadRequest(400, "the request target is malformed", got=shown(target[:64]))
    return method.decode("ascii"), target.decode("ascii"), version


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Return header fields by lower-case name. Only those that we read may not stand twice."""
    if len(lines) > _MAX_FIELDS:
        raise BadRequest(431, "too many header fields", got=len(lines), expected=_MAX_FIELDS)
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not set(name) <= _TOKEN:
            raise BadRequest(400, "a header field is malformed", got=shown(line[:64]))
        if any(byte < 0x20 and byte != 0x09 for byte in value) or b"\x7f" in value:
            raise BadRequest(400, "a header field holds control characters")
        name = name.lower()
        if name in fields and name in (b"content-length", b"connection"):
            raise BadRequest(400, "a header field stands twice", got=name.decode("ascii"))
        fields[name] = value.strip(b" \t")
    return fields


def _body_size(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadRequest(400, "Content-Length is malformed", got=shown(value[:32]))
    size = int(value)
    if size > MAX_BODY:
        raise BadRequest(413, "request body too large", got=size, expected=f"<= {MAX_BODY}")
    return size


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
