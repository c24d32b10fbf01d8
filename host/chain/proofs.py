"""From a node's answers to what the link carries: headers as RLP, trie nodes as one pool.

Owns the rebuilding of headers and the fetching of a guest's views: two requests a view, fewer blocks
where the scanner knows them. It judges nothing for the guest; what it checks (hashes that must fit)
only tells a reorg or a broken node from a view that is worth sending.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Unavailable
from guest.protocol.link import NeedView, StateProof, UnverifiedView, WitnessStatement
from guest.protocol.primitives import keccak256
from guest.protocol.rlp import Item
from host.chain.blocks import BlockFields, parse_block
from host.chain.hexdata import Json, data, items, members, quantity, to_data, to_quantity
from host.chain.rpc import Call, Node, RpcError

RecentHeader = Callable[[int], BlockFields | None]
"""What the scanner knows of a block number without asking."""
Witness = Callable[[], Awaitable[WitnessStatement]]
"""Fetches a witness's latest statement; raises `Unavailable`."""

MAX_ANCESTORS = 16
"""As many headers as a view on the link may carry."""

_TRIES = 4
_PAUSE = 0.25
_MAX_DEPTH = 64
_MAX_NODE = 1024
_MAX_SLOTS = 512
_SMALLEST_LINKED = 32

_REQUIRED = (
    ("parentHash", False),
    ("sha3Uncles", False),
    ("miner", False),
    ("stateRoot", False),
    ("transactionsRoot", False),
    ("receiptsRoot", False),
    ("logsBloom", False),
    ("difficulty", True),
    ("number", True),
    ("gasLimit", True),
    ("gasUsed", True),
    ("timestamp", True),
    ("extraData", False),
    ("mixHash", False),
    ("nonce", False),
)
"""JSON-RPC name of each header field, and whether it is an integer."""
_BY_FORK = (
    ("baseFeePerGas", True),  # London
    ("withdrawalsRoot", False),  # Shanghai
    ("blobGasUsed", True),  # Cancun
    ("excessBlobGas", True),
    ("parentBeaconBlockRoot", False),
    ("requestsHash", False),  # Prague
    ("blockAccessListHash", False),  # Amsterdam
    ("slotNumber", True),
)


def header_rlp(block: BlockFields) -> bytes:
    """Return the RLP of a block's header; raises `MalformedInput` unless it has the block's hash.

    Fields that forks appended are taken up to the first that the node does not show.
    """
    fields: list[Item] = [_field(block, name, is_int) for name, is_int in _REQUIRED]
    for name, is_int in _BY_FORK:
        if name not in block.fields:
            break
        fields.append(_field(block, name, is_int))
    raw = rlp.encode(fields)
    if keccak256(raw) != block.hash:
        raise MalformedInput(
            f"the header of block {block.number} does not hash to the block's hash",
            got=f"{len(fields)} fields, {to_data(keccak256(raw))}",
            expected=to_data(block.hash),
            mend="The node hides header fields or speaks of a fork that this release does not know",
        )
    return raw


def state_proof(header: bytes, answer: Json) -> StateProof:
    """Return an `eth_getProof` answer as the link carries it: each needed node once.

    Nodes that some clients list beside their parents (embedded ones, the empty trie) are left out: no
    hash refers to them. Raises `MalformedInput`.
    """
    proof = members(answer, "a proof")
    slots = items(proof.get("storageProof"), "the storage proofs", max_items=_MAX_SLOTS)
    paths = [proof.get("accountProof")]
    paths += [members(slot, "a storage proof").get("proof") for slot in slots]
    nodes = dict.fromkeys(node for path in paths for node in _nodes(path))
    return StateProof(header, tuple(nodes))


@dataclass(frozen=True, slots=True)
class _Targets:
    """The blocks of one view, and who vouches for them."""

    newest: BlockFields
    finalised: BlockFields | None
    witness: WitnessStatement | None


class _Moved(Exception):
    """The chain changed between two answers; ask again."""


