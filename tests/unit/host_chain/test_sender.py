"""What happens to an action: sent once, whatever the chain, the node or the machine does."""

from pathlib import Path

import pytest

from guest.protocol.errors import Misconfigured, ProtocolViolation, Unavailable
from host.chain.actions import State
from host.chain.ledger import Identity, Ledger
from tests.fakes.chain_rpc import CONTRACT, GWEI, CrashPoint, Tx, unavailable
from tests.unit.host_chain.sender_rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "host.db")


def _foreign(rig: Rig, nonce: int, data: bytes = b"") -> Tx:
    tx = Tx(data + b"#" * 32, b"", rig.wallet.address, nonce, GWEI, 90 * GWEI, CONTRACT, data)
    rig.chain.put(tx)
    return tx


def _other_member_does(rig: Rig, name: str) -> None:
    data = f"do:{name}".encode()
    rig.chain.put(
        Tx(data, b"", b"\x99" * 20, rig.chain.count(b"\x99" * 20), GWEI, 90 * GWEI, CONTRACT, data)
    )


def test_an_action_is_sent_mined_and_final_in_this_order(rig: Rig) -> None:
    rig.submit("a")
    seen = []
    for _ in range(14):
        rig.tick()
        rig.chain.mine()
        try:
            while True:
                seen.append(rig.sender.outcomes.take_nowait().state)
        except KeyError:
            pass
    assert seen == [State.SENT, State.MINED, State.FINAL]
    assert rig.chain.sent == [rig.sender.find("a").tx_hash]


def test_an_idle_outbox_asks_the_node_nothing(rig: Rig) -> None:
    rig.submit("a")
    rig.finish()
    rig.chain.calls.clear()
    rig.mine_and_tick(5)
    assert rig.chain.calls == []


def test_the_same_submission_again_is_the_same_action(rig: Rig) -> None:
    assert rig.submit("a") == rig.submit("a")
    rig.finish()
    rig.submit("a")
    rig.mine_and_tick(5)
    rig.assert_nothing_twice()
    with pytest.raises(ProtocolViolation):
        rig.sender.submit("a", "test", CONTRACT, b"do:other")


def test_eight_nonces_are_in_flight_and_the_ninth_waits(rig: Rig) -> None:
    names = [f"n{i}" for i in range(12)]
    for name in names:
        rig.submit(name)
    rig.tick()
    assert len(rig.chain.pool) == 8
    assert [rig.state(n) for n in names[8:]] == [State.INTENDED] * 4
    rig.finish()
    assert all(rig.state(n) is State.FINAL for n in names)
    rig.assert_nothing_twice()
    rig.assert_one_nonce_each()


def test_a_timeout_after_the_node_took_it_sends_the_same_bytes_or_none(rig: Rig) -> None:
    rig.submit("a")

    def fault(point: str) -> None:
        if point == "after eth_sendRawTransaction":
            unavailable(point)

    rig.crash_at(fault)
    with pytest.raises(Unavailable):
        rig.tick()
    rig.crash_at(lambda _: None)
    rig.finish()
    assert len(set(rig.chain.sent)) == 1
    assert rig.state("a") is State.FINAL


def test_a_pool_that_forgets_gets_the_same_bytes_again(rig: Rig) -> None:
    rig.submit("a")
    rig.tick()
    rig.chain.drop_pool()
    rig.chain.mine()
    rig.tick()
    assert len(rig.chain.sent) == 2
    assert len(set(rig.chain.sent)) == 1
    rig.finish()
    assert rig.state("a") is State.FINAL


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("back_to_pool", [True, False])
def test_a_reorg_costs_nothing_but_time(rig: Rig, depth: int, back_to_pool: bool) -> None:
    for name in ("a", "b", "c"):
        rig.submit(name)
    rig.tick()
    rig.mine_and_tick(depth)
    assert rig.state("a") is State.MINED
    rig.chain.reorg(depth, back_to_pool=back_to_pool)
    rig.finish()
    assert [rig.state(n) for n in "abc"] == [State.FINAL] * 3
    assert len(set(rig.chain.sent)) == 3  # the same bytes, however often
    rig.assert_nothing_twice()
    rig.assert_one_nonce_each()


def test_a_reorg_past_finality_is_borne_too(rig: Rig) -> None:
    rig.submit("a")
    rig.finish()
    assert rig.state("a") is State.FINAL
    rig.chain.reorg(len(rig.chain.blocks) - 1)
    rig.submit("b")
    rig.finish()
    assert rig.chain.done() == {b"a", b"b"}
    rig.assert_nothing_twice()
    rig.assert_one_nonce_each()


