"""The sender against a chain and a machine that do what they like, in any order.

Invariants: no calldata of ours stands twice on the chain; all bytes of an action have one nonce; once
the world is calm again, every action comes to its end and what it wanted stands on the chain.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from guest.protocol.errors import ProtocolViolation, Unavailable
from host.chain.actions import State
from tests.fakes.chain_rpc import CONTRACT, GWEI, CrashPoint, Tx
from tests.unit.host_chain.sender_rig import Rig


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.rig = Rig(self.folder / "host.db")
        self.names: list[str] = []
        self.abandoned: set[str] = set()
        self.versions = 0

    def teardown(self) -> None:
        try:
            self.rig.crash_at(lambda _: None)
            self.rig.chain.base_fee = GWEI
            self.rig.finish()
            self.reopen_what_others_lost()
            self.check_the_end()
        finally:
            self.rig.kill()
            shutil.rmtree(self.folder)

    def reopen_what_others_lost(self) -> None:
        """Another member's result may be reorged away after we stood back; the caller notices."""
        for name in self.names:
            if name.encode() not in self.rig.chain.done() and name not in self.abandoned:
                self.versions += 1
                self.rig.sender.replace(name, f"do:{name}:0:{self.versions}".encode())
        self.rig.finish()

    def check_the_end(self) -> None:
        done = self.rig.chain.done()
        for name in self.names:
            state = self.rig.state(name)
            assert state in (State.FINAL, State.SUPERSEDED, State.FAILED)
            if name not in self.abandoned:
                assert name.encode() in done, (name, state, self.rig.sender.find(name))

    @invariant()
    def nothing_twice(self) -> None:
        self.rig.assert_nothing_twice()

    @invariant()
    def one_open_nonce_each(self) -> None:
        self.rig.assert_one_open_nonce_each()

    @rule()
    def submit(self) -> None:
        name = f"n{len(self.names)}"
        self.names.append(name)
        self.rig.submit(name)

    @rule(count=st.integers(1, 3))
    def tick(self, count: int) -> None:
        for _ in range(count):
            self.rig.tick()

    @rule(count=st.integers(1, 4), take_pool=st.booleans())
    def mine(self, count: int, take_pool: bool) -> None:
        self.rig.chain.mine(count, take_pool=take_pool)
        self.rig.now += 12 * count

    @rule(depth=st.integers(1, 8), grow=st.integers(0, 2), back=st.booleans())
    def reorg(self, depth: int, grow: int, back: bool) -> None:
        if depth < len(self.rig.chain.blocks):
            self.rig.chain.reorg(depth, grow=grow, back_to_pool=back)

    @rule()
    def forget_the_pool(self) -> None:
        self.rig.chain.drop_pool()

    @rule(high=st.booleans())
    def move_the_base_fee(self, high: bool) -> None:
        self.rig.chain.base_fee = 20 * GWEI if high else GWEI

    @rule(data=st.data())
    def another_member_does_it(self, data: st.DataObject) -> None:
        if self.names:
            name = data.draw(st.sampled_from(self.names)).encode()
            other = b"\x99" * 20
            nonce = self.rig.chain.pending_count(other)
            body = b"do:" + name
            self.rig.chain.put(
                Tx(body + bytes([nonce]), b"", other, nonce, GWEI, 90 * GWEI, CONTRACT, body)
            )

    @rule(data=st.data())
    def the_guest_signs_again(self, data: st.DataObject) -> None:
        if self.names:
            name = data.draw(st.sampled_from(self.names))
            self.versions += 1
            try:
                self.rig.sender.replace(name, f"do:{name}:0:{self.versions}".encode())
            except ProtocolViolation:
                return

    @rule(data=st.data())
    def the_caller_gives_up(self, data: st.DataObject) -> None:
        if self.names:
            name = data.draw(st.sampled_from(self.names))
            self.abandoned.add(name)
            self.rig.sender.abandon(name, "given up")

    @rule(at=st.integers(0, 30), before=st.booleans())
    def the_node_fails(self, at: int, before: bool) -> None:
        self._faulty_tick(at, Unavailable("x"), "before eth" if before else "after eth")

    @rule(at=st.integers(0, 40))
    def the_process_is_killed(self, at: int) -> None:
        self._faulty_tick(at, CrashPoint(), "")
        self.rig.kill()
        self.rig.fault = lambda _: None
        self.rig.start()

    def _faulty_tick(self, at: int, error: BaseException, point: str) -> None:
        left = at

        def fault(where: str) -> None:
            nonlocal left
            if where.startswith(point):
                left -= 1
                if left < 0:
                    raise error

        self.rig.crash_at(fault)
        try:
            self.rig.tick()
        except (CrashPoint, Unavailable):
            pass
        finally:
            self.rig.crash_at(lambda _: None)


def test_whatever_happens_each_action_is_done_once() -> None:
    run_state_machine_as_test(
        World,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
