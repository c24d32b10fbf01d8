"""From a header's state root to an account, its code hash and some of its storage.

Owns the two walks (state trie, storage trie) over one pool of nodes and the layout of an account.
What the slots mean is `guest.chain.layout`'s business, and whether the header counts is
`guest.chain.trust`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from guest.evidence.header import Header
from guest.evidence.trie import EMPTY_ROOT, NodePool
from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Reason, Refused
from guest.protocol.primitives import keccak256
from guest.protocol.rlp import Item
from guest.protocol.sizes import Address, Bytes32

EMPTY_CODE_HASH = keccak256(b"")
_MAX_ACCOUNT = 128
_MAX_VALUE = 33


@dataclass(frozen=True, slots=True)
class ProvenAccount:
    """An account under `header`; `slots` holds exactly those that were asked for (0: never set)."""

    header: Header
    code_hash: Bytes32
    slots: Mapping[bytes, int]

    @property
    def has_code(self) -> bool:
        """Whether a contract exists here. An absent account has the empty code hash."""
        return self.code_hash != EMPTY_CODE_HASH


def prove_account(
    header: Header, nodes: Iterable[bytes], account: Address, slots: Sequence[Bytes32]
) -> ProvenAccount:
    """Prove `account` and its `slots` under `header`; raises `Refused(PROOF_INVALID)`.

    An account that is proven absent has no code and only zeros. Every node must be needed.
    """
    pool = NodePool(nodes)
    leaf = pool.prove(header.state_root, keccak256(account))
    storage_root, code_hash = (EMPTY_ROOT, EMPTY_CODE_HASH) if leaf is None else _account(leaf)
    values: dict[bytes, int] = {}
    for slot in slots:
        value = pool.prove(storage_root, keccak256(slot))
        values[slot] = 0 if value is None else _value(value)
    pool.require_all_used()
    return ProvenAccount(header, code_hash, MappingProxyType(values))


def _account(leaf: bytes) -> tuple[bytes, bytes]:
    """Return storage root and code hash of [nonce, balance, storageRoot, codeHash]."""
    match _decode(leaf, _MAX_ACCOUNT):
        case [bytes(nonce), bytes(balance), bytes(storage_root), bytes(code_hash)] if (
            _is_integer(nonce, 8)
            and _is_integer(balance, 32)
            and len(storage_root) == len(code_hash) == 32
        ):
            return storage_root, code_hash
        case _:
            raise Refused(Reason.PROOF_INVALID, "the leaf is no account", got=leaf)


def _value(leaf: bytes) -> int:
    value = _decode(leaf, _MAX_VALUE)
    # Ethereum deletes zeros from the trie; anvil 1.7.1 keeps a leaf for a slot that was only read. Under
    # the same root a zero leaf and an absent one say the same, so it is borne.
    if not isinstance(value, bytes) or not _is_integer(value, 32):
        raise Refused(Reason.PROOF_INVALID, "the leaf is no storage value", got=leaf)
    return int.from_bytes(value, "big")


def _is_integer(field: bytes, size: int) -> bool:
    return len(field) <= size and field[:1] != b"\0"


def _decode(leaf: bytes, max_size: int) -> Item:
    try:
        return rlp.decode(leaf, max_size=max_size, max_items=8)
    except MalformedInput as e:
        raise Refused(Reason.PROOF_INVALID, f"a leaf does not parse: {e}") from None