class ViewFetcher:
    """Answers `NeedView` through one node.

    `trouble` says why the last view had no finalised state although one was asked for.
    """

    def __init__(
        self,
        node: Node,
        contract: bytes,
        *,
        recent_header: RecentHeader | None = None,
        witness: Witness | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prove slots of `contract` (20 bytes); with a `witness`, under the headers that it names."""
        self._node = node
        self._contract = to_data(contract)
        self._recent_header = recent_header or _nothing
        self._witness = witness
        self._sleep = sleep
        self._jitter = jitter
        self.trouble = ""

    async def fetch(self, need: NeedView) -> UnverifiedView:
        """Return the view that a guest asked for; raises `Unavailable` or `MalformedInput`."""
        if need.ancestors > MAX_ANCESTORS:
            raise MalformedInput(
                "too many ancestors", got=need.ancestors, expected=f"<= {MAX_ANCESTORS}"
            )
        moved = ""
        for attempt in range(_TRIES):
            if attempt:
                pause = _PAUSE * (1 + self._jitter()) * attempt
                await self._sleep(pause)  # waits: 1.5 s at most
            try:
                return await self._fetch(need, self._recent_header if attempt == 0 else _nothing)
            except _Moved as e:
                moved = str(e)
        raise Unavailable(f"{self._node.origin} cannot show one state of the chain", got=moved)

    async def _fetch(self, need: NeedView, recent_header: RecentHeader) -> UnverifiedView:
        targets = await self._targets(bool(need.finalised_slots))
        newest, final = targets.newest, targets.finalised
        below = range(newest.number - 1, newest.number - 1 - need.ancestors, -1)
        numbers = [number for number in below if number >= 0]
        known = {number: recent_header(number) for number in numbers}
        missing = [number for number in numbers if known[number] is None]
        # Local chains give their genesis a state root that is not its state's: no proof fits there.
        prove_final = final is not None and final.number > 0
        calls = [self._proof_call(newest, need.newest_slots)]
        if final is not None and prove_final:
            calls.append(self._proof_call(final, need.finalised_slots))
        calls += [_block_call(to_quantity(number)) for number in missing]
        answers = await self._node.batch(calls)
        finalised = None
        if final is not None:
            finalised = self._finalised(final, answers[1] if prove_final else None)
        found = zip(missing, answers[1 + prove_final :], strict=True)
        blocks = known | {number: self._block(answer) for number, answer in found}
        return UnverifiedView(
            newest=self._proven(newest, answers[0]),
            ancestors=_linked(newest, [blocks[number] for number in numbers]),
            finalised=finalised,
            witness=targets.witness,
        )

    async def _targets(self, with_final: bool) -> _Targets:
        """Ask which blocks are newest and final, or the witness and then the node for its blocks."""
        tags, said = ["latest", "finalized"], None
        if self._witness is not None:
            said = await self._witness()  # waits: the witness's client has a limit
            word = said.statement
            tags = [to_quantity(word.number), to_quantity(word.finalized_number)]
        answers = await self._node.batch([_block_call(tag) for tag in tags[: 1 + with_final]])
        newest, final = self._block(answers[0]), None
        if with_final and answers[1] is not None and not isinstance(answers[1], RpcError):
            final = parse_block(answers[1])
        self.trouble = "" if final or not with_final else "the node knows no finalised block"
        if said is not None:
            _require_same(newest, said.statement.hash)
            if final is not None:
                _require_same(final, said.statement.finalized_hash)
        return _Targets(newest, final, said)

    def _proof_call(self, block: BlockFields, slots: Sequence[bytes]) -> Call:
        keys: list[Json] = [to_data(slot) for slot in slots]
        return Call("eth_getProof", (self._contract, keys, to_quantity(block.number)))

    def _block(self, answer: Json | RpcError) -> BlockFields:
        if isinstance(answer, RpcError):
            raise Unavailable(f"{self._node.origin} gives no block", got=answer.message)
        if answer is None:
            raise _Moved("a block that was there is not there")
        return parse_block(answer)

    def _finalised(self, block: BlockFields, answer: Json | RpcError) -> StateProof | None:
        if answer is None:
            return StateProof(header_rlp(block), ())
        if isinstance(answer, RpcError):
            # The newest state still serves apps and leases, so a node that prunes early costs only
            # what needs finality.
            self.trouble = (
                f"{self._node.origin} gives no proof at its finalised block {block.number}: "
                f"{answer.message}. Use a node that keeps proofs for 128 blocks"
            )
            return None
        return self._proven(block, answer)

    def _proven(self, block: BlockFields, answer: Json | RpcError) -> StateProof:
        if isinstance(answer, RpcError):
            raise Unavailable(
                f"{self._node.origin} gives no proof at block {block.number}",
                got=answer.message,
                mend="Use a node that serves eth_getProof",
            )
        proof = state_proof(header_rlp(block), answer)
        root = data(block.fields.get("stateRoot"), "stateRoot", max_size=32)
        if not proof.nodes or keccak256(proof.nodes[0]) != root:
            raise _Moved(f"the proof at block {block.number} is of another state")
        return proof


def _nothing(_: int) -> None:
    """Know no header; after a miss, what the scanner knows may be what a reorg has undone."""


def _linked(newest: BlockFields, below: Sequence[BlockFields | None]) -> tuple[bytes, ...]:
    """Return the headers below `newest`, each the parent of the one before."""
    headers, child = [], newest
    for block in below:
        if block is None or block.hash != child.parent_hash:
            raise _Moved(f"the parent of block {child.number} is another block")
        headers.append(header_rlp(block))
        child = block
    return tuple(headers)


def _require_same(block: BlockFields, digest: bytes) -> None:
    if block.hash != digest:
        raise _Moved(f"the witness names another block {block.number}")


def _block_call(tag: str) -> Call:
    return Call("eth_getBlockByNumber", (tag, False))


def _field(block: BlockFields, name: str, is_int: bool) -> bytes:
    value = block.fields.get(name)
    if not is_int:
        return data(value, name, max_size=256)
    number = quantity(value, name)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _nodes(path: Json) -> list[bytes]:
    found = items(path, "a proof's nodes", max_items=_MAX_DEPTH + 1)
    nodes = [data(node, "a trie node", max_size=_MAX_NODE) for node in found]
    return [node for node in nodes if len(node) >= _SMALLEST_LINKED]
