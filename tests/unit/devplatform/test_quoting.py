"""The quoting service and its client: one connection is one boot, and a lost one is final."""

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.quote import decode_quote
from guest.platform import quoting_service
from guest.platform.platform import PlatformLost, Registers
from guest.platform.quoting_service import QuotingService
from guest.protocol import rlp
from guest.protocol.errors import Reason, Unavailable
from host.devplatform.quoting import MAX_FRAME, Boot, QuotingServer
from host.devplatform.registers import BootRegisters, registers_for
from host.devplatform.tdquote import TD15, QuotingEnclave

REGISTERS = registers_for("a build")
SEAL = b"\x01" * 48


@dataclass
class Pair:
    """Both ends of a connection inside this process."""

    client: QuotingService
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def _pair() -> Pair:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    client = QuotingService(*await asyncio.open_unix_connection(sock=ours))
    return Pair(client, reader, writer)


def _with_server(story: Callable[[QuotingService], Awaitable[None]], **options: int) -> None:
    async def run() -> None:
        pair = await _pair()
        server = QuotingServer(REGISTERS, **options)
        boot = asyncio.create_task(server._boot(pair.reader, pair.writer))
        await story(pair.client)
        await pair.client.close()
        await boot
        assert server.boots == 0

    asyncio.run(run())


def test_a_quote_carries_the_report_data_and_the_boots_registers() -> None:
    async def story(client: QuotingService) -> None:
        quote = decode_quote(await client.quote(b"\x07" * 64))
        assert quote.report_data == b"\x07" * 64
        assert (quote.mrtd, quote.rtmr0) == (REGISTERS.mrtd, REGISTERS.rtmr0)
        assert (quote.rtmr1, quote.rtmr2, quote.rtmr3) == (
            REGISTERS.rtmr1,
            REGISTERS.rtmr2,
            bytes(48),
        )

    _with_server(story)


def test_an_extension_shows_in_every_later_quote() -> None:
    async def story(client: QuotingService) -> None:
        await client.extend(3, SEAL)
        await client.extend(3, SEAL)
        once = hashlib.sha384(bytes(48) + SEAL).digest()
        wanted = hashlib.sha384(once + SEAL).digest()
        assert (await client.registers()).rtmr3 == wanted
        assert decode_quote(await client.quote(bytes(64))).rtmr3 == wanted

    _with_server(story)


def test_a_new_connection_is_a_new_boot() -> None:
    async def first(client: QuotingService) -> None:
        await client.extend(3, SEAL)

    async def second(client: QuotingService) -> None:
        boot = REGISTERS
        assert await client.registers() == Registers(
            boot.mrtd, boot.rtmr0, boot.rtmr1, boot.rtmr2, bytes(48)
        )

    _with_server(first)
    _with_server(second)


def test_the_body_of_quotes_is_the_services_choice() -> None:
    async def story(client: QuotingService) -> None:
        assert decode_quote(await client.quote(bytes(64))).body == TD15

    _with_server(story, version=5, body=TD15)


def test_requests_that_overlap_are_answered_in_turn() -> None:
    async def story(client: QuotingService) -> None:
        wanted = [bytes([i]) * 64 for i in range(8)]
        quotes = await asyncio.gather(*[client.quote(data) for data in wanted])
        assert [decode_quote(quote).report_data for quote in quotes] == wanted

    _with_server(story)


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        [],
        [b"quote"],
        [b"quote", bytes(63)],
        [b"quote", bytes(64), b""],
        [b"extend", b"\x02", bytes(48)],
        [b"extend", b"\x03", bytes(47)],
        [b"reset"],
        [b"registers", b""],
        [[b"quote"], bytes(64)],
    ],
    ids=str,
)
def test_any_other_request_is_an_error_and_changes_nothing(request_: rlp.Item) -> None:
    boot = Boot(REGISTERS, QuotingEnclave())
    assert boot.answer(request_)[0] == b"error"
    assert boot.rtmr3 == bytes(48)


