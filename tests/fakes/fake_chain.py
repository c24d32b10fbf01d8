"""A chain in memory: real headers, real state proofs of one contract, and a witness's signatures.

No EVM: whoever drives it says which storage slots a block changes. Time is its own and moves only when
told. Block 0 has the trap of local chains: a state root that is not its state's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from guest.protocol import rlp
from guest.protocol.digests import witness_digest
from guest.protocol.link import NeedView, StateProof, UnverifiedView, WitnessStatement
from guest.protocol.messages import Witness
from guest.protocol.network import Kind, Network, TcbPolicy, Trust
from guest.protocol.primitives import keccak256, secp256k1_address, sign_digest
from guest.protocol.secret import Secret
from guest.protocol.sizes import ZERO_ADDRESS
from tests.fakes.trie_builder import EMPTY_ROOT, Trie

CONTRACT = bytes.fromhex("c0ffee" * 6 + "c0ff")
CODE = b"\x60\x80 the contract's runtime code"
START = 1_800_000_000
_OTHERS = tuple(keccak256(b"neighbour %d" % i) for i in range(12))

_key = lru_cache(maxsize=65536)(keccak256)


def minimal(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def header_bytes(
    *, number: int, parent: bytes, state_root: bytes, timestamp: int, salt: bytes = bytes(32)
) -> bytes:
    """A header of the Prague shape (21 fields); `salt` tells forks apart."""
    empty = EMPTY_ROOT
    return rlp.encode(
        [
            parent,
            keccak256(b"\xc0"),
            bytes(20),
            state_root,
            empty,
            empty,
            bytes(256),
            b"",
            minimal(number),
            minimal(30_000_000),
            b"",
            minimal(timestamp),
            b"",
            salt,
            bytes(8),
            b"\x07",
            empty,
            b"",
            b"",
            bytes(32),
            bytes(32),
        ]
    )


@dataclass(frozen=True, slots=True)
class Block:
    """One block and the state after it."""

    number: int
    hash: bytes
    timestamp: int
    header: bytes
    slots: Mapping[bytes, int] = field(repr=False)
    storage: Trie = field(repr=False)
    accounts: Trie = field(repr=False)

    def prove(self, contract: bytes, slots: Sequence[bytes]) -> StateProof:
        """What `eth_getProof` would give, as the link carries it."""
        nodes = dict.fromkeys(self.accounts.prove(_key(contract)))
        if self.slots:
            for slot in slots:
                nodes.update(dict.fromkeys(self.storage.prove(_key(slot))))
        return StateProof(self.header, tuple(nodes))


class FakeChain:
    """See the module. `finality` is how many blocks the finalised one is behind the newest."""

    def __init__(
        self,
        *,
        contract: bytes = CONTRACT,
        code: bytes = CODE,
        chain_id: int = 31337,
        block_time: int = 1,
        finality: int = 2,
        deployed: bool = True,
        witness_key: bytes = b"\x77" * 32,
        salt: bytes = b"",
    ) -> None:
        """Make block 0 and, unless `deployed` is False, block 1 with the contract in it."""
        self.contract = contract
        self.chain_id = chain_id
        self.block_time = block_time
        self.finality = finality
        self.blocks: list[Block] = []
        self._witness_key = Secret(witness_key)
        self._salt = salt
        self._forks = 0
        self._code_hash = keccak256(code)
        self._statement: WitnessStatement | None = None
        accounts = Trie()
        for other in _OTHERS:
            accounts = accounts.set(other, _account(EMPTY_ROOT, keccak256(b"")))
        self._append(START, {}, Trie(), accounts)
        if deployed:
            self.deploy()

    # --- making blocks --------------------------------------------------------------------------

    def deploy(self) -> Block:
        """Mine the block that creates the contract, with empty storage."""
        head = self.head
        accounts = head.accounts.set(_key(self.contract), _account(EMPTY_ROOT, self._code_hash))
        return self._append(head.timestamp + self.block_time, {}, Trie(), accounts)

    def set_code(self, code: bytes) -> Block:
        """Mine a block in which the contract's code is another (a lie that no chain tells)."""
        self._code_hash = keccak256(code)
        return self.mine()

    def mine(
        self, writes: Mapping[bytes, int] | None = None, *, seconds: int | None = None
    ) -> Block:
        """Mine one block `seconds` later (default: the block time) that makes `writes`."""
        head = self.head
        timestamp = head.timestamp + (self.block_time if seconds is None else seconds)
        slots, storage, accounts = head.slots, head.storage, head.accounts
        if writes:
            slots = {**slots, **writes}
            for slot, value in writes.items():
                storage = storage.set(_key(slot), rlp.encode(minimal(value)) if value else b"")
        if accounts is not self.blocks[0].accounts:  # deployed
            account = _account(storage.root, self._code_hash)
            accounts = accounts.set(_key(self.contract), account)
        return self._append(timestamp, slots, storage, accounts)

    def advance(self, seconds: int) -> Block:
        """Let time pass; the last blocks come at the block time, so that finality keeps up."""
        regular = min(self.finality + 1, max(seconds // max(self.block_time, 1), 1))
        self.mine(seconds=seconds - (regular - 1) * self.block_time)
        for _ in range(regular - 1):
            self.mine()
        return self.head

    def reorg(self, depth: int) -> tuple[Block, ...]:
        """Replace the last `depth` blocks by as many empty others; return those that are gone."""
        if not 0 < depth < len(self.blocks):
            raise ValueError("a reorg takes at least one block and leaves block 0")
        gone = tuple(self.blocks[-depth:])
        del self.blocks[-depth:]
        self._forks += 1
        for block in gone:
            self.mine(seconds=block.timestamp - self.head.timestamp)
        return gone

    # --- what a host would show -----------------------------------------------------------------

    @property
    def head(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    @property
    def finalised(self) -> Block:
        """The finalised block; block 0 while the chain is short."""
        return self.blocks[max(0, len(self.blocks) - 1 - self.finality)]

    def view(
        self,
        newest_slots: Sequence[bytes],
        finalised_slots: Sequence[bytes] = (),
        ancestors: int = 0,
        *,
        newest: Block | None = None,
        finalised: Block | None = None,
        witnessed: bool = False,
    ) -> UnverifiedView:
        """Return what an honest host shows, or, with other blocks named, a lying one."""
        newest = newest or self.head
        finalised = finalised or self.finalised
        count = min(ancestors, newest.number)
        below = self.blocks[newest.number - count : newest.number]
        final = finalised.prove(self.contract, finalised_slots) if finalised_slots else None
        if final is not None and finalised.number == 0:
            final = StateProof(finalised.header, ())
        return UnverifiedView(
            newest=newest.prove(self.contract, newest_slots),
            ancestors=tuple(block.header for block in reversed(below)),
            finalised=final,
            witness=self.statement(newest, finalised) if witnessed else None,
        )

    def answer(self, need: NeedView, *, witnessed: bool = False) -> UnverifiedView:
        """Answer a guest's request as an honest host does."""
        return self.view(
            need.newest_slots, need.finalised_slots, need.ancestors, witnessed=witnessed
        )

    @property
    def witness(self) -> bytes:
        """The address of the witness's key."""
        return secp256k1_address(self._witness_key)

    def statement(
        self, newest: Block | None = None, finalised: Block | None = None
    ) -> WitnessStatement:
        """Return the witness's signature over these blocks (default: the true ones)."""
        newest, finalised = newest or self.head, finalised or self.finalised
        said = Witness(newest.number, newest.hash, finalised.number, finalised.hash)
        if self._statement is None or self._statement.statement != said:
            signature = sign_digest(self._witness_key, witness_digest(self.chain_id, said))
            self._statement = WitnessStatement(said, signature)
        return self._statement

    def network(self, trust: Trust = Trust.UNVERIFIED, *, max_view_age: int = 60) -> Network:
        """A test network file for this chain; replace what a test needs otherwise."""
        return Network(
            network_id=keccak256(b"a network of tests"),
            kind=Kind.TEST,
            chain_id=self.chain_id,
            contract=self.contract,
            code_hash=keccak256(CODE),
            attestation_root=b"\x30\x00",
            trust=trust,
            witness=self.witness if trust is Trust.WITNESSED else ZERO_ADDRESS,
            notice_floor=0,
            notice=0,
            max_view_age=max_view_age,
            tcb=TcbPolicy(("UpToDate",), (), 0),
        )

    # --- inside ---------------------------------------------------------------------------------

    def _append(
        self, timestamp: int, slots: Mapping[bytes, int], storage: Trie, accounts: Trie
    ) -> Block:
        number = len(self.blocks)
        raw = header_bytes(
            number=number,
            parent=self.blocks[-1].hash if self.blocks else bytes(32),
            state_root=accounts.root if number else EMPTY_ROOT,
            timestamp=timestamp,
            salt=keccak256(self._salt + self._forks.to_bytes(4, "big")),
        )
        block = Block(number, keccak256(raw), timestamp, raw, slots, storage, accounts)
        self.blocks.append(block)
        return block


def _account(storage_root: bytes, code_hash: bytes) -> bytes:
    return rlp.encode([b"\x01", b"", storage_root, code_hash])
