"""A sender on the fake chain, that can be killed and started again on the same database."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from guest.protocol.secret import Secret
from host.chain.actions import TERMINAL, Action, State
from host.chain.ledger import Identity, Ledger
from host.chain.sender import Sender
from host.chain.timing import Timing
from host.chain.wallet import Wallet
from tests.fakes.chain_rpc import CONTRACT, FakeChain, parse_tx

KEY = Secret(b"\x11" * 32)


class FaultyLedger(Ledger):
    """Calls `fault` before each transaction and after its commit."""

    fault: Callable[[str], None] = staticmethod(lambda _: None)

    @contextmanager
    def transaction(self) -> Iterator[object]:  # type: ignore[override]
        self.fault("before commit")
        with super().transaction() as db:
            yield db
        self.fault("after commit")


async def _no_sleep(_: float) -> None:
    await asyncio.sleep(0)


class Rig:
    def __init__(self, path: Path, chain: FakeChain | None = None) -> None:
        self.path = path
        self.chain = chain or FakeChain(final_depth=10)
        self.now = 0.0
        self.wallet = Wallet(KEY)
        self.fault: Callable[[str], None] = lambda _: None
        self.start()

    def start(self) -> None:
        identity = Identity(31337, bytes(32), CONTRACT, self.wallet.address)
        self.ledger = FaultyLedger(self.path, identity)
        self.ledger.db.execute("PRAGMA synchronous = OFF")  # the disk does not die here
        self.ledger.fault = self.fault  # type: ignore[method-assign]
        self.chain.fault = self.fault
        timing = Timing(lambda: self.now, lambda: self.now, _no_sleep, lambda: 0.5)
        self.sender = Sender(
            self.chain, self.wallet, self.ledger, 31337, self.is_done, timing=timing
        )

    async def is_done(self, action: Action) -> bool:
        return action.calldata.split(b":")[1] in self.chain.done() if action.calldata else False

    def kill(self) -> None:
        self.ledger.close()

    def crash_at(self, fault: Callable[[str], None]) -> None:
        self.fault = fault
        self.ledger.fault = fault  # type: ignore[method-assign]
        self.chain.fault = fault

    def submit(self, name: str, **more: int) -> Action:
        return self.sender.submit(name, "test", CONTRACT, f"do:{name}".encode(), **more)

    def tick(self) -> None:
        asyncio.run(self.sender.tick())

    def state(self, name: str) -> State:
        action = self.sender.find(name)
        assert action is not None
        return action.state

    def mine_and_tick(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.chain.mine()
            self.now += 12
            self.tick()

    def finish(self, most: int = 200) -> None:
        """Go on until every action is at its end."""
        for _ in range(most):
            self.mine_and_tick()
            if not self.sender.open_actions():
                return
        raise AssertionError([f"{a.key} {a.state} {a.detail}" for a in self.sender.open_actions()])

    # --- invariants ---

    def assert_nothing_twice(self) -> None:
        """Of our transactions, no calldata stands twice on the chain."""
        ours = [tx.data for tx, _ in self.chain.mined() if tx.sender == self.wallet.address]
        acting = [data for data in ours if data]
        assert len(acting) == len(set(acting))

    def assert_one_nonce_each(self) -> None:
        """All bytes ever signed for an action have one nonce, and no nonce is left out."""
        rows = self.ledger.db.execute("SELECT key, nonce, raw FROM attempts").fetchall()
        nonces: dict[str, set[int]] = {}
        for key, nonce, raw in rows:
            assert parse_tx(raw).nonce == nonce
            nonces.setdefault(key, set()).add(nonce)
        assert all(len(found) == 1 for found in nonces.values()), nonces
        used = sorted({n for found in nonces.values() for n in found})
        assert used == list(range(len(used)))

    def assert_one_open_nonce_each(self) -> None:
        """Of all bytes ever signed for an action, only those of one nonce can still be mined."""
        final = self.chain.count(self.wallet.address, max(0, self.chain.final))
        rows = self.ledger.db.execute("SELECT key, nonce FROM attempts").fetchall()
        still: dict[str, set[int]] = {}
        for key, nonce in rows:
            if nonce >= final:
                still.setdefault(key, set()).add(nonce)
        assert all(len(found) == 1 for found in still.values()), still

    def assert_all_at_their_end(self, names: list[str]) -> None:
        for name in names:
            assert self.state(name) in TERMINAL
