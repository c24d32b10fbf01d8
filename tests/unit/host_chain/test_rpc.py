"""One node over HTTP: bounded, repeated only where that is safe, silent about keys."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol.errors import MalformedInput, Misconfigured, ReplicatoorError, Unavailable
from host.chain import hexdata
from host.chain.rpc import Call, RpcClient, RpcError, origin_of
from host.chain.timing import Timing

SECRET_URL = "http://user:hunter2secret@node.example:8545/v3/0123456789abcdef?apikey=s3cr3tkey"
Answer = Callable[[object], object]


class Server:
    """Answers each request with the next of `script`, the last one for ever."""

    def __init__(self, *script: Answer | web.Response) -> None:
        self.script = list(script)
        self.asked: list[str] = []
        self.requests = 0

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        calls = body if isinstance(body, list) else [body]
        if calls[0]["method"] == "eth_chainId":
            return answer(calls[0]["id"], "0x7a69")
        self.requests += 1
        self.asked += [call["method"] for call in calls]
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, web.Response):
            return step
        return web.json_response(step(body))


def answer(number: int, result: object) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": number, "result": result})


def ok(body: object) -> object:
    calls = body if isinstance(body, list) else [body]
    answers = [{"jsonrpc": "2.0", "id": c["id"], "result": c["method"]} for c in calls]
    return answers if isinstance(body, list) else answers[0]


def error(**fields: object) -> Answer:
    return lambda body: {"jsonrpc": "2.0", "id": body["id"], "error": fields}  # type: ignore[index]


def with_node(
    tmp_path: Path,
    server: Server,
    story: Callable[[RpcClient], Awaitable[None]],
    url: str = SECRET_URL,
    **options: object,
) -> list[float]:
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    async def body() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{any:.*}", server.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        path = str(tmp_path / "node")
        await web.UnixSite(runner, path).start()
        timing = Timing(sleep=sleep, jitter=lambda: 1.0)
        async with RpcClient(
            url,
            chain_id=31337,
            timing=timing,
            connector=lambda: aiohttp.UnixConnector(path),
            **options,  # type: ignore[arg-type]
        ) as rpc:
            await story(rpc)
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(body(), 60))
    return sleeps


def test_answers_of_a_batch_keep_the_order_of_the_calls(tmp_path: Path) -> None:
    server = Server(lambda body: list(reversed(ok(body))))  # type: ignore[call-overload]

    async def story(rpc: RpcClient) -> None:
        assert await rpc.batch([Call("a"), Call("b"), Call("c")]) == ["a", "b", "c"]
        assert rpc.calls == 4  # with the check of the chain id

    with_node(tmp_path, server, story)


def test_an_error_of_one_call_stands_in_its_place(tmp_path: Path) -> None:
    def mixed(body: object) -> object:
        first, second = ok(body)  # type: ignore[misc]
        del second["result"]
        second["error"] = {"code": 3, "message": "execution reverted", "data": "0x01020304"}
        return [first, second]

    async def story(rpc: RpcClient) -> None:
        found = await rpc.batch([Call("a"), Call("b")])
        assert found[0] == "a"
        assert isinstance(found[1], RpcError)
        assert (found[1].code, found[1].data, found[1].reverted) == (3, b"\1\2\3\4", True)

    with_node(tmp_path, Server(mixed), story)


@pytest.mark.parametrize(
    "bad",
    [
        web.Response(status=500),
        web.Response(status=429, text="slow down"),
        web.Response(status=503, text="<html>"),
        web.Response(status=200, text="{"),
        web.Response(status=200, text="[" * 100_000),
        web.Response(status=200, text="9" * 10_000),
        web.Response(status=302, headers={"Location": "http://evil.example/"}),
        lambda _: [],
        lambda _: {"id": 10**6, "result": 1},
        lambda body: [ok(body), ok(body)],
        lambda body: {"id": body["id"]},
        lambda _: "text",
        lambda _: [1],
        error(code=-32005, message="rate limit"),
        error(code=429, message="too many requests"),
    ],
)
def test_what_is_no_answer_is_asked_again_and_then_unavailable(
    tmp_path: Path, bad: Answer | web.Response
) -> None:
    text = bad.body if isinstance(bad, web.Response) else None

    def fresh() -> Answer | web.Response:
        if isinstance(bad, web.Response):
            return web.Response(status=bad.status, body=text, headers=bad.headers)
        return bad

    server = Server(*(fresh() for _ in range(4)), ok)

    async def story(rpc: RpcClient) -> None:
        with pytest.raises(Unavailable) as raised:
            await rpc.call("eth_blockNumber")
        assert "s3cr3t" not in str(raised.value)
        assert await rpc.call("eth_blockNumber") == "eth_blockNumber"

    sleeps = with_node(tmp_path, server, story)
    assert sleeps == [0.1, 0.2, 0.4]


def test_a_transaction_is_never_sent_twice_by_the_client(tmp_path: Path) -> None:
    server = Server(web.Response(status=502))

    async def story(rpc: RpcClient) -> None:
        with pytest.raises(Unavailable):
            await rpc.batch([Call("eth_blockNumber"), Call("eth_sendRawTransaction", ("0x",))])
        assert server.requests == 1

    assert with_node(tmp_path, server, story) == []


def test_an_answer_without_end_is_cut_off(tmp_path: Path) -> None:
    server = Server(lambda body: {"id": body["id"], "result": "x" * 50_000})  # type: ignore[index]

    async def story(rpc: RpcClient) -> None:
        with pytest.raises(Unavailable):
            await rpc.call("eth_getLogs")

    with_node(tmp_path, server, story, max_response=10_000)


def test_a_node_on_another_chain_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    server = Server(ok)

    async def story(rpc: RpcClient) -> None:
        rpc.chain_id = 1
        with pytest.raises(Misconfigured, match="another chain"):
            await rpc.call("eth_sendRawTransaction", "0x")
        assert server.asked == []

    with_node(tmp_path, server, story)


def test_a_node_that_is_away_is_named_by_host_only() -> None:
    async def body() -> None:
        client = RpcClient(
            SECRET_URL,
            chain_id=1,
            timing=Timing(sleep=lambda _: asyncio.sleep(0)),
            connector=lambda: aiohttp.UnixConnector("/nowhere/at/all"),
        )
        with pytest.raises(Unavailable) as raised:
            await client.call("eth_blockNumber")
        await client.close()
        shown = f"{raised.value} {raised.value!r} {raised.value.__cause__} {client!r}"
        assert "http://node.example:8545" in shown
        for word in ("hunter2", "0123456789abcdef", "s3cr3t", "user"):
            assert word not in shown

    asyncio.run(body())


def test_finding_568_a_key_that_the_node_repeats_in_its_error_is_blanked(tmp_path: Path) -> None:
    text = "invalid project id 0123456789abcdef for s3cr3tkey"
    server = Server(error(code=-32600, message=text, data="nonsense"))

    async def story(rpc: RpcClient) -> None:
        with pytest.raises(RpcError) as raised:
            await rpc.call("eth_blockNumber")
        assert "***" in str(raised.value)
        assert "0123456789abcdef" not in str(raised.value)
        assert "s3cr3tkey" not in raised.value.message

    with_node(tmp_path, server, story)


@pytest.mark.parametrize("fields", [{}, {"code": "x", "message": 5}, {"message": "m" * 10**5}])
def test_errors_of_any_shape_become_one_short_line(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    async def story(rpc: RpcClient) -> None:
        with pytest.raises(RpcError) as raised:
            await rpc.call("eth_call")
        assert len(str(raised.value)) < 400
        assert "\n" not in str(raised.value)

    with_node(tmp_path, Server(error(**fields, x=1)), story)


@pytest.mark.parametrize(
    "url", ["", "node:8545", "ftp://node", "http://", "http://[::1", "http://node:99999999/"]
)
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(Misconfigured):
        origin_of(url)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://a:b@node.example/v3/key?x=y#z") == "https://node.example"
    assert origin_of("http://[::1]:8545/x") == "http://[::1]:8545"


@given(text=st.text())
def test_any_text_as_url_gives_an_origin_or_our_error(text: str) -> None:
    with contextlib.suppress(Misconfigured):
        assert origin_of(text).startswith(("http://", "https://"))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_hex_readers_take_any_json_and_raise_only_our_error(value: hexdata.Json) -> None:
    for read in (
        lambda: hexdata.quantity(value, "x"),
        lambda: hexdata.data(value, "x", max_size=10),
        lambda: hexdata.fixed(value, "x", 20),
        lambda: hexdata.members(value, "x"),
        lambda: hexdata.items(value, "x", max_items=3),
    ):
        try:
            read()
        except MalformedInput:
            continue
        except ReplicatoorError as e:
            raise AssertionError(e) from e


@pytest.mark.parametrize(
    "text", ["0x", "0x-1", "0x_1", "1", "0X1", "0x 1", "0x" + "f" * 65, "0x1\n"]
)
def test_quantities_that_python_would_bear_are_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        hexdata.quantity(text, "x")


@given(number=st.integers(0, 2**256 - 1), raw=st.binary(max_size=100))
def test_what_we_write_we_read(number: int, raw: bytes) -> None:
    assert hexdata.quantity(hexdata.to_quantity(number), "x") == number
    assert hexdata.data(hexdata.to_data(raw), "x", max_size=100) == raw
