"""What the host makes of a node's answers is what a guest accepts, or an error that says why not."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.chain.layout import NodeRecord, Status, Wanted
from guest.chain.trust import trust_for
from guest.chain.view import ChainReader, ChainView
from guest.protocol import codec, rlp
from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.link import MAX_FRAME, NeedView, UnverifiedView
from guest.protocol.network import Trust
from guest.protocol.primitives import keccak256
from host.chain.blocks import BlockFields, parse_block
from host.chain.hexdata import Json
from host.chain.proofs import ViewFetcher, header_rlp, state_proof
from host.chain.rpc import Call, RpcError
from tests.fakes import contract_storage as contract
from tests.fakes.fake_chain import CONTRACT, FakeChain
from tests.fakes.proof_node import NAMES, ProofNode, block_json

NODE = b"\xaa" * 20
ACTIVE = NodeRecord(b"\x01" * 20, Status.ACTIVE, 0, 1, 2**31, 1, 9)
WANTED = Wanted(nodes=(NODE,), genesis=True)


async def no_pause(_: float) -> None:
    """Wait for nothing."""


def chain_of(blocks: int = 6, **options: int) -> FakeChain:
    chain = FakeChain(**options)  # type: ignore[arg-type]
    chain.mine(contract.node(NODE, ACTIVE))
    for _ in range(blocks):
        chain.mine()
    return chain


def fetcher(node: ProofNode, **options: object) -> ViewFetcher:
    return ViewFetcher(node, CONTRACT, sleep=no_pause, jitter=lambda: 0.0, **options)  # type: ignore[arg-type]


def fetch(views: ViewFetcher, *, ancestors: int = 0, final: bool = True) -> UnverifiedView:
    slots = WANTED.slots()
    view = asyncio.run(views.fetch(NeedView(1, slots, slots if final else (), ancestors)))
    # It must fit the link as well.
    assert codec.decode(UnverifiedView, codec.encode(view), max_size=MAX_FRAME) == view
    return view


def accepted(
    chain: FakeChain, view: UnverifiedView, *, ancestors: int = 0, trust: Trust = Trust.UNVERIFIED
) -> ChainView:
    network = chain.network(trust)
    reader = ChainReader(network, trust_for(network))
    return reader.read(view, newest=WANTED, finalised=WANTED, ancestors=ancestors, at=0.0)


def test_a_guest_accepts_what_the_host_fetched_in_two_requests() -> None:
    chain = chain_of()
    node = ProofNode(chain)
    view = accepted(chain, fetch(fetcher(node), ancestors=8), ancestors=8)
    assert view.newest.node(NODE) == ACTIVE
    assert view.require_finalised().header.number == chain.finalised.number
    assert view.anchor().number == 0
    assert len(node.requests) == 2
    assert node.requests[0] == ["eth_getBlockByNumber"] * 2


def test_headers_that_the_scanner_knows_are_not_asked_for_again() -> None:
    chain = chain_of()
    node = ProofNode(chain)

    def known(number: int) -> BlockFields | None:
        block = chain.blocks[number]
        return parse_block(block_json(block.header, block.hash)) if number > 3 else None

    accepted(chain, fetch(fetcher(node, recent_header=known), ancestors=6), ancestors=6)
    missing = chain.head.number - 6
    assert node.requests[1].count("eth_getBlockByNumber") == 3 - missing + 1


def test_what_the_scanner_knew_before_a_reorg_is_asked_anew() -> None:
    chain = chain_of(finality=5)
    old = [parse_block(block_json(block.header, block.hash)) for block in chain.blocks]
    chain.reorg(3)
    node = ProofNode(chain)
    view = fetch(fetcher(node, recent_header=lambda number: old[number]), ancestors=4)
    accepted(chain, view, ancestors=4)
    assert len(node.requests) == 4


def test_a_reorg_between_header_and_proof_is_fetched_again() -> None:
    chain = chain_of(finality=5)
    node = ProofNode(chain)

    def reorganise(request: int) -> None:
        if request == 1:
            chain.blocks.pop()
            chain.mine(contract.node(b"\xbb" * 20, ACTIVE))

    node.before = reorganise
    accepted(chain, fetch(fetcher(node), ancestors=4), ancestors=4)
    assert len(node.requests) == 4


def test_a_chain_that_never_stands_still_ends_in_unavailable() -> None:
    chain = chain_of(finality=5)
    node = ProofNode(chain)

    def restless(request: int) -> None:
        chain.blocks.pop()
        chain.mine(contract.node(request.to_bytes(20, "big"), ACTIVE))

    node.before = restless
    with pytest.raises(Unavailable, match="one state of the chain"):
        fetch(fetcher(node))
    assert len(node.requests) == 8


def test_block_0_as_the_finalised_one_is_shown_without_a_proof() -> None:
    chain = FakeChain(finality=9)
    view = fetch(fetcher(ProofNode(chain)))
    assert view.finalised is not None
    assert view.finalised.nodes == ()
    assert accepted(chain, view).finalised is None


@pytest.mark.parametrize("answer", [None, RpcError("", "", -32601, "unknown tag", b"")])
def test_a_node_without_finalised_blocks_gives_a_view_without_one(answer: Json | RpcError) -> None:
    chain = chain_of()
    node = ProofNode(chain)
    node.after = lambda call, found: answer if "finalized" in call.params else found
    views = fetcher(node)
    assert fetch(views).finalised is None
    assert "finalised" in views.trouble


def test_a_node_that_prunes_the_finalised_state_costs_finality_only_and_says_so() -> None:
    chain = chain_of()
    node = ProofNode(chain)
    number = hex(chain.finalised.number)
    refusal = RpcError("", "eth_getProof", -32000, "distance exceeds the proof window", b"")

    def pruned(call: Call, found: Json | RpcError) -> Json | RpcError:
        return refusal if call.method == "eth_getProof" and call.params[2] == number else found

    node.after = pruned
    views = fetcher(node)
    view = fetch(views)
    assert view.finalised is None
    assert "128 blocks" in views.trouble
    assert accepted(chain, view).newest.node(NODE) == ACTIVE
    node.after = lambda _, found: found
    fetch(views)
    assert views.trouble == ""


def test_a_node_without_get_proof_is_named() -> None:
    node = ProofNode(chain_of())
    refusal = RpcError("", "eth_getProof", -32601, "method not found", b"")
    node.after = lambda call, found: refusal if call.method == "eth_getProof" else found
    with pytest.raises(Unavailable, match="eth_getProof"):
        fetch(fetcher(node))


def test_a_view_wants_no_more_ancestors_than_the_link_carries() -> None:
    with pytest.raises(MalformedInput):
        fetch(fetcher(ProofNode(chain_of())), ancestors=17)


def test_the_view_of_a_witnessed_network_lies_under_the_headers_that_the_witness_names() -> None:
    chain = chain_of()
    said = chain.statement()
    for _ in range(3):
        chain.mine()  # the node is ahead of the witness

    async def witness() -> object:
        return said

    view = fetch(fetcher(ProofNode(chain), witness=witness), ancestors=3)
    verified = accepted(chain, view, ancestors=3, trust=Trust.WITNESSED)
    assert verified.newest.header.number == said.statement.number
    assert verified.require_finalised().header.hash == said.statement.finalized_hash


def test_a_node_on_another_fork_than_the_witness_is_waited_for() -> None:
    chain = chain_of(finality=5)
    said = [chain.statement()]
    chain.reorg(2)
    node = ProofNode(chain)

    async def witness() -> object:
        return said.pop() if said else chain.statement()

    view = fetch(fetcher(node, witness=witness))
    accepted(chain, view, trust=Trust.WITNESSED)
    assert not said


# --- headers and nodes --------------------------------------------------------------------------


def told(count: int) -> dict[str, Json]:
    """A block with the first `count` header fields, as JSON."""
    chain = FakeChain()
    raw = rlp.decode(chain.head.header, max_size=2048)
    assert isinstance(raw, list)
    header = rlp.encode([*raw, b"\x06" * 32, b"\x2a"][:count])
    return block_json(header, keccak256(header))


@pytest.mark.parametrize("count", [15, 16, 17, 20, 21, 23])
def test_the_header_of_every_fork_is_rebuilt_from_json(count: int) -> None:
    block = parse_block(told(count))
    assert keccak256(header_rlp(block)) == block.hash


@pytest.mark.parametrize("name", NAMES)
def test_a_header_field_that_the_node_changes_or_hides_is_noticed(name: str) -> None:
    spoil: Callable[[str], Json]
    for spoil in (lambda text: text[:-1] + ("1" if text[-1] != "1" else "2"), lambda _: None):
        block = told(23)
        block[name] = spoil(str(block[name]))
        with pytest.raises(MalformedInput):
            header_rlp(parse_block(block))


def test_nodes_that_no_hash_refers_to_are_left_out_and_none_stands_twice() -> None:
    big = "0x" + "11" * 40
    answer: Json = {
        "accountProof": [big],
        "storageProof": [{"proof": ["0x80"]}, {"proof": [big, "0xc22080"]}],
    }
    assert state_proof(b"header", answer).nodes == (bytes.fromhex("11" * 40),)


json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("0x00"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["accountProof", "storageProof", "proof"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_for_a_proof_is_read_or_malformed(answer: Json) -> None:
    try:
        proof = state_proof(b"header", answer)
    except MalformedInput:
        return
    assert proof.header == b"header"


@given(st.dictionaries(st.sampled_from(NAMES), json_values | st.text(max_size=70)))
def test_any_json_for_a_block_is_rebuilt_or_malformed(changes: dict[str, Json]) -> None:
    try:
        block = parse_block(told(21) | changes)
        raw = header_rlp(block)
    except MalformedInput:
        return
    assert keccak256(raw) == block.hash
