"""Relays lie, lose, hang and die; documents are found by hash all the same."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from guest.protocol.errors import MalformedInput, Misconfigured, Unavailable
from guest.protocol.primitives import keccak256
from host.chain.timing import Timing
from host.documents import relay_server
from host.documents.archive import Archive
from host.documents.relay import RelayClient
from host.documents.shelf import Shelf
from tests.fakes.relay import URL, a_document, client_of, lying_relay_at, over, relay_at


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


async def request(path: Path, method: str, target: str, **more: object) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession(connector=over(path)()) as session,
        session.request(method, URL + target, **more) as response,  # type: ignore[arg-type]
    ):
        return response.status, await response.read()


def test_a_pushed_document_is_fetched_by_its_hash(tmp_path: Path) -> None:
    async def body() -> None:
        path = tmp_path / "s"
        async with relay_at(path), client_of(path) as client:
            document = a_document()
            assert await client.publish(document) == 1
            assert await client.fetch(keccak256(document)) == document
            status, reply = await request(path, "POST", "/push", data=document)
            assert (status, reply.strip()) == (200, b"0x" + keccak256(document).hex().encode())

    run(body)


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/push", b"", 400),
        ("POST", "/push", b"garbage", 400),
        ("POST", "/push", os.urandom(5000), 400),
        ("POST", "/push", bytes(98_305), 413),
        ("POST", "/push", bytes(1_000_000), 413),
        ("GET", "/documents/" + "00" * 32, None, 404),
        ("GET", "/documents/zz", None, 400),
        ("GET", "/documents/..%2f..%2fetc%2fpasswd", None, 400),
        ("GET", "/documents/" + "0x" * 32, None, 400),
        ("GET", "/nothing", None, 404),
        ("DELETE", "/push", None, 405),
    ],
)
def test_garbage_is_refused_with_a_4xx(
    tmp_path: Path, method: str, target: str, body: bytes | None, status: int
) -> None:
    async def story() -> None:
        path = tmp_path / "s"
        async with relay_at(path):
            found, _ = await request(path, method, target, data=body)
            assert found == status

    run(story)


def test_a_compressed_bomb_is_not_expanded(tmp_path: Path) -> None:
    async def body() -> None:
        path = tmp_path / "s"
        async with relay_at(path):
            found, _ = await request(
                path, "POST", "/push", data=b"x", headers={"Content-Encoding": "gzip"}
            )
            assert found == 415

    run(body)


def test_l2_late_subscribers_get_the_newest_first_and_then_what_comes(tmp_path: Path) -> None:
    async def body() -> None:
        path = tmp_path / "s"
        async with relay_at(path), client_of(path) as client:
            old = [a_document(n) for n in range(3)]
            for document in old:
                await client.publish(document)
            stream = client.follow()
            seen = [await anext(stream) for _ in old]
            assert seen == [keccak256(d) for d in old]
            await client.publish(old[0])  # known: nothing new
            await client.publish(a_document(9))
            assert await anext(stream) == keccak256(a_document(9))
            await stream.aclose()

    run(body)


def test_memory_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    shelf = Shelf(Archive(tmp_path), max_documents=3, max_bytes=8_000)
    digests = [shelf.put(a_document(n))[0] for n in range(5)]
    assert [shelf.get(d) is not None for d in digests] == [False, False, True, True, True]
    big, _ = shelf.put(a_document(9, size=6000))
    assert shelf.get(big) is not None
    assert shelf.newest(10)[-1] == big
    assert len(shelf.newest(10)) == 1
    assert Archive(tmp_path).newest() == (big,)


def test_one_address_cannot_push_everyone_elses_documents_out() -> None:
    now = 0.0
    allowance = relay_server._Allowance(lambda: now)
    assert sum(allowance.take("a") for _ in range(1000)) == relay_server.PUSHES_AT_ONCE
    assert allowance.take("b")
    now = 10.0
    assert sum(allowance.take("a") for _ in range(1000)) == 10 * relay_server.PUSHES_A_SECOND
    for n in range(10_000):
        allowance.take(str(n))
    assert len(allowance._left) <= 4096


def test_a_subscriber_that_does_not_read_is_let_go(tmp_path: Path) -> None:
    async def body() -> None:
        async with relay_at(tmp_path / "s") as server:
            queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=2)
            server._subscribers.add(queue)
            for n in range(5):
                server._tell(bytes([n]))
            assert queue not in server._subscribers
            assert queue.qsize() == 2

    run(body)


def test_subscribers_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_server, "MAX_SUBSCRIBERS", 1)

    async def body() -> None:
        path = tmp_path / "s"
        async with relay_at(path), client_of(path) as client:
            await client.publish(a_document())
            first = client.follow()
            await anext(first)
            with pytest.raises(Unavailable, match="subscribers"):
                await anext(client.follow())
            await first.aclose()

    run(body)


def test_connections_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_server, "MAX_CONNECTIONS", 1)

    async def body() -> None:
        path = tmp_path / "s"
        async with relay_at(path), client_of(path) as client:
            await client.publish(a_document())
            stream = client.follow()
            await anext(stream)
            reader, writer = await asyncio.open_unix_connection(str(path))
            assert await reader.read() == b""
            writer.close()
            await stream.aclose()

    run(body)


def test_a_connection_that_never_asks_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_server, "_FIRST_REQUEST_SECONDS", 0.05)

    async def body() -> None:
        async with relay_at(tmp_path / "s"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writer.write(b"POST /push HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            await writer.drain()
            assert await _ended(reader)
            writer.close()

    run(body)


def test_a_relay_that_sends_another_document_is_skipped_and_counted(tmp_path: Path) -> None:
    async def body() -> None:
        wanted = a_document(1)
        good, bad = tmp_path / "good", tmp_path / "bad"
        async with (
            relay_at(good),
            lying_relay_at(bad, lambda _: web.Response(body=a_document(2))),
            client_of(good) as publisher,
        ):
            await publisher.publish(wanted)
            client = RelayClient(["http://bad", "http://good"], connector=_two(bad, good))
            assert await client.fetch(keccak256(wanted)) == wanted
            assert client.garbage == 1
            assert await client.publish(wanted) == 1
            assert client.garbage == 2
            await client.close()

    run(body)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=500),
        lambda _: web.Response(status=302, headers={"Location": "http://elsewhere/"}),
        lambda _: web.Response(body=bytes(2_000_000)),
        lambda _: web.Response(text="not a hash"),
        lambda _: web.Response(body=b"", headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_relay_that_answers_nonsense_makes_the_document_unavailable(
    tmp_path: Path, answer: Callable[[web.Request], web.Response]
) -> None:
    async def body() -> None:
        path = tmp_path / "s"
        async with lying_relay_at(path, answer), client_of(path) as client:
            with pytest.raises(Unavailable):
                await client.fetch(bytes(32), seconds=0)
            with pytest.raises(Unavailable):
                await client.publish(a_document())
            with pytest.raises(Unavailable):
                await anext(client.follow())

    run(body)


def test_garbage_in_a_subscription_is_skipped_and_counted(tmp_path: Path) -> None:
    text = f"data: nonsense\n\n: comment\n\ndata: 0x{'ab' * 32}\n\n"

    async def body() -> None:
        path = tmp_path / "s"
        async with (
            lying_relay_at(path, lambda _: web.Response(text=text)),
            client_of(path) as client,
        ):
            assert await anext(client.follow()) == b"\xab" * 32
            assert client.garbage == 1

    run(body)


def test_a_document_that_comes_late_is_waited_for_with_growing_pauses(tmp_path: Path) -> None:
    async def body() -> None:
        path, document = tmp_path / "s", a_document()
        pauses: list[float] = []
        async with relay_at(path), client_of(path) as publisher:

            async def sleep(seconds: float) -> None:
                pauses.append(seconds)
                if len(pauses) == 5:
                    await publisher.publish(document)

            ticks = itertools.count()
            timing = Timing(monotonic=lambda: float(next(ticks)), sleep=sleep, jitter=lambda: 1.0)
            client = RelayClient([URL], timing=timing, connector=over(path))
            assert await client.fetch(keccak256(document)) == document
            assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
            with pytest.raises(Unavailable, match="no relay has"):
                await client.fetch(bytes(32))
            await client.close()

    run(body)


def test_no_relay_at_all_is_unavailable_and_never_shows_a_key(tmp_path: Path) -> None:
    async def body() -> None:
        async with client_of(tmp_path / "none", "http://user:hunter2@relay/key/s3cr3t") as client:
            with pytest.raises(Unavailable) as error:
                await client.publish(a_document())
            assert "hunter2" not in str(error.value)
            assert "s3cr3t" not in str(error.value)
            with pytest.raises(Unavailable) as error:
                await anext(client.follow())
            assert "s3cr3t" not in str(error.value)
            with pytest.raises(MalformedInput):
                await client.publish(bytes(98_305))

    run(body)
    with pytest.raises(Misconfigured, match="relay URL"):
        RelayClient(["ftp://relay"])


_CHILD = """
import asyncio, sys
from pathlib import Path
from host.documents.archive import Archive
from host.documents.relay_server import RelayServer
from host.documents.shelf import Shelf
async def main():
    server = RelayServer(Shelf(Archive(Path(sys.argv[1]))))
    await server.start_unix(sys.argv[2])
    print("up", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_relay_killed_by_signal_9_serves_again_what_it_had(tmp_path: Path) -> None:
    path, document = tmp_path / "s", a_document()

    def start() -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path / "store"), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child

    async def publish() -> None:
        async with client_of(path) as client:
            await client.publish(document)

    async def fetch() -> None:
        async with client_of(path) as client:
            assert await client.fetch(keccak256(document), seconds=0) == document

    first = start()
    asyncio.run(publish())
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    path.unlink()
    second = start()
    try:
        asyncio.run(fetch())
    finally:
        second.kill()
        second.communicate()


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the other side to hang up, either way."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


class _Split(aiohttp.UnixConnector):
    """Connects the host "bad" to one socket and every other to another."""

    def __init__(self, bad: Path, good: Path) -> None:
        super().__init__(str(good))
        self._bad, self._good = str(bad), str(good)

    async def connect(self, req: aiohttp.ClientRequest, **more: object) -> object:  # type: ignore[override]
        self._path = self._bad if req.url.host == "bad" else self._good
        return await super().connect(req, **more)  # type: ignore[arg-type]


def _two(bad: Path, good: Path) -> Callable[[], aiohttp.BaseConnector]:
    return lambda: _Split(bad, good)
