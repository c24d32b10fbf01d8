"""Merkle-Patricia proofs out of one pool of nodes (Yellow Paper, appendix D).

Owns the walk from a root to a key of exactly 32 bytes, as Ethereum's state and storage tries have
them (each key is a keccak). A proof shows a value or shows that there is none; whatever is neither is
refused (`PROOF_INVALID`). It does not know what the values mean.
"""

from collections.abc import Iterable
from typing import final

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput, Reason, Refused
from guest.protocol.primitives import keccak256
from guest.protocol.rlp import Item

EMPTY_ROOT = keccak256(b"\x80")
"""Root of a trie without keys: the hash of the empty string's RLP."""

MAX_NODES = 4096
MAX_NODE = 1024
"""Bytes. A full branch has 532; a leaf of the state trie about 150."""

_HASH = 32
_NODE_ITEMS = 64
_BRANCH = 17
_KEY_NIBBLES = 2 * _HASH


@final
class NodePool:
    """The nodes that one proof came with, each at most once, each to be used.

    A node counts as used once a walk has gone through it. Nodes that no walk needs are refused at the
    end, so that one proof has one form and a host cannot make us chew on ballast.
    """

    __slots__ = ("_nodes", "_used")

    def __init__(self, nodes: Iterable[bytes]) -> None:
        """Hash each node; refuses too many, too large or repeated ones."""
        self._nodes: dict[bytes, bytes] = {}
        self._used: dict[bytes, list[Item]] = {}
        for node in nodes:
            if len(node) > MAX_NODE:
                raise _refused("a node is too large", len(node), f"<= {MAX_NODE} bytes")
            if len(self._nodes) == MAX_NODES:
                raise _refused("too many nodes", None, f"<= {MAX_NODES}")
            name = keccak256(node)
            if name in self._nodes:
                raise _refused("a node stands twice", name, None)
            self._nodes[name] = node

    def prove(self, root: bytes, key: bytes) -> bytes | None:
        """Return the value at `key` (32 bytes) below `root`; None when it is proven absent."""
        if len(key) != _HASH:
            raise ValueError("a key of a secure trie has 32 bytes")
        if root == EMPTY_ROOT:
            return None
        path, at = key.hex(), 0
        node = self._take(root)
        while True:
            if len(node) == _BRANCH:
                child = _branch_child(node, path, at)
                at += 1
            else:
                is_leaf, part = _path(node[0])
                here = path.startswith(part, at)
                at += len(part)
                if is_leaf:
                    value = _leaf_value(node[1], at)
                    return value if here else None
                child = _extension_child(node[1], part, at)
                if not here:
                    return None
            if child == b"":
                return None
            node = self._follow(child)

    def require_all_used(self) -> None:
        """Refuse when some node was needed by no walk."""
        spare = len(self._nodes) - len(self._used)
        if spare:
            raise _refused("the proof has nodes that prove nothing", spare, 0)

    def _take(self, name: bytes) -> list[Item]:
        """Return the parsed node with this hash, and count it as used."""
        node = self._used.get(name)
        if node is None:
            raw = self._nodes.get(name)
            if raw is None:
                raise _refused("a node is missing", None, name)
            try:
                item = rlp.decode(raw, max_size=MAX_NODE, max_items=_NODE_ITEMS)
            except MalformedInput as e:
                raise _refused(f"a node does not parse: {e}", None, None) from None
            self._used[name] = node = _shape(item)
        return node

    def _follow(self, child: Item) -> list[Item]:
        if isinstance(child, list):
            if len(rlp.encode(child)) >= _HASH:
                raise _refused("an embedded node should be a hash", None, "below 32 bytes")
            return _shape(child)
        if len(child) != _HASH:
            raise _refused("a node's link is no hash", child, "32 bytes")
        return self._take(child)


def _shape(item: Item) -> list[Item]:
    if not isinstance(item, list) or len(item) not in (2, _BRANCH):
        raise _refused("a node has the wrong shape", None, "2 or 17 items")
    return item


def _branch_child(node: list[Item], path: str, at: int) -> Item:
    if node[16] != b"" or at >= _KEY_NIBBLES:
        raise _refused("the trie has keys of several lengths", None, "keys of 32 bytes")
    return node[int(path[at], 16)]


def _path(item: Item) -> tuple[bool, str]:
    """Undo the hex prefix (Yellow Paper, appendix C): whether it is a leaf, and its nibbles."""
    if not isinstance(item, bytes) or not 0 < len(item) <= _HASH + 1:
        raise _refused("a node's path has the wrong size", None, "1 to 33 bytes")
    text = item.hex()
    flags = int(text[0], 16)
    if flags > 3 or (flags % 2 == 0 and text[1] != "0"):
        raise _refused("a node's path has unknown flags", item[:1], None)
    return flags >= 2, text[1:] if flags % 2 else text[2:]


def _leaf_value(value: Item, at: int) -> bytes:
    """Check a leaf. Another key's leaf proves absence, but only if it ends where all keys end."""
    if at != _KEY_NIBBLES or not isinstance(value, bytes) or not value:
        raise _refused("a leaf has no value or the wrong depth", at, _KEY_NIBBLES)
    return value


def _extension_child(child: Item, part: str, at: int) -> Item:
    if not part or at >= _KEY_NIBBLES or child == b"":
        raise _refused("an extension leads nowhere", None, None)
    return child


def _refused(what: str, got: object, expected: object) -> Refused:
    return Refused(Reason.PROOF_INVALID, what, got=got, expected=expected)
