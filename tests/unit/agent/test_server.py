"""The app socket: what honest apps get, and what rude ones get, over real unix sockets."""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guest.agent.appkeys import app_keys
from guest.agent.http import MAX_BODY, MAX_HEAD
from guest.agent.server import MAX_CONNECTIONS, AppServer, Limits
from guest.protocol.errors import Misconfigured
from guest.protocol.keys import EpochKeys
from guest.protocol.secret import Secret

NETWORK_ID = b"\x07" * 32
LONG = 60.0
"""A test that waits this long has failed; nothing waits for it to pass."""
PATIENT = Limits(LONG, LONG, LONG, LONG)


def epoch(secret: bytes = b"\x2a" * 32) -> EpochKeys:
    return EpochKeys(NETWORK_ID, 1, Secret(secret))


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: object

    @property
    def error(self) -> str:
        assert isinstance(self.body, dict)
        assert list(self.body) == ["error"]
        return str(self.body["error"])


class Caller:
    """One connection of an app."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):  # the server may have heard enough
            await self.writer.drain()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        fields = dict(line.split(": ", 1) for line in head[1:] if line)
        body = await self.reader.readexactly(int(fields["Content-Length"]))
        assert body.isascii()
        assert fields["Content-Type"] == "application/json"
        return Answer(int(head[0].split(" ")[1]), fields, json.loads(body))

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def is_over(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True


@contextlib.asynccontextmanager
async def calling(path: Path) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


Story = Callable[[Path], Awaitable[None]]


def serve(folder: Path, story: Story, limits: Limits = PATIENT) -> None:
    """Open a server, tell the story, close; everything within a minute."""

    async def run() -> None:
        async with asyncio.timeout(LONG):
            server = AppServer(folder / "s", NETWORK_ID, limits=limits)
            await server.open(epoch())
            try:
                await story(folder / "s")
            finally:
                await server.close()

    asyncio.run(run())


def post(body: bytes | dict[str, object], path: str = "/GetKey", extra: str = "") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(raw)}\r\n{extra}\r\n".encode() + raw


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def expected(path: str = "", purpose: str = "") -> dict[str, object]:
    issued = app_keys(epoch(), NETWORK_ID).issue(path, purpose)
    return {
        "key": issued.key.expose().hex(),
        "signature_chain": [link.hex() for link in issued.signature_chain],
    }


# --- honest apps --------------------------------------------------------------------------------


def test_an_app_gets_its_key_and_chain(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        request = {"path": "wallet/ethereum", "purpose": "mainnet", "algorithm": "secp256k1"}
        async with calling(path) as app:
            answer = await app.ask(post(request))
            assert answer.status == 200
            assert answer.body == expected("wallet/ethereum", "mainnet")
            assert len(bytes.fromhex(str(expected()["key"]))) == 32

    serve(tmp_path, story)


@pytest.mark.parametrize(
    ("request_bytes", "path", "purpose"),
    [
        (post(b""), "", ""),
        (post({}), "", ""),
        (post({"algorithm": ""}), "", ""),
        (post({"algorithm": "k256", "path": "a"}), "a", ""),
        (post({"path": "é\n", "purpose": "\U0001f511"}), "é\n", "\U0001f511"),
        (post({"path": "a", "unknown": [1, {"b": None}]}), "a", ""),
        (post({"path": "a"}, "/GetKey?json"), "a", ""),
        (b"GET /GetKey HTTP/1.1\r\n\r\n", "", ""),
        (b"GET /GetKey?path=my/key&purpose=p&algorithm=secp256k1 HTTP/1.1\r\n\r\n", "my/key", "p"),
        (b"GET /GetKey?path=a%20b+c&json=1 HTTP/1.1\r\n\r\n", "a b c", ""),
    ],
)
def test_every_way_of_asking_that_dstack_knows_is_understood(
    request_bytes: bytes, path: str, purpose: str, tmp_path: Path
) -> None:
    async def story(socket_path: Path) -> None:
        async with calling(socket_path) as app:
            answer = await app.ask(request_bytes)
            assert (answer.status, answer.body) == (200, expected(path, purpose))

    serve(tmp_path, story)


def test_one_connection_serves_many_requests_even_sent_at_once(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            for number in range(3):
                answer = await app.ask(post({"path": str(number)}))
                assert answer.body == expected(str(number))
                assert answer.fields["Connection"] == "keep-alive"
            await app.send(b"".join(post({"path": f"p{number}"}) for number in range(50)))
            for number in range(50):
                assert (await app.answer()).body == expected(f"p{number}")

    serve(tmp_path, story)


def test_a_request_that_arrives_byte_by_byte_is_one_request(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            for byte in post({"path": "slow"}):
                await app.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await app.answer()).body == expected("slow")

    serve(tmp_path, story)


def test_a_caller_that_half_closes_after_its_request_still_gets_the_answer(tmp_path: Path) -> None:
    """dstack's JavaScript client does."""

    async def story(path: Path) -> None:
        async with calling(path) as app:
            await app.send(post({"path": "a"}))
            app.writer.write_eof()
            assert (await app.answer()).body == expected("a")
            assert await app.is_over()

    serve(tmp_path, story)


