"""The scanner: every block linked, every reorg told, every event at least once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from guest.protocol.errors import Unavailable
from host.chain import abi, events
from host.chain.ledger import Identity, Ledger
from host.chain.pacing import Pacer
from host.chain.scanner import Scanner, Step
from host.chain.timing import Timing
from host.chain.window import DEPTH
from tests.fakes.chain_rpc import CONTRACT, FakeChain, Log

IDENTITY = Identity(31337, bytes(32), CONTRACT, bytes(20))


def expired(node: int) -> Log:
    entry = abi.release().entry("event", "Expired")
    return Log((entry.topic, bytes(12) + node.to_bytes(20, "big")), b"")


class Watch:
    """Runs a scanner; each time it would sleep, the next thing of a script happens."""

    def __init__(self, chain: FakeChain, path: Path, deployed_at: int = 1) -> None:
        self.chain = chain
        self.path = path
        self.deployed_at = deployed_at
        self.sleeps: list[float] = []
        self.steps: list[Step] = []
        self.headers: list[int] = []
        self.trouble: list[str] = []
        self.malformed = 0

    def run(self, *script: Callable[[], object], settle: int = 8) -> list[Step]:
        """Do the script, one entry per sleep, then let the scanner settle; return all steps."""
        left = [*script, *([lambda: None] * settle)]

        async def sleep(seconds: float) -> None:
            self.sleeps.append(seconds)
            self.trouble.append(scanner.trouble)
            if not left:
                raise asyncio.CancelledError
            left.pop(0)()

        timing = Timing(sleep=sleep, jitter=lambda: 0.5)
        with Ledger(self.path, IDENTITY) as ledger:
            scanner = Scanner(self.chain, ledger, CONTRACT, self.deployed_at, timing=timing)

            async def collect() -> None:
                async for step in scanner.steps():
                    self.steps.append(step)

            with pytest.raises(asyncio.CancelledError):
                asyncio.run(collect())
            self.malformed = scanner.malformed
            self.headers = [n for n in range(10_000) if scanner.recent_header(n)]
        return self.steps

    def nodes(self) -> list[int]:
        return [
            int.from_bytes(seen.event.node, "big")
            for step in self.steps
            for seen in step.events
            if isinstance(seen.event, events.Expired)
        ]


@pytest.fixture
def chain() -> FakeChain:
    chain = FakeChain()
    chain.mine(3)
    return chain


@pytest.fixture
def watch(chain: FakeChain, tmp_path: Path) -> Watch:
    return Watch(chain, tmp_path / "host.db")


def test_each_new_block_is_one_step_with_its_events(chain: FakeChain, watch: Watch) -> None:
    steps = watch.run(
        chain.mine, lambda: chain.mine(logs=[expired(1), expired(2)]), lambda: chain.mine(2)
    )
    assert [[b.number for b in step.new_blocks] for step in steps] == [
        [0, 1, 2, 3],
        [4],
        [5],
        [6, 7],
    ]
    assert watch.nodes() == [1, 2]
    assert all(step.reorg is None and step.behind == 0 for step in steps)
    assert steps[2].events[0].block == steps[2].head.ref


def test_an_idle_block_costs_two_calls_at_most(chain: FakeChain, watch: Watch) -> None:
    chain.mine(60)
    watch.run(settle=0)
    before = len(chain.calls)
    # The real pacing polls a second time on about every fifth block.
    watch.run(*([chain.mine, chain.mine, chain.mine, chain.mine, lambda: None] * 20), settle=0)
    start = DEPTH + 4
    assert len(chain.calls) - before - start <= 2 * 80


def test_headers_of_the_last_64_blocks_cost_no_calls(chain: FakeChain, watch: Watch) -> None:
    chain.mine(200)
    watch.run()
    assert watch.headers == list(range(203 - DEPTH + 1, 204))


def test_full_header_fields_are_kept_as_they_came(watch: Watch) -> None:
    step = watch.run()[0]
    assert step.head.fields["receiptsRoot"].startswith("0x56e81f")
    assert step.head.fields["number"] == "0x3"


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("grow", [-1, 0, 1, 3])
def test_a_reorg_names_the_ancestor_and_what_was_dropped(
    chain: FakeChain, watch: Watch, depth: int, grow: int
) -> None:
    chain.mine(10)
    dropped = [b.hash for b in chain.blocks[-depth:]]
    ancestor = chain.head.number - depth
    steps = watch.run(lambda: chain.reorg(depth, grow=grow), chain.mine)
    reorgs = [step.reorg for step in steps if step.reorg]
    assert [(r.common_ancestor, [b.hash for b in r.dropped]) for r in reorgs] == [
        (ancestor, dropped)
    ]
    assert steps[-1].head.hash == chain.head.hash
    known = [b.number for step in steps[1:] for b in step.new_blocks]
    assert known == list(range(ancestor + 1, chain.head.number + 1))


def test_events_of_the_new_branch_are_told_after_a_reorg(chain: FakeChain, watch: Watch) -> None:
    def switch() -> None:
        chain.reorg(1, grow=0)
        chain.mine(logs=[expired(2)])

    watch.run(lambda: chain.mine(logs=[expired(1)]), switch)
    assert watch.nodes() == [1, 2]
    assert watch.steps[-1].reorg is not None


def test_a_reorg_deeper_than_the_window_scans_from_the_contract_again(
    chain: FakeChain, watch: Watch
) -> None:
    chain.mine(logs=[expired(1)])
    chain.mine(100)
    watch.run(lambda: chain.reorg(90))
    assert watch.nodes() == [1, 1]
    reorg = next(step.reorg for step in watch.steps if step.reorg)
    assert reorg.common_ancestor == 0


def test_a_chain_that_starts_anew_is_followed(chain: FakeChain, watch: Watch) -> None:
    chain.mine(100)

    def restart() -> None:
        chain.forks += 1
        del chain.blocks[1:]
        chain.mine(5, logs=[expired(7)])

    watch.run(restart, chain.mine, settle=12)
    assert watch.steps[-1].head.hash == chain.head.hash
    assert watch.nodes() == [7] * 5
    assert watch.steps[-1].behind == 0


def test_a_node_that_lags_for_a_moment_is_no_reorg(chain: FakeChain, watch: Watch) -> None:
    chain.mine(5)
    newest = chain.blocks[-2:]

    def lag() -> None:
        del chain.blocks[-2:]

    def catch_up() -> None:
        chain.blocks.extend(newest)

    watch.run(lag, lambda: None, catch_up, chain.mine)
    assert all(step.reorg is None for step in watch.steps)


def test_a_chain_that_really_went_back_is_told_after_a_while(
    chain: FakeChain, watch: Watch
) -> None:
    chain.mine(5)
    watch.run(lambda: chain.rollback(2), settle=12)
    assert watch.steps[-1].reorg is not None
    assert watch.steps[-1].head.number == 6


@pytest.mark.parametrize("limit", [5, 10, 999, 100_000])
def test_history_is_read_in_ranges_that_the_provider_bears(
    chain: FakeChain, watch: Watch, limit: int
) -> None:
    chain.max_log_range = limit
    for n in range(1, 41):
        chain.mine(logs=[expired(n)])
        chain.mine(4)
    watch.run(settle=2)
    assert watch.nodes() == list(range(1, 41))
    assert watch.steps[-1].behind == 0


def test_a_restart_goes_on_64_blocks_behind_and_not_from_the_beginning(
    chain: FakeChain, tmp_path: Path
) -> None:
    for n in range(1, 301):
        chain.mine(logs=[expired(n)])
    Watch(chain, tmp_path / "host.db").run()
    chain.mine(logs=[expired(301)])
    again = Watch(chain, tmp_path / "host.db")
    again.run()
    assert again.nodes() == list(range(again.nodes()[0], 302))
    assert 301 - DEPTH - 16 <= again.nodes()[0] <= 301 - DEPTH + 1


def test_a_reorg_during_the_downtime_is_scanned_over(chain: FakeChain, tmp_path: Path) -> None:
    chain.mine(300)
    Watch(chain, tmp_path / "host.db").run()
    chain.reorg(150)
    chain.mine(logs=[expired(9)])
    again = Watch(chain, tmp_path / "host.db")
    again.run()
    assert again.nodes() == [9]
    assert again.steps[0].reorg is not None
    assert again.steps[0].reorg.common_ancestor == 0


def test_events_are_not_lost_when_the_reader_dies_in_a_step(
    chain: FakeChain, tmp_path: Path
) -> None:
    for n in range(1, 201):
        chain.mine(logs=[expired(n)])

    class Killed(Exception):
        pass

    async def die(scanner: Scanner) -> None:
        async for step in scanner.steps():
            if step.events:
                raise Killed

    with Ledger(tmp_path / "host.db", IDENTITY) as ledger, pytest.raises(Killed):
        asyncio.run(die(Scanner(chain, ledger, CONTRACT, 1)))
    again = Watch(chain, tmp_path / "host.db")
    again.run()
    assert again.nodes() == list(range(1, 201))


def test_an_outage_is_waited_out_with_growing_pauses_and_named(
    chain: FakeChain, watch: Watch
) -> None:
    def down(_: str) -> None:
        raise Unavailable("node is away")

    def go_down() -> None:
        chain.fault = down

    def come_back() -> None:
        chain.fault = lambda _: None

    watch.run(go_down, *([lambda: None] * 6), come_back, chain.mine)
    assert "node is away" in watch.trouble
    outage = watch.sleeps[2:8]
    assert outage == sorted(outage)
    assert max(outage) <= 15.0
    assert watch.steps[-1].head.number == 4
    assert watch.trouble[-1] == ""


def test_a_log_that_the_contract_cannot_have_made_is_counted_and_skipped(
    chain: FakeChain, watch: Watch
) -> None:
    bad = Log((abi.release().entry("event", "Expired").topic,), b"rubbish")
    watch.run(lambda: chain.mine(logs=[bad, expired(3)]))
    assert watch.nodes() == [3]
    assert watch.malformed == 1


def test_logs_of_other_contracts_are_not_ours(chain: FakeChain, watch: Watch) -> None:
    other = Log(expired(1).topics, b"", address=b"\x01" * 20)
    watch.run(lambda: chain.mine(logs=[other]))
    assert watch.nodes() == []


def test_polls_settle_at_one_and_a_bit_per_block_just_behind_the_arrival() -> None:
    pacer, now, polls, seen, late = Pacer(), 0.0, 0, 0, 0.0
    stamps = list(range(0, 120, 12))
    while now < 12 * 200:
        polls += 1
        if int(now // 12) > seen:
            seen = int(now // 12)
            late = max(late, now % 12) if seen > 20 else 0.0
            now += pacer.after_block(stamps)
        else:
            now += pacer.after_nothing(stamps)
    assert seen == 199
    assert polls <= 1.5 * 199
    assert late <= 0.75


def lateness(pacer: Pacer, start: float, blocks: int) -> list[float]:
    """Poll a chain with a block every 12 s from `start` on; return how late each block was seen."""
    stamps, now, seen, late = list(range(0, 120, 12)), start, -1, []
    while len(late) < blocks:
        if int(now // 12) > seen:
            seen = int(now // 12)
            late.append(now % 12)
            now += pacer.after_block(stamps)
        else:
            now += pacer.after_nothing(stamps)
    return late


@pytest.mark.parametrize("phase", [0.5, 3.0, 6.0, 9.0, 11.9])
def test_a_host_that_starts_between_two_blocks_sees_the_next_one_as_it_comes(phase: float) -> None:
    first, *others = lateness(Pacer(), phase, 10)
    assert first == phase
    assert max(others) <= 1.0


@pytest.mark.parametrize("phase", [0.5, 3.0, 6.0, 9.0, 11.9])
def test_a_host_that_fell_behind_is_back_within_eight_blocks(phase: float) -> None:
    pacer = Pacer()
    lateness(pacer, 0.0, 20)
    assert max(lateness(pacer, phase, 30)[8:]) <= 0.75


def test_an_unsteady_chain_is_polled_at_least_once_a_second() -> None:
    pacer = Pacer()
    stamps = [0, 1, 40, 41, 47, 100]
    assert max(pacer.after_nothing(stamps) for _ in range(50)) <= 1.0
    assert pacer.after_block(stamps) <= 1.0
    assert Pacer().after_nothing([]) <= 1.0