def test_the_service_gives_no_boot_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.devplatform.quoting.MAX_BOOTS", 0)

    async def story(client: QuotingService) -> None:
        with pytest.raises(PlatformLost):
            await client.registers()

    _with_server(story)


def _with_peer(answer: bytes | None, story: Callable[[Pair], Awaitable[None]]) -> None:
    """Run against a peer that answers every request with these bytes, and hangs up on None."""

    async def run() -> None:
        pair = await _pair()
        if answer is None:
            pair.writer.close()
        else:
            pair.writer.write(answer)
        await story(pair)
        await pair.client.close()
        pair.writer.close()
        await asyncio.gather(pair.writer.wait_closed(), return_exceptions=True)

    asyncio.run(run())


def _frame(item: rlp.Item) -> bytes:
    data = rlp.encode(item)
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (MAX_FRAME + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x01\x81",
        _frame(b"ok"),
        _frame([]),
        _frame([b"ok"]),
        _frame([b"ok", *[bytes(48)] * 4]),
        _frame([b"ok", *[bytes(48)] * 4, bytes(47)]),
        _frame([b"ok", *[bytes(48)] * 4, [bytes(48)]]),
        _frame([b"maybe", b""]),
    ],
    ids=[
        "hung up", "too large", "4 GiB", "empty", "not canonical", "no list", "empty list",
        "no values", "too few", "too short", "nested", "unknown",
    ],
)  # fmt: skip
def test_a_service_that_breaks_the_protocol_is_lost_for_good(answer: bytes | None) -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(PlatformLost) as caught:
            await pair.client.registers()
        assert caught.value.reason is Reason.PLATFORM_LOST
        assert caught.value.fatal
        with pytest.raises(PlatformLost):
            await pair.client.quote(bytes(64))

    _with_peer(answer, story)


def test_an_error_is_reported_and_the_boot_goes_on() -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(Unavailable, match="busy") as caught:
            await pair.client.registers()
        assert not caught.value.fatal
        pair.writer.write(_frame([b"ok", b"a quote"]))
        assert await pair.client.quote(bytes(64)) == b"a quote"

    _with_peer(_frame([b"error", b"busy"]), story)


def test_a_service_that_hangs_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quoting_service, "REQUEST_LIMIT", 0.0)

    async def story(pair: Pair) -> None:
        with pytest.raises(PlatformLost, match="TimeoutError"):
            await pair.client.registers()

    _with_peer(b"", story)


def test_a_late_answer_is_never_taken_for_the_next_requests() -> None:
    """A request that is cancelled midway ends the connection: its answer is still under way."""

    async def story(pair: Pair) -> None:
        asked = asyncio.create_task(pair.client.quote(b"\x01" * 64))
        await pair.reader.readexactly(4)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert asked.cancelled()
        with pytest.raises(PlatformLost):
            await pair.client.quote(b"\x02" * 64)

    _with_peer(b"", story)


@pytest.mark.parametrize(("index", "size"), [(0, 48), (2, 48), (4, 48), (3, 47), (3, 64)])
def test_only_rtmr3_can_be_extended(index: int, size: int) -> None:
    async def story(pair: Pair) -> None:
        with pytest.raises(ValueError, match="RTMR3"):
            await pair.client.extend(index, bytes(size))
        with pytest.raises(ValueError, match="64"):
            await pair.client.quote(bytes(size % 64))

    _with_peer(b"", story)


@given(st.binary(max_size=200))
def test_whatever_a_guest_sends_its_boot_ends_in_order(data: bytes) -> None:
    async def run() -> None:
        pair = await _pair()
        server = QuotingServer(BootRegisters(*[bytes(48)] * 4))
        boot = asyncio.create_task(server._boot(pair.reader, pair.writer))
        pair.client._writer.write(data)
        pair.client._writer.write_eof()
        await boot
        await pair.client.close()
        assert server.boots == 0

    asyncio.run(run())
