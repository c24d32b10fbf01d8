"""The walk against tries built by another hand, against published roots, and against forgers."""

from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guest.evidence.trie import EMPTY_ROOT, MAX_NODE, MAX_NODES, NodePool
from guest.protocol import rlp
from guest.protocol.errors import Reason, Refused
from guest.protocol.primitives import keccak256
from tests.fakes.trie_builder import Trie, hex_prefix

keys = st.binary(min_size=32, max_size=32)
# Keys that share long prefixes force extensions, deep branches and embedded nodes.
crowded = st.builds(
    lambda stem, tail: (stem * 32)[: 32 - len(tail)] + tail,
    st.sampled_from([b"\x00", b"\x01", b"\x10", b"\xff"]),
    st.binary(max_size=3),
)
contents = st.dictionaries(
    st.one_of(keys, crowded), st.binary(min_size=1, max_size=40), max_size=24
)


def build(content: dict[bytes, bytes]) -> Trie:
    trie = Trie()
    for key, value in content.items():
        trie = trie.set(key, value)
    return trie


def proven(root: bytes, key: bytes, nodes: list[bytes]) -> bytes | None:
    pool = NodePool(nodes)
    value = pool.prove(root, key)
    pool.require_all_used()
    return value


def refused(root: bytes, key: bytes, nodes: list[bytes]) -> None:
    with pytest.raises(Refused) as caught:
        proven(root, key, nodes)
    assert caught.value.reason is Reason.PROOF_INVALID


PUBLISHED = {  # the secure-trie vectors of the Ethereum test suite
    "29b235a58c3c25ab83010c327d5932bcf05324b7d6b1185e650798034783ca9d": {
        "do": "verb", "horse": "stallion", "doge": "coin", "dog": "puppy",
    },
    "d4cd937e4a4368d7931a9cf51686b7e10abb3dce38a39000fd7902a092b64585": {
        "doe": "reindeer", "dog": "puppy", "dogglesworth": "cat",
    },
    "e9e2935138352776cad724d31c9fa5266a5c593bb97726dd2a908fe6d53284df": {"A": "a" * 50},
}  # fmt: skip


@pytest.mark.parametrize("root", PUBLISHED)
def test_published_tries_prove_their_content(root: str) -> None:
    content = {keccak256(k.encode()): v.encode() for k, v in PUBLISHED[root].items()}
    trie = build(content)
    assert trie.root.hex() == root
    for key, value in content.items():
        assert proven(trie.root, key, trie.prove(key)) == value
    absent = keccak256(b"not there")
    assert proven(trie.root, absent, trie.prove(absent)) is None


@given(contents, st.one_of(keys, crowded))
def test_every_key_proves_its_value_or_its_absence(
    content: dict[bytes, bytes], other: bytes
) -> None:
    trie = build(content)
    for key in [*content, other]:
        assert proven(trie.root, key, trie.prove(key)) == content.get(key)


@given(contents, st.data())
def test_the_builder_forgets_what_was_taken_away(
    content: dict[bytes, bytes], data: st.DataObject
) -> None:
    trie = build(content)
    gone = set(data.draw(st.lists(st.sampled_from(sorted(content)), max_size=8))) if content else ()
    for key in gone:
        trie = trie.set(key, b"")
    assert trie.root == build({k: v for k, v in content.items() if k not in gone}).root


@given(contents.filter(lambda c: len(c) > 1))
def test_many_keys_share_one_pool(content: dict[bytes, bytes]) -> None:
    trie = build(content)
    pool = NodePool(dict.fromkeys(node for key in content for node in trie.prove(key)))
    assert {key: pool.prove(trie.root, key) for key in content} == content
    pool.require_all_used()


@given(contents.filter(bool), st.data())
def test_a_changed_byte_of_any_node_is_refused(
    content: dict[bytes, bytes], data: st.DataObject
) -> None:
    trie = build(content)
    key = data.draw(st.sampled_from(sorted(content)))
    nodes = trie.prove(key)
    which = data.draw(st.integers(0, len(nodes) - 1))
    at = data.draw(st.integers(0, len(nodes[which]) - 1))
    changed = bytearray(nodes[which])
    changed[at] ^= data.draw(st.integers(1, 255))
    nodes[which] = bytes(changed)
    refused(trie.root, key, nodes)


@given(contents.filter(bool), st.data())
def test_a_missing_node_is_refused(content: dict[bytes, bytes], data: st.DataObject) -> None:
    trie = build(content)
    key = data.draw(st.sampled_from(sorted(content)))
    nodes = trie.prove(key)
    del nodes[data.draw(st.integers(0, len(nodes) - 1))]
    refused(trie.root, key, nodes)