@pytest.mark.parametrize(
    "request_bytes",
    [post({}, extra="Connection: close\r\n"), b"GET /GetKey HTTP/1.0\r\n\r\n"],
)
def test_a_caller_that_wants_one_answer_sees_the_end_after_it(
    request_bytes: bytes, tmp_path: Path
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            answer = await app.ask(request_bytes)
            assert (answer.status, answer.fields["Connection"]) == (200, "close")
            assert await app.is_over()

    serve(tmp_path, story)


# --- requests that are refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status", "error"),
    [
        (post({"algorithm": "ed25519"}), 400, "Unsupported algorithm"),
        (post({"algorithm": "secp256k1_prehashed"}), 400, "Unsupported algorithm"),
        (post({"algorithm": "rsa"}), 400, "Unsupported algorithm"),
        (post({"algorithm": "SECP256K1"}), 400, "Unsupported algorithm"),
        (post({"path": 5}), 400, "path is not a text; got int"),
        (post({"path": None}), 400, "path is not a text; got NoneType"),
        (post({"purpose": ["a"]}), 400, "purpose is not a text; got list"),
        (post({"algorithm": False}), 400, "algorithm is not a text; got bool"),
        (post(b'{"path":"\\ud800"}'), 400, "path and purpose have to be Unicode text"),
        (post({}, "/Nope"), 400, "Service not found: Nope"),
        (post({}, "/"), 400, "Service not found: "),
        (post({}, "/getkey"), 400, "Service not found: getkey"),
        (post({}, "/a/b"), 404, "no such path"),
        (post({}, "//GetKey"), 404, "no such path"),
        (post({}, "/../GetKey"), 404, "no such path"),
        (b"PUT /GetKey HTTP/1.1\r\n\r\n", 405, "only GET and POST are served"),
        (b"HEAD /GetKey HTTP/1.1\r\n\r\n", 405, "only GET and POST are served"),
    ],
)
def test_a_well_formed_request_that_cannot_be_served_costs_no_connection(
    request_bytes: bytes, status: int, error: str, tmp_path: Path
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            answer = await app.ask(request_bytes)
            assert (answer.status, answer.error) == (status, error)
            assert (await app.ask(post({"path": "next"}))).body == expected("next")

    serve(tmp_path, story)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # a TLS hello
        (post(b"[]"), 400),
        (post(b'{"path":"caf\xc3\xa9"')[:-1] + b'"' + b"}", 400),
        (b"POST /GetKey HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /GetKey HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /GetKey?path=%ff HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_gets_an_answer_and_the_end(
    request_bytes: bytes, status: int, tmp_path: Path
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            answer = await app.ask(request_bytes + post({"path": "never read as a request"}))
            assert answer.status == status
            assert answer.error
            assert answer.fields["Connection"] == "close"
            assert await app.is_over()

    serve(tmp_path, story)


def test_a_length_that_is_too_short_is_answered_and_not_waited_for(tmp_path: Path) -> None:
    """dstack's JavaScript client counts characters, so a body that is not ASCII comes cut."""

    async def story(path: Path) -> None:
        body = '{"path":"café"}'.encode()
        short = b"POST /GetKey HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (len(body) - 1) + body
        async with calling(path) as app:
            answer = await app.ask(short)
            assert answer.status == 400
            assert await app.is_over()  # the leftover byte is no request

    serve(tmp_path, story)


@pytest.mark.parametrize("part", [b"GET", b"GET /GetKey HTTP/1.1\r\n", post(b'{"path":"a"}')[:-1]])
def test_a_request_that_stops_short_is_answered_when_its_end_is_seen(
    part: bytes, tmp_path: Path
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            await app.send(part)
            app.writer.write_eof()
            answer = await app.answer()
            assert answer.status == 400
            assert "cut short" in answer.error

    serve(tmp_path, story)


def test_the_largest_body_is_served_and_a_larger_one_is_refused_unread(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        name = "x" * (MAX_BODY - len(b'{"path": ""}'))
        async with calling(path) as app:
            assert (await app.ask(post({"path": name}))).body == expected(name)
            answer = await app.ask(post(b" " * (MAX_BODY + 1)))
            assert answer.status == 413
        async with calling(path) as app:
            answer = await app.ask(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
            assert answer.status == 413

    serve(tmp_path, story)


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=5))
def test_garbage_gets_json_or_silence_and_the_next_app_is_served(
    tmp_path_factory: pytest.TempPathFactory, noise: list[bytes]
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as rude:
            for part in noise:
                await rude.send(part)
            with contextlib.suppress(OSError):
                rude.writer.write_eof()
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                answer = await rude.answer()
                assert answer.status >= 400
                assert answer.error
        async with calling(path) as app:
            assert (await app.ask(post({}))).body == expected()

    serve(tmp_path_factory.mktemp("g"), story)


# --- slow and many callers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "part", "word"),
    [
        (Limits(LONG, 0.05, LONG, LONG), b"GET /GetKey HTTP/1.1\r\nX: y", "head"),
        (Limits(LONG, LONG, 0.05, LONG), post(b'{"path":"a"}')[:-1], "body"),
    ],
    ids=["head", "body"],
)
def test_a_slow_loris_is_told_and_cut_off(
    limits: Limits, part: bytes, word: str, tmp_path: Path
) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as loris:
            answer = await loris.ask(part)
            assert answer.status == 408
            assert word in answer.error
            assert await loris.is_over()

    serve(tmp_path, story, limits)


def test_drops_of_a_head_do_not_extend_its_time(tmp_path: Path) -> None:
    """The limit is for the whole head: a byte now and then keeps nothing open."""

    async def story(path: Path) -> None:
        async with calling(path) as loris:
            answering = asyncio.ensure_future(loris.answer())
            while not answering.done():
                await loris.send(b"G")
                await asyncio.sleep(0.01)
            assert (await answering).status == 408

    serve(tmp_path, story, Limits(LONG, 0.1, LONG, LONG))


def test_an_idle_connection_ends_without_a_word(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            assert await app.is_over()

    serve(tmp_path, story, Limits(0.05, LONG, LONG, LONG))


def test_a_connection_that_falls_idle_after_its_answer_ends_too(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            assert (await app.ask(post({}))).status == 200
            assert await app.is_over()

    serve(tmp_path, story, Limits(1.0, LONG, LONG, LONG))


def test_a_caller_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as rude:
            rude.writer.transport.pause_reading()  # type: ignore[attr-defined]

            async def flood() -> None:
                while True:
                    rude.writer.write(post({}) * 50)
                    await rude.writer.drain()

            with pytest.raises(ConnectionError):
                await flood()
        async with calling(path) as app:
            assert (await app.ask(post({}))).status == 200

    serve(tmp_path, story, Limits(LONG, LONG, LONG, 0.05))


def test_the_number_of_connections_is_bounded_and_frees_up(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with contextlib.AsyncExitStack() as stack:
            callers = []
            for _ in range(MAX_CONNECTIONS):
                caller = await stack.enter_async_context(calling(path))
                assert (await caller.ask(post({}))).status == 200
                callers.append(caller)
            async with calling(path) as late:
                answer = await late.answer()
                assert (answer.status, answer.error) == (503, "too many connections")
                assert await late.is_over()
            leaver = callers.pop()
            assert (await leaver.ask(post({}, extra="Connection: close\r\n"))).status == 200
            assert await leaver.is_over()
            while True:  # until the server has seen the end, too
                async with calling(path) as next_one:
                    if (await next_one.ask(post({}))).status == 200:
                        break
            for caller in callers:
                assert (await caller.ask(post({}))).status == 200

    serve(tmp_path, story)


def test_one_callers_pipeline_does_not_starve_another(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as greedy, calling(path) as app:
            answers = []

            async def take() -> None:
                for _ in range(300):
                    answers.append(await greedy.answer())  # noqa: PERF401 - counted while it runs

            taking = asyncio.ensure_future(take())
            await greedy.send(post({}) * 300)
            assert (await app.ask(post({}))).status == 200
            assert len(answers) < 300
            await taking

    serve(tmp_path, story)


# --- opening and closing ------------------------------------------------------------------------


def test_closing_ends_every_connection_and_removes_the_socket(tmp_path: Path) -> None:
    async def run() -> None:
        server = AppServer(tmp_path / "s", NETWORK_ID, limits=PATIENT)
        await server.open(epoch())
        async with calling(tmp_path / "s") as idle, calling(tmp_path / "s") as waiting:
            assert (await idle.ask(post({}))).status == 200
            await waiting.send(post(b"{}")[:-1])
            await server.close()
            assert await idle.is_over()
            assert await waiting.is_over()
        assert names(tmp_path) == []
        with pytest.raises(OSError):  # noqa: PT011 - no such file, on every system in its own words
            await asyncio.open_unix_connection(str(tmp_path / "s"))
        await server.close()

    asyncio.run(asyncio.wait_for(run(), LONG))


def test_closing_wipes_the_app_root_key(tmp_path: Path) -> None:
    async def run() -> None:
        server = AppServer(tmp_path / "s", NETWORK_ID)
        await server.open(epoch())
        keys = server._keys
        assert keys is not None
        await server.close()
        with pytest.raises(ValueError, match="wiped"):
            keys.issue("a", "b")

    asyncio.run(run())


def test_a_server_that_was_never_opened_can_be_closed(tmp_path: Path) -> None:
    asyncio.run(AppServer(tmp_path / "s", NETWORK_ID).close())


def test_opening_again_serves_the_new_keys_only(tmp_path: Path) -> None:
    async def run() -> None:
        server = AppServer(tmp_path / "s", NETWORK_ID, limits=PATIENT)
        await server.open(epoch())
        async with calling(tmp_path / "s") as old:
            assert (await old.ask(post({}))).body == expected()
            await server.open(epoch(b"\x2b" * 32))
            assert await old.is_over()
        async with calling(tmp_path / "s") as app:
            answer = await app.ask(post({}))
            assert answer.status == 200
            assert answer.body != expected()
        await server.close()

    asyncio.run(asyncio.wait_for(run(), LONG))


def test_wiped_keys_open_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        keys = epoch()
        keys.wipe()
        server = AppServer(tmp_path / "s", NETWORK_ID)
        with pytest.raises(ValueError, match="wiped"):
            await server.open(keys)

    asyncio.run(run())
    assert names(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_finding_606_the_socket_has_its_mode_from_the_first_moment_on(
    mode: int, tmp_path: Path
) -> None:
    async def run() -> None:
        old = os.umask(0)
        try:
            server = AppServer(tmp_path / "s", NETWORK_ID, mode=mode)
            await server.open(epoch())
            assert mode_of(tmp_path / "s") == mode
            assert names(tmp_path) == ["s"]
            await server.close()
        finally:
            os.umask(old)

    asyncio.run(run())


def test_without_a_word_only_the_guests_own_user_may_connect(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        assert mode_of(path) == 0o600

    serve(tmp_path, story)


def abandon(path: Path) -> None:
    """Leave a socket behind as a killed process does."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@pytest.mark.parametrize("left", [["s"], ["s.new"], ["s", "s.new"]], ids=str)
def test_what_a_killed_process_left_is_replaced(left: list[str], tmp_path: Path) -> None:
    for name in left:
        abandon(tmp_path / name)

    async def story(path: Path) -> None:
        async with calling(path) as app:
            assert (await app.ask(post({}))).body == expected()

    serve(tmp_path, story)
    assert names(tmp_path) == []


def test_a_living_server_is_not_robbed_of_its_path(tmp_path: Path) -> None:
    async def story(path: Path) -> None:
        other = AppServer(path, NETWORK_ID)
        with pytest.raises(Misconfigured, match="another process serves"):
            await other.open(epoch())
        async with calling(path) as app:
            assert (await app.ask(post({}))).status == 200

    serve(tmp_path, story)


@pytest.mark.parametrize("name", ["s", "s.new"])
@pytest.mark.parametrize("sort", ["file", "folder", "link", "dangling"])
def test_another_sort_of_file_is_never_replaced(name: str, sort: str, tmp_path: Path) -> None:
    path, precious = tmp_path / name, tmp_path / "precious"
    precious.write_text("kept")
    if sort == "file":
        path.write_text("kept")
    elif sort == "folder":
        path.mkdir()
    else:
        path.symlink_to(precious if sort == "link" else tmp_path / "nowhere")
    before = path.lstat().st_ino

    async def run() -> None:
        with pytest.raises(Misconfigured, match="another file"):
            await AppServer(tmp_path / "s", NETWORK_ID).open(epoch())

    asyncio.run(run())
    assert path.lstat().st_ino == before
    assert precious.read_text() == "kept"


def test_closing_leaves_a_file_alone_that_took_the_sockets_place(tmp_path: Path) -> None:
    async def run() -> None:
        server = AppServer(tmp_path / "s", NETWORK_ID)
        await server.open(epoch())
        (tmp_path / "other").write_text("mine")
        (tmp_path / "other").rename(tmp_path / "s")
        await server.close()

    asyncio.run(run())
    assert (tmp_path / "s").read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_refused_with_its_bound(tmp_path: Path) -> None:
    async def run() -> None:
        longest = tmp_path / ("x" * (107 - len(".new") - len(os.fsencode(tmp_path)) - 1))
        server = AppServer(longest, NETWORK_ID)
        await server.open(epoch())
        await server.close()
        for name in (longest.name + "x", "x" * 200, "é" * 60):
            with pytest.raises(Misconfigured, match="too long"):
                await AppServer(tmp_path / name, NETWORK_ID).open(epoch())

    asyncio.run(run())
    assert names(tmp_path) == []


def test_a_missing_folder_is_the_operators_to_mend(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(Misconfigured, match="cannot be made") as caught:
            await AppServer(tmp_path / "nowhere" / "s", NETWORK_ID).open(epoch())
        assert "folder" in str(caught.value)

    asyncio.run(run())


# --- secrets ------------------------------------------------------------------------------------


def test_no_answer_holds_a_key_of_the_network(tmp_path: Path) -> None:
    keys = epoch()
    forbidden = [keys.secret.expose().hex()]
    for label in ("epoch", "root_k256", "root_ca", "disk", "tls", "wrap"):
        forbidden += [keys.scalar(label).expose().hex(), keys.child(label).expose().hex()]
    root = app_keys(keys, NETWORK_ID)._root.expose().hex()

    async def story(path: Path) -> None:
        async with calling(path) as app:
            for name in ("", "app-key", "root_k256", "vms", "..", "\0", "epoch"):
                answer = await app.ask(post({"path": name, "purpose": name}))
                text = json.dumps(answer.body)
                assert answer.status == 200
                assert not [secret for secret in [*forbidden, root] if secret in text]

    serve(tmp_path, story)


def test_serving_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(path: Path) -> None:
        async with calling(path) as app:
            await app.ask(post({"path": "a"}))
            await app.ask(b"nonsense\r\n\r\n")

    serve(tmp_path, story)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