def test_what_would_revert_is_never_sent(rig: Rig) -> None:
    _other_member_does(rig, "a")
    rig.chain.mine()
    rig.sender.submit("a2", "test", CONTRACT, b"do:a")
    rig.finish()
    # Its result stands on the chain, although by another's hand.
    assert rig.state("a2") is State.SUPERSEDED
    assert rig.chain.sent == []


def test_a_deterministic_revert_fails_with_the_errors_name(rig: Rig) -> None:
    async def never(_: object) -> bool:
        return False

    _other_member_does(rig, "a")
    rig.chain.mine()
    rig.is_done = never  # type: ignore[method-assign, assignment]
    rig.kill()
    rig.start()
    rig.submit("a")
    rig.tick()
    assert rig.state("a") is State.INTENDED  # one node at one block may lag
    rig.mine_and_tick()
    assert rig.state("a") is State.FAILED
    assert rig.sender.find("a").detail == "AlreadyBootstrapped(epoch=1)"
    assert rig.chain.sent == []


def test_a_result_of_another_that_a_reorg_takes_back_can_be_tried_again(rig: Rig) -> None:
    _other_member_does(rig, "a")
    rig.chain.mine()
    rig.submit("a")
    rig.tick()
    assert rig.state("a") is State.SUPERSEDED
    rig.chain.reorg(1)
    rig.sender.replace("a", b"do:a")
    rig.finish()
    assert rig.state("a") is State.FINAL


def test_losing_a_race_in_the_pool_frees_the_nonce(rig: Rig) -> None:
    rig.submit("a")
    rig.submit("b")
    rig.tick()
    rig.chain.drop_pool()
    _other_member_does(rig, "a")
    rig.chain.mine()
    rig.finish()
    assert rig.state("a") is State.SUPERSEDED
    assert rig.state("b") is State.FINAL
    rig.assert_nothing_twice()
    rig.assert_one_nonce_each()


def test_a_stuck_nonce_is_bumped_by_an_eighth_while_later_ones_wait(rig: Rig) -> None:
    rig.submit("a")
    rig.submit("b")
    rig.tick()
    low = dict(rig.chain.pool)
    rig.chain.base_fee = 50 * GWEI
    rig.mine_and_tick(3)
    first, second = sorted(rig.chain.pool.values(), key=lambda tx: tx.nonce)
    old = low[rig.wallet.address, 0]
    assert first.max_fee >= old.max_fee * 9 / 8
    assert first.tip >= old.tip * 9 / 8
    assert second.hash == low[rig.wallet.address, 1].hash
    rig.finish()
    assert [rig.state(n) for n in "ab"] == [State.FINAL] * 2
    rig.assert_one_nonce_each()


def test_fees_have_a_ceiling_whatever_the_node_says(rig: Rig) -> None:
    rig.chain.base_fee = 10**9 * GWEI
    rig.submit("a")
    rig.tick()
    assert all(tx.max_fee <= 500 * GWEI for tx in rig.chain.pool.values())


def test_an_old_view_goes_back_to_the_caller_and_returns_at_the_same_nonce(rig: Rig) -> None:
    rig.submit("a", good_until=5)
    rig.submit("b")
    rig.tick()
    nonce = rig.sender.find("a").nonce
    rig.chain.drop_pool()
    rig.chain.mine(6, take_pool=False)
    rig.tick()
    assert rig.state("a") is State.STALE
    rig.sender.replace("a", b"do:a:0", good_until=200)
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert rig.sender.find("a").nonce == nonce
    rig.assert_one_nonce_each()


def test_a_view_whose_block_is_gone_is_stale_before_it_is_sent(rig: Rig) -> None:
    rig.chain.mine(300)
    rig.sender.submit("a", "test", CONTRACT, b"do:a:5")
    rig.tick()
    rig.mine_and_tick()
    assert rig.state("a") is State.STALE
    assert "UnknownBlock" in rig.sender.find("a").detail
    assert rig.chain.sent == []
    rig.sender.replace("a", b"do:a:299")
    rig.finish()
    assert rig.state("a") is State.FINAL


