from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.evidence.header import decode_header
from guest.evidence.state_proof import EMPTY_CODE_HASH, ProvenAccount, prove_account
from guest.protocol import rlp
from guest.protocol.errors import Reason, Refused
from guest.protocol.link import StateProof
from guest.protocol.primitives import keccak256
from tests.fakes.fake_chain import CODE, CONTRACT, Block, FakeChain, header_bytes
from tests.fakes.trie_builder import EMPTY_ROOT, Trie

SLOTS = tuple(i.to_bytes(32, "big") for i in range(12))


def chain_with(values: dict[bytes, int]) -> FakeChain:
    chain = FakeChain()
    chain.mine(values)
    return chain


def prove(block: Block, slots: Sequence[bytes], proof: StateProof | None = None) -> ProvenAccount:
    proof = proof or block.prove(CONTRACT, slots)
    return prove_account(decode_header(block.header), proof.nodes, CONTRACT, slots)


@given(st.dictionaries(st.sampled_from(SLOTS), st.integers(1, 2**256 - 1)))
def test_slots_prove_their_values_and_unset_ones_prove_zero(values: dict[bytes, int]) -> None:
    account = prove(chain_with(values).head, SLOTS)
    assert account.slots == {slot: values.get(slot, 0) for slot in SLOTS}
    assert account.code_hash == keccak256(CODE)
    assert account.has_code


def test_a_slot_set_back_to_zero_proves_zero() -> None:
    chain = chain_with({SLOTS[1]: 7, SLOTS[2]: 8})
    chain.mine({SLOTS[1]: 0})
    assert prove(chain.head, SLOTS[:3]).slots == {SLOTS[0]: 0, SLOTS[1]: 0, SLOTS[2]: 8}


def test_an_absent_account_has_no_code_and_only_zeros() -> None:
    chain = FakeChain(deployed=False)
    account = prove(chain.mine(), SLOTS[:2])
    assert account.code_hash == EMPTY_CODE_HASH
    assert not account.has_code
    assert account.slots == {SLOTS[0]: 0, SLOTS[1]: 0}


def test_a_proof_for_fewer_slots_does_not_prove_the_others() -> None:
    chain = chain_with(dict.fromkeys(SLOTS, 5))
    with pytest.raises(Refused) as caught:
        prove(chain.head, SLOTS, chain.head.prove(CONTRACT, SLOTS[:1]))
    assert caught.value.reason is Reason.PROOF_INVALID


def test_nodes_for_slots_that_nobody_asked_for_are_refused() -> None:
    chain = chain_with(dict.fromkeys(SLOTS, 5))
    with pytest.raises(Refused):
        prove(chain.head, SLOTS[:1], chain.head.prove(CONTRACT, SLOTS))


def test_the_state_of_another_block_is_refused() -> None:
    chain = chain_with({SLOTS[0]: 5})
    old = chain.head.prove(CONTRACT, SLOTS)
    chain.mine({SLOTS[0]: 6})
    with pytest.raises(Refused):
        prove(chain.head, SLOTS, old)


def test_the_account_of_another_contract_is_refused() -> None:
    chain = FakeChain(contract=b"\x11" * 20)
    proof = chain.head.prove(b"\x11" * 20, ())
    with pytest.raises(Refused):
        prove_account(decode_header(chain.head.header), proof.nodes, CONTRACT, ())


@given(st.data())
def test_a_mutated_proof_is_refused(data: st.DataObject) -> None:
    chain = chain_with({slot: 5 + i for i, slot in enumerate(SLOTS)})
    proof = chain.head.prove(CONTRACT, SLOTS)
    which = data.draw(st.integers(0, len(proof.nodes) - 1))
    node = bytearray(proof.nodes[which])
    node[data.draw(st.integers(0, len(node) - 1))] ^= data.draw(st.integers(1, 255))
    nodes = (*proof.nodes[:which], bytes(node), *proof.nodes[which + 1 :])
    with pytest.raises(Refused):
        prove(chain.head, SLOTS, replace(proof, nodes=nodes))


def forged(leaf: bytes) -> Block:
    """A block whose state holds `leaf` in the place of the contract's account."""
    accounts = Trie().set(keccak256(CONTRACT), leaf)
    raw = header_bytes(number=1, parent=bytes(32), state_root=accounts.root, timestamp=1)
    return Block(1, keccak256(raw), 1, raw, {}, Trie(), accounts)


ROOT, HASH = EMPTY_ROOT, bytes(32)


@pytest.mark.parametrize(
    "account",
    [
        [b"", b"", ROOT],
        [b"", b"", ROOT, HASH, b""],
        [b"\0", b"", ROOT, HASH],
        [b"", b"\0\x01", ROOT, HASH],
        [b"\x01" * 9, b"", ROOT, HASH],
        [b"", b"\x01" * 33, ROOT, HASH],
        [b"", b"", ROOT[:31], HASH],
        [b"", b"", ROOT, HASH[:31]],
        [b"", b"", [], HASH],
        [[], b"", ROOT, HASH],
        b"not a list",
    ],
)
def test_a_leaf_that_is_no_account_is_refused(account: rlp.Item) -> None:
    with pytest.raises(Refused) as caught:
        prove(forged(rlp.encode(account)), ())
    assert caught.value.reason is Reason.PROOF_INVALID


@pytest.mark.parametrize("leaf", [b"\xc0", b"\x00", b"\x82\x00\x01", b"\x81\x05", b"\x05\x05",
                                  b"\xa1" + b"\x01" * 33])  # fmt: skip
def test_a_leaf_that_is_no_canonical_storage_value_is_refused(leaf: bytes) -> None:
    storage = Trie().set(keccak256(SLOTS[0]), leaf)
    block = replace(
        forged(rlp.encode([b"", b"", storage.root, HASH])), slots={SLOTS[0]: 1}, storage=storage
    )
    with pytest.raises(Refused) as caught:
        prove(block, SLOTS[:1])
    assert caught.value.reason is Reason.PROOF_INVALID


def test_a_zero_that_a_node_kept_in_the_trie_proves_zero() -> None:
    # anvil 1.7.1 does; Ethereum deletes what is zero.
    storage = Trie().set(keccak256(SLOTS[0]), b"\x80").set(keccak256(SLOTS[1]), b"\x07")
    block = replace(
        forged(rlp.encode([b"", b"", storage.root, HASH])), slots={SLOTS[0]: 0}, storage=storage
    )
    assert prove(block, SLOTS[:2]).slots == {SLOTS[0]: 0, SLOTS[1]: 7}
