"""The witness signs what its node shows and nothing else; its key stays its own."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.protocol.digests import witness_digest
from guest.protocol.errors import MalformedInput, Misconfigured, Unavailable
from guest.protocol.primitives import recover_address, secp256k1_address
from guest.protocol.secret import Secret
from host.chain.hexdata import Json
from host.chain.rpc import Call, RpcError
from host.chain.statements import parse, render
from host.devplatform.witness import HeaderWitness, keep_ticking, read_key
from tests.fakes.fake_chain import FakeChain
from tests.fakes.proof_node import ProofNode

KEY = Secret(b"\x42" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def witness(node: ProofNode, clock: Clock) -> HeaderWitness:
    return HeaderWitness(node, node.chain.chain_id, KEY, clock=clock)


def test_a_statement_names_newest_and_finalised_and_carries_the_witnesss_signature() -> None:
    chain = FakeChain()
    for _ in range(5):
        chain.mine()
    said = asyncio.run(witness(ProofNode(chain), Clock()).statement())
    word = said.statement
    assert (word.number, word.hash) == (chain.head.number, chain.head.hash)
    assert (word.finalized_number, word.finalized_hash) == (
        chain.finalised.number,
        chain.finalised.hash,
    )
    digest = witness_digest(chain.chain_id, word)
    assert recover_address(digest, said.signature) == secp256k1_address(KEY)


def test_many_who_ask_at_once_cost_the_node_one_request() -> None:
    node, clock = ProofNode(FakeChain()), Clock()

    async def many() -> None:
        one = witness(node, clock)
        await asyncio.gather(*[one.statement() for _ in range(20)])
        clock.now += 1
        await one.statement()

    asyncio.run(many())
    assert len(node.requests) == 2


def test_block_0_stands_for_a_finalised_block_that_there_is_not() -> None:
    node = ProofNode(FakeChain())
    node.after = lambda call, found: None if "finalized" in call.params else found
    said = asyncio.run(witness(node, Clock()).statement())
    assert said.statement.finalized_number == 0


def test_a_header_that_does_not_hash_to_its_hash_is_not_signed() -> None:
    node = ProofNode(FakeChain())

    def lying(_: Call, found: Json | RpcError) -> Json | RpcError:
        return found | {"gasUsed": "0x1"} if isinstance(found, dict) else found

    node.after = lying
    with pytest.raises(MalformedInput):
        asyncio.run(witness(node, Clock()).statement())


def test_a_node_without_blocks_is_unavailable() -> None:
    node = ProofNode(FakeChain())
    node.after = lambda _, __: None
    with pytest.raises(Unavailable):
        asyncio.run(witness(node, Clock()).statement())


def test_a_tick_mines_only_where_nothing_happened() -> None:
    node = ProofNode(FakeChain())
    heights: list[int] = []

    async def tick() -> None:
        stop = asyncio.Event()

        def watch(request: int) -> None:
            heights.append(node.chain.head.number)
            if request > 5:
                stop.set()

        node.before = watch
        async with asyncio.timeout(10):
            await keep_ticking(node, 0.001, stop=stop)

    asyncio.run(tick())
    mined = [methods for methods in node.requests if methods == ["evm_mine"]]
    assert node.requests[0] == ["eth_blockNumber"]
    assert len(mined) >= 2
    assert heights[0] == heights[1]  # the first look compares with nothing


def test_a_statement_survives_its_json() -> None:
    said = FakeChain().statement()
    assert parse(json.dumps(render(said)).encode()) == said


@given(st.binary(max_size=200))
def test_noise_for_a_statement_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse(text)


@given(
    st.sampled_from(["number", "hash", "finalizedNumber", "finalizedHash", "signature"]),
    st.none() | st.booleans() | st.integers(max_value=-1) | st.text(max_size=5) | st.just([]),
)
def test_a_wrong_member_of_a_statement_is_malformed(name: str, value: Json) -> None:
    content = render(FakeChain().statement()) | {name: value}
    with pytest.raises(MalformedInput):
        parse(json.dumps(content).encode())


def test_a_number_beyond_64_bits_in_a_statement_is_malformed() -> None:
    said = FakeChain().statement()
    with pytest.raises(MalformedInput):
        parse(json.dumps(render(replace(said)) | {"number": 2**64}).encode())


def test_a_key_is_read_only_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("42" * 32 + "\n")
    path.chmod(0o600)
    assert read_key(path).matches(KEY)
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(Misconfigured, match="others may read") as caught:
            read_key(path)
        assert "4242" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "00" * 32, "ff" * 32, "42" * 31, "42" * 33, "xy" * 32, "é" * 32]
)
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Misconfigured) as caught:
        read_key(path)
    assert not text or text not in str(caught.value)


def test_a_missing_key_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        read_key(tmp_path / "none")