def test_a_stale_action_that_nobody_signs_again_does_not_hold_up_others(rig: Rig) -> None:
    rig.submit("a", good_until=2)
    rig.submit("b")
    rig.tick()
    rig.chain.drop_pool()
    rig.chain.mine(3, take_pool=False)
    rig.finish(60)
    assert rig.state("a") is State.FAILED
    assert rig.state("b") is State.FINAL
    assert rig.chain.done() == {b"b"}
    rig.assert_one_nonce_each()


def test_a_replacement_while_the_old_bytes_wait_takes_their_nonce(rig: Rig) -> None:
    rig.submit("a")
    rig.tick()
    rig.sender.replace("a", b"do:a:0")
    rig.tick()
    assert [tx.data for tx in rig.chain.pool.values()] == [b"do:a:0"]
    rig.finish()
    assert rig.state("a") is State.FINAL
    rig.assert_one_nonce_each()
    with pytest.raises(ProtocolViolation):
        rig.sender.replace("a", b"do:a:1")


def test_old_bytes_that_win_against_their_replacement_still_count(rig: Rig) -> None:
    rig.submit("a")
    rig.tick()
    (old,) = rig.chain.pool.values()
    rig.sender.replace("a", b"do:a:0")
    rig.tick()
    rig.chain.put(old)
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert rig.sender.find("a").tx_hash == old.hash


def test_an_abandoned_action_is_cancelled_at_its_nonce(rig: Rig) -> None:
    rig.submit("a")
    rig.submit("b")
    rig.tick()
    rig.sender.abandon("a", "no longer wanted")
    rig.tick()
    rig.finish()
    assert rig.state("a") is State.FAILED
    assert rig.sender.find("a").detail == "no longer wanted"
    assert rig.state("b") is State.FINAL
    assert rig.chain.done() == {b"b"}
    rig.assert_one_nonce_each()


def test_a_second_nonce_only_once_a_foreign_transaction_holds_the_first_for_good(rig: Rig) -> None:
    rig.submit("a")
    rig.tick()
    rig.chain.drop_pool()
    _foreign(rig, 0)
    rig.chain.mine()
    rig.tick()
    rig.mine_and_tick(5)
    assert len(set(rig.chain.sent)) == 1  # not yet: a reorg could make the first bytes valid again
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert rig.sender.find("a").nonce == 1
    rig.assert_nothing_twice()


def test_nonces_that_the_pool_holds_for_others_are_left_alone(rig: Rig) -> None:
    foreign = [_foreign(rig, n, bytes([n])) for n in range(2)]
    rig.submit("a")
    rig.tick()
    assert rig.sender.find("a").nonce == 2
    assert all(tx in rig.chain.pool.values() for tx in foreign)
    rig.finish()
    assert rig.state("a") is State.FINAL


def test_a_hole_that_a_foreign_transaction_left_is_filled(rig: Rig) -> None:
    _foreign(rig, 0)
    rig.submit("a")
    rig.tick()
    assert rig.sender.find("a").nonce == 1
    del rig.chain.pool[rig.wallet.address, 0]
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert rig.sender.find("fill:0").state is State.FINAL


def test_no_money_is_waited_out(rig: Rig) -> None:
    def fault(point: str) -> None:
        if point == "before eth_sendRawTransaction":
            raise rig.chain._refusal("insufficient funds for gas * price + value")

    rig.submit("a")
    rig.crash_at(fault)
    rig.tick()
    assert "insufficient funds" in rig.sender.trouble
    rig.crash_at(lambda _: None)
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert len(set(rig.chain.sent)) == 1


def _scenario(rig: Rig) -> None:
    """Three actions, a reorg, a pool that forgets, a lost race: the path that is crashed at each point."""
    for name in ("a", "b", "c"):
        rig.submit(name)
    rig.tick()
    rig.mine_and_tick(2)
    rig.chain.reorg(2)
    rig.tick()
    _other_member_does(rig, "d")
    rig.submit("d")
    rig.chain.drop_pool()
    _other_member_does(rig, "d")
    rig.mine_and_tick(3)
    rig.sender.submit("e", "test", CONTRACT, b"do:e")
    rig.tick()
    rig.sender.replace("e", b"do:e:1")
    rig.mine_and_tick(2)


def _points(path: Path) -> int:
    count = 0

    def fault(_: str) -> None:
        nonlocal count
        count += 1

    rig = Rig(path)
    rig.crash_at(fault)
    _scenario(rig)
    rig.kill()
    return count


