"""Builds secure Merkle-Patricia tries and their proofs, for fakes and for attacks on the verifier.

Written from the Yellow Paper (appendix D) and tied to published roots and to a real node's answers by
tests; it shares no walk with `guest.evidence.trie`. Tries are immutable: `set` returns a new one that
shares what did not change, so a chain keeps every block's state for free.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from guest.protocol import rlp
from guest.protocol.primitives import keccak256
from guest.protocol.rlp import Item

EMPTY_ROOT = keccak256(b"\x80")


def hex_prefix(nibbles: str, *, leaf: bool) -> bytes:
    flags = (2 if leaf else 0) + len(nibbles) % 2
    return bytes.fromhex(f"{flags:x}{'' if len(nibbles) % 2 else '0'}{nibbles}")


class _Encoded:
    """What every node has: its item, bytes and link, made once."""

    __slots__ = ("_link", "_raw")

    def item(self) -> Item:
        raise NotImplementedError

    @property
    def raw(self) -> bytes:
        if not hasattr(self, "_raw"):
            self._raw = rlp.encode(self.item())
        return self._raw

    @property
    def link(self) -> Item:
        """The node itself where it is small, its hash where it is not."""
        if not hasattr(self, "_link"):
            self._link = keccak256(self.raw) if len(self.raw) >= 32 else self.item()
        return self._link


class Leaf(_Encoded):
    __slots__ = ("path", "value")

    def __init__(self, path: str, value: bytes) -> None:
        self.path, self.value = path, value

    def item(self) -> Item:
        return [hex_prefix(self.path, leaf=True), self.value]


class Extension(_Encoded):
    __slots__ = ("child", "path")

    def __init__(self, path: str, child: "Node") -> None:
        self.path, self.child = path, child

    def item(self) -> Item:
        return [hex_prefix(self.path, leaf=False), self.child.link]


class Branch(_Encoded):
    __slots__ = ("children",)

    def __init__(self, children: "tuple[Node | None, ...]") -> None:
        self.children = children

    def item(self) -> Item:
        return [*[b"" if child is None else child.link for child in self.children], b""]


Node: TypeAlias = Leaf | Extension | Branch


def _put(node: Node | None, path: str, value: bytes) -> Node:
    if node is None:
        return Leaf(path, value)
    if isinstance(node, Branch):
        at = int(path[0], 16)
        children = list(node.children)
        children[at] = _put(children[at], path[1:], value)
        return Branch(tuple(children))
    shared = _shared(node.path, path)
    if shared == len(node.path):
        if isinstance(node, Leaf):
            return Leaf(path, value)
        return Extension(node.path, _put(node.child, path[shared:], value))
    children = [None] * 16
    here, there = int(node.path[shared], 16), int(path[shared], 16)
    children[here] = _shortened(node, shared + 1)
    children[there] = Leaf(path[shared + 1 :], value)
    branch = Branch(tuple(children))
    return Extension(path[:shared], branch) if shared else branch


def _shortened(node: Leaf | Extension, cut: int) -> Node:
    if isinstance(node, Leaf):
        return Leaf(node.path[cut:], node.value)
    return Extension(node.path[cut:], node.child) if len(node.path) > cut else node.child


def _drop(node: Node | None, path: str) -> Node | None:
    if isinstance(node, Branch):
        at = int(path[0], 16)
        children = list(node.children)
        children[at] = _drop(children[at], path[1:])
        return _collapsed(children)
    if node is None or not path.startswith(node.path):
        return node
    if isinstance(node, Leaf):
        return None
    child = _drop(node.child, path[len(node.path) :])
    return None if child is None else _joined(node.path, child)


def _collapsed(children: list[Node | None]) -> Node | None:
    left = [(at, child) for at, child in enumerate(children) if child is not None]
    if len(left) > 1:
        return Branch(tuple(children))
    return _joined(f"{left[0][0]:x}", left[0][1]) if left else None


def _joined(path: str, child: Node) -> Node:
    if isinstance(child, Leaf):
        return Leaf(path + child.path, child.value)
    if isinstance(child, Extension):
        return Extension(path + child.path, child.child)
    return Extension(path, child)


def _shared(left: str, right: str) -> int:
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Trie:
    """A trie of 32-byte keys (already hashed) and non-empty values."""

    top: Node | None = field(default=None)

    @property
    def root(self) -> bytes:
        return EMPTY_ROOT if self.top is None else keccak256(self.top.raw)

    def set(self, key: bytes, value: bytes) -> "Trie":
        """Put a value; an empty one takes the key away."""
        return Trie(_put(self.top, key.hex(), value) if value else _drop(self.top, key.hex()))

    def prove(self, key: bytes) -> list[bytes]:
        """Return the nodes from the root down to `key` or to where it would be, without embedded ones."""
        nodes: list[bytes] = []
        node, path, is_root = self.top, key.hex(), True
        while node is not None:
            if is_root or len(node.raw) >= 32:
                nodes.append(node.raw)
            is_root = False
            if isinstance(node, Leaf):
                break
            if isinstance(node, Branch):
                node, path = node.children[int(path[0], 16)], path[1:]
            elif path.startswith(node.path):
                node, path = node.child, path[len(node.path) :]
            else:
                break
        return nodes
