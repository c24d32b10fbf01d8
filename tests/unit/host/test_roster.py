"""Turns: every member agrees on the order, one member a slot, whoever is gone costs one slot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.chain.blocks import BlockRef
from host.chain.events import (
    Bootstrapped,
    Confirmed,
    ContractEvent,
    Onboarded,
    Registered,
    Rejected,
    Revoked,
    SeenEvent,
    Status,
)
from host.roster import KEPT, MAX_PENDING, SLOT, Roster

LEASE = 10_000
NEWCOMER = b"\xaa" * 20


def seen(event: ContractEvent, number: int = 5) -> SeenEvent:
    return SeenEvent(event, BlockRef(number, b"\x01" * 32), b"\x02" * 32, 0)


def registered(node: bytes = NEWCOMER, seed: int = 7, expires: int = 3600) -> Registered:
    return Registered(node, b"e" * 32, b"m" * 32, 1, b"a" * 32, b"d" * 32, seed, expires, b"s" * 65)


def roster_of(members: list[bytes], seed: int = 7) -> Roster:
    roster = Roster()
    for member in members:
        roster.apply(seen(Confirmed(member, b"h" * 32, LEASE)))
    roster.apply(seen(registered(seed=seed)))
    return roster


MEMBERS = st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=8, unique=True)


@given(MEMBERS, st.integers(0, 2**16 - 1))
def test_in_each_slot_exactly_one_more_member_may_answer(members: list[bytes], seed: int) -> None:
    roster = roster_of(members, seed)
    waiting = roster.pending[NEWCOMER]
    for rank in range(len(members)):
        head = waiting.block + rank * SLOT
        ready = [m for m in members if roster.my_turn(waiting, m, head, now=100)]
        assert len(ready) == rank + 1


@given(MEMBERS, st.integers(0, 2**16 - 1))
def test_a_member_whose_lease_is_over_holds_nobody_up(members: list[bytes], seed: int) -> None:
    roster = roster_of(members, seed)
    waiting = roster.pending[NEWCOMER]
    alive = members[0]
    for member in members[1:]:
        roster.members[member] = 50
    assert roster.my_turn(waiting, alive, waiting.block, now=100)


def test_a_rejected_answer_starts_the_turns_anew_with_another_order() -> None:
    roster = roster_of([b"\x01" * 20, b"\x02" * 20])
    roster.apply(seen(Onboarded(NEWCOMER, b"\x01" * 20, 1, 0, b"h" * 32, b"c")))
    assert roster.pending[NEWCOMER].answered
    roster.apply(seen(Rejected(NEWCOMER, b"\x01" * 20, 0, 1), number=9))
    waiting = roster.pending[NEWCOMER]
    assert (waiting.attempt, waiting.answered, waiting.block) == (1, False, 9)


def test_confirmed_and_revoked_nodes_wait_no_more() -> None:
    roster = roster_of([b"\x01" * 20])
    roster.apply(seen(Confirmed(NEWCOMER, b"h" * 32, LEASE)))
    assert NEWCOMER in roster.members
    assert roster.pending[NEWCOMER].answered
    roster.forget(head=5 + KEPT + 1)
    assert NEWCOMER not in roster.pending
    roster.apply(seen(Revoked(NEWCOMER, Status.ACTIVE, False)))
    assert NEWCOMER not in roster.members


@pytest.mark.parametrize("depth", range(1, 9))
def test_a_reorg_that_drops_the_answer_lets_members_answer_again(depth: int) -> None:
    roster = roster_of([b"\x01" * 20])
    answer = Onboarded(NEWCOMER, b"\x01" * 20, 1, 0, b"h" * 32, b"c")
    roster.apply(seen(answer, number=20))
    roster.apply(seen(Confirmed(NEWCOMER, b"h" * 32, LEASE), number=21))
    roster.rewind(21)
    assert roster.pending[NEWCOMER].answered
    roster.rewind(20 - depth)
    assert not roster.pending[NEWCOMER].answered
    roster.apply(seen(answer, number=21))
    assert roster.pending[NEWCOMER].answered


def test_a_flood_of_registrations_keeps_memory_bounded() -> None:
    roster = Roster()
    for i in range(MAX_PENDING + 10):
        roster.apply(seen(registered(i.to_bytes(20, "big"), expires=i)))
    assert len(roster.pending) == MAX_PENDING
    assert (MAX_PENDING + 9).to_bytes(20, "big") in roster.pending


def test_the_genesis_transaction_is_remembered_for_its_document() -> None:
    roster = Roster()
    genesis = Bootstrapped(
        b"\x01" * 20, b"e" * 32, b"m" * 32, 1, b"a" * 32, b"x" * 20, b"r" * 20, b"d" * 32, LEASE
    )
    roster.apply(seen(genesis, number=3))
    assert (roster.genesis_tx, roster.genesis_block) == (b"\x02" * 32, 3)