def test_a_kill_at_any_point_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    total = _points(tmp_path / "count.db")
    assert total > 200
    for at in range(total):
        _killed_at(tmp_path / f"{at}.db", at)


def _killed_at(path: Path, at: int) -> None:
    left = at

    def fault(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise CrashPoint

    rig = Rig(path)
    rig.crash_at(fault)
    try:
        _scenario(rig)
    except CrashPoint:
        rig.kill()
        rig.fault = lambda _: None
        rig.start()
        for name in ("a", "b", "c", "d"):
            rig.submit(name)
        if rig.sender.find("e") is None:
            rig.sender.submit("e", "test", CONTRACT, b"do:e")
    rig.finish()
    assert rig.chain.done() == {b"a", b"b", b"c", b"d", b"e"}, at
    rig.assert_nothing_twice()
    rig.assert_one_nonce_each()
    rig.kill()


def test_two_processes_cannot_open_one_outbox(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="Stop the other host"):
        Ledger(tmp_path / "host.db", Identity(31337, bytes(32), CONTRACT, rig.wallet.address))


@pytest.mark.parametrize("field", ["chain_id", "genesis", "contract", "sender"])
def test_a_database_of_another_network_is_refused(tmp_path: Path, field: str) -> None:
    own = {"chain_id": 1, "genesis": b"g" * 32, "contract": b"c" * 20, "sender": b"s" * 20}
    Ledger(tmp_path / "a.db", Identity(**own)).close()  # type: ignore[arg-type]
    Ledger(tmp_path / "a.db", Identity(**own)).close()  # type: ignore[arg-type]
    other = own | {field: 2 if field == "chain_id" else b"x" * 20}
    with pytest.raises(Misconfigured, match="belongs to another"):
        Ledger(tmp_path / "a.db", Identity(**other))  # type: ignore[arg-type]


def test_a_damaged_database_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Misconfigured, match=r"a\.db"):
        Ledger(tmp_path / "a.db", Identity(1, bytes(32), bytes(20), bytes(20)))


def test_a_held_action_leaves_no_hole_in_the_nonces(rig: Rig) -> None:
    rig.chain.mine(300)
    rig.sender.submit("old view", "test", CONTRACT, b"do:x:5")
    rig.submit("b")
    rig.tick()
    assert rig.state("old view") is State.INTENDED
    assert rig.sender.find("b").nonce == 0
    rig.finish(100)
    assert rig.state("b") is State.FINAL


def test_what_the_caller_replaces_while_the_chain_is_asked_is_not_lost(rig: Rig) -> None:
    rig.submit("a", good_until=2)
    rig.tick()
    rig.chain.mine(3, take_pool=False)

    def fault(point: str) -> None:
        if point == "before eth_getTransactionByHash":
            rig.crash_at(lambda _: None)
            rig.sender.replace("a", b"do:a:0", good_until=200)

    rig.crash_at(fault)
    rig.tick()
    action = rig.sender.find("a")
    assert (action.calldata, action.state) == (b"do:a:0", State.INTENDED)
    rig.tick()
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert [tx.data for tx, _ in rig.chain.mined()] == [b"do:a:0"]


def test_what_the_caller_replaces_during_the_check_is_not_sent_as_it_was(rig: Rig) -> None:
    def fault(point: str) -> None:
        if point == "after eth_estimateGas":
            rig.crash_at(lambda _: None)
            rig.sender.replace("a", b"do:a:0")

    rig.submit("a")
    rig.crash_at(fault)
    rig.tick()
    assert rig.chain.sent == []
    rig.tick()
    rig.finish()
    assert [tx.data for tx, _ in rig.chain.mined()] == [b"do:a:0"]


def test_an_action_that_reverted_on_the_chain_can_be_tried_again(rig: Rig) -> None:
    rig.submit("a")
    rig.tick()
    data = b"do:a"
    rig.chain.put(Tx(data, b"", b"\x00" * 20, 0, GWEI, 90 * GWEI, CONTRACT, data))
    rig.chain.mine()  # the other's stands first in the block: ours reverts
    rig.tick()
    outcome = rig.sender.outcomes.take_nowait()
    assert (outcome.state, outcome.verdict) == (State.MINED, State.FAILED)
    rig.finish()
    assert rig.state("a") is State.FAILED
    rig.sender.replace("a", b"do:a again")
    rig.finish()
    assert rig.state("a") is State.FINAL
    assert rig.sender.find("a").nonce == 1