@given(contents.filter(bool), st.binary(min_size=1, max_size=80), st.data())
def test_an_extra_or_repeated_node_is_refused(
    content: dict[bytes, bytes], extra: bytes, data: st.DataObject
) -> None:
    trie = build(content)
    key = data.draw(st.sampled_from(sorted(content)))
    nodes = trie.prove(key)
    assume(extra not in nodes)
    refused(trie.root, key, [*nodes, extra])
    refused(trie.root, key, [*nodes, nodes[0]])


@given(contents, contents, st.one_of(keys, crowded))
def test_the_proof_of_another_trie_is_refused(
    left: dict[bytes, bytes], right: dict[bytes, bytes], key: bytes
) -> None:
    one, other = build(left), build(right)
    assume(one.root != other.root and other.top is not None)
    refused(one.root, key, other.prove(key))


@given(st.lists(st.binary(max_size=200), max_size=6), keys, keys)
def test_noise_is_refused_and_raises_nothing_else(
    nodes: list[bytes], root: bytes, key: bytes
) -> None:
    refused(root, key, nodes)


@given(st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=17)), keys)
def test_any_rlp_as_the_root_node_is_judged_without_surprise(item: rlp.Item, key: bytes) -> None:
    node = rlp.encode(item)
    assume(len(node) <= MAX_NODE)
    with suppress(Refused):  # any other exception fails the test
        proven(keccak256(node), key, [node])


def test_the_empty_trie_proves_absence_without_nodes() -> None:
    assert proven(EMPTY_ROOT, bytes(32), []) is None
    refused(EMPTY_ROOT, bytes(32), [b"\x80"])


KEY = bytes.fromhex("ab" * 32)
NIBBLES = KEY.hex()


def judged(node: rlp.Item) -> bytes | None:
    raw = rlp.encode(node)
    return proven(keccak256(raw), KEY, [raw])


def test_a_leaf_must_end_where_all_keys_end() -> None:
    assert judged([hex_prefix(NIBBLES, leaf=True), b"value"]) == b"value"
    assert judged([hex_prefix("0" + NIBBLES[1:], leaf=True), b"value"]) is None
    for path in (NIBBLES[:63], NIBBLES[:2], "", "0" * 63):
        with pytest.raises(Refused):
            judged([hex_prefix(path, leaf=True), b"value"])


@pytest.mark.parametrize(
    "node",
    [
        [hex_prefix(NIBBLES, leaf=True), b""],
        [hex_prefix(NIBBLES, leaf=True), []],
        [b"\x40" + KEY, b"value"],  # an unknown flag
        [b"\x21" + KEY, b"value"],  # an even path whose padding is not zero
        [b"", b"value"],
        [[], b"value"],
        [b"\x20" + KEY + b"\0", b"value"],
        [hex_prefix("", leaf=False), bytes(32)],
        [hex_prefix(NIBBLES, leaf=False), bytes(32)],
        [hex_prefix("0", leaf=False), b""],
        [hex_prefix("a", leaf=False), b"short"],
        [hex_prefix("a", leaf=False), b"x" * 33],
        [b""] * 16,
        [b""] * 18,
        [b""] * 16 + [b"a value where no key ends"],
        [b""] * 10 + [b"short"] + [b""] * 6,
        [b""] * 10 + [[hex_prefix(NIBBLES[1:], leaf=True), b"v"]] + [b""] * 6,  # should be a hash
        b"",
        b"text",
        [],
    ],
)
def test_a_malformed_node_is_refused(node: rlp.Item) -> None:
    with pytest.raises(Refused):
        judged(node)


def test_an_embedded_node_is_read_in_its_parent() -> None:
    # Two keys that differ in their last nibble: leaves of one nibble are smaller than their hash.
    one, other = bytes(31) + b"\x01", bytes(31) + b"\x02"
    trie = build({one: b"v", other: b"w"})
    assert len(trie.prove(one)) == 1 or all(len(node) >= 32 for node in trie.prove(one))
    assert proven(trie.root, one, trie.prove(one)) == b"v"
    assert proven(trie.root, bytes(32), trie.prove(bytes(32))) is None


def test_an_oversized_node_and_too_many_nodes_are_refused() -> None:
    with pytest.raises(Refused):
        NodePool([bytes(MAX_NODE + 1)])
    with pytest.raises(Refused):
        NodePool(number.to_bytes(4, "big") for number in range(MAX_NODES + 1))
