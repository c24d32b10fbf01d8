"""Drives the outbox: asks the chain, lets the outbox decide, and does what it says, in safe order.

Owns the one rule of order: an action is on disk before it is signed, signed bytes are on disk before
they are sent. So a kill at any point loses nothing and sends nothing twice. It is the only user of
the wallet. What a node says about a send is not believed; the next look at the chain decides.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from guest.protocol.errors import MalformedInput, ProtocolViolation, Unavailable
from host.chain.actions import TERMINAL, Action, State
from host.chain.chain_facts import ask_facts, ask_moment
from host.chain.checks import IsDone, PreSendCheck
from host.chain.dispatch import Dispatch
from host.chain.ledger import Ledger
from host.chain.outbox import Fill, Intention, Patience, Update, decide
from host.chain.outbox_store import OutboxStore
from host.chain.outcomes import OutcomeQueue, outcome_of
from host.chain.rpc import Node, RpcError
from host.chain.timing import Timing
from host.chain.wallet import Wallet

_LOG = logging.getLogger(__name__)

MAX_OPEN = 4096
"""Actions that may be open at once; more are refused, so that no caller fills the disk."""

MAX_REVIVED = 256
"""Actions that one reorg may bring back; it drops 8 blocks, and a block has room for fewer."""

MAX_CALLDATA = 128 * 1024
"""Nodes take no larger transaction into their pool."""

_LONGEST_WAIT = 15.0
_QUIET_WAIT = 60.0
_QUIET_HEADS = 4
"""While actions only wait for finality, and no reorg is seen, one look in so many blocks is enough."""
_UNDECIDED = frozenset({State.INTENDED, State.SENT, State.STALE})
_UNDONE = frozenset({State.SUPERSEDED, State.FAILED})


class Sender:
    """Sends the actions of one gas key. Call `run` once; every other method may be called any time.

    `is_done(action)` asks the chain whether the action's result stands already.
    """

    def __init__(
        self,
        node: Node,
        wallet: Wallet,
        ledger: Ledger,
        chain_id: int,
        is_done: IsDone,
        *,
        patience: Patience | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._node = node
        self._address = wallet.address
        self._store = OutboxStore(ledger)
        self._timing = timing or Timing()
        check = PreSendCheck(node, wallet.address, is_done, self._timing)
        self._dispatch = Dispatch(node, wallet, self._store, check, chain_id)
        self._patience = patience or Patience()
        self._wake = asyncio.Event()
        self._failures = 0
        self._quiet_heads = 0
        self.outcomes = OutcomeQueue()
        self.trouble = ""
        """Why something does not move; empty while all is well."""

    # --- what a caller wants ------------------------------------------------------------------

    def submit(
        self,
        key: str,
        kind: str,
        target: bytes,
        calldata: bytes,
        *,
        good_until: int | None = None,
    ) -> Action:
        """Put an action on disk and return its row; the same again changes nothing.

        `target` is 20 bytes or, to create a contract, empty. Raises `ProtocolViolation` when `key`
        already names something else, `Unavailable` when too many actions are open.
        """
        known = self._store.find(key)
        if known is not None:
            if (known.kind, known.target, known.calldata) != (kind, target, calldata):
                raise ProtocolViolation(f"action {key} exists with other content; replace it")
            return known
        if self._store.count_open() >= MAX_OPEN:
            raise Unavailable("the outbox is full", got=MAX_OPEN)
        _check_size(target, calldata)
        now = int(self._timing.clock())
        action = Action(key, kind, target, calldata, good_until, created=now, updated=now)
        self._store.write([action])
        self._wake.set()
        return action

    def keep(
        self, key: str, kind: str, target: bytes, calldata: bytes, *, good_until: int | None = None
    ) -> Action:
        """Put an action on disk whose result stands already; `revive` sends it if a reorg undoes that.

        A key that is known stays as it is. Raises `MalformedInput` for what no transaction carries.
        """
        known = self._store.find(key)
        if known is not None:
            return known
        _check_size(target, calldata)
        now = int(self._timing.clock())
        kept = Action(
            key,
            kind,
            target,
            calldata,
            good_until,
            created=now,
            updated=now,
            state=State.SUPERSEDED,
        )
        self._store.write([kept])
        return kept

    async def revive(self, is_done: IsDone, *, since: int) -> int:
        """After a reorg: start again what was superseded since `since` and stands no longer.

        Returns how many. What cannot be told now counts as undone: it is checked again before it is
        sent. Only calls that name no view are worth it, and the caller keeps only such.
        """
        revived = 0
        for action in self._store.superseded_since(since, MAX_REVIVED):
            try:
                done = await is_done(action)
            except (Unavailable, MalformedInput, RpcError):
                done = False
            if not done:
                self.replace(action.key, action.calldata, good_until=action.good_until)
                revived += 1
        return revived

    def replace(self, key: str, calldata: bytes, *, good_until: int | None = None) -> Action:
        """Give an action that is not mined new calldata, at the same nonce if it has one.

        One that failed or was superseded starts again, at a new nonce: its old one, if it had one, is
        finally used up. Raises `ProtocolViolation` when there is no such action, or it is mined.
        """
        known = self._store.find(key)
        if known is None or known.state not in _UNDECIDED | _UNDONE:
            raise ProtocolViolation(
                f"action {key} cannot be replaced",
                got=known.state if known else "no such action",
                expected="one that is not mined and not being cancelled",
            )
        if known.calldata == calldata and known.state in (State.INTENDED, State.SENT):
            return known
        _check_size(known.target, calldata)
        new = replace(
            known,
            state=State.INTENDED,
            calldata=calldata,
            good_until=good_until,
            nonce=None if known.state in _UNDONE else known.nonce,
            verdict=None,
            detail="",
        )
        return self._write(known, new)

    def abandon(self, key: str, why: str) -> Action:
        """Give an action up, unless it is mined; its nonce, if it has one, is freed."""
        known = self._store.find(key)
        if known is None:
            raise ProtocolViolation(f"there is no action {key}")
        if known.state not in _UNDECIDED:
            return known
        ended = State.FAILED if known.nonce is None else State.CANCELLING
        return self._write(known, replace(known, state=ended, verdict=State.FAILED, detail=why))

    def find(self, key: str) -> Action | None:
        """Return an action's row, also after its end."""
        return self._store.find(key)

    def open_actions(self) -> tuple[Action, ...]:
        """Return the rows that are not at their end, oldest first: what a restart found."""
        return self._store.open_actions()

    def new_head(self, *, reorg: bool = False) -> None:
        """Say that there is a new block; after a `reorg` even what was mined is looked at again."""
        self._quiet_heads += 1
        if reorg or self._quiet_heads >= _QUIET_HEADS or self._store.count_moving():
            self._wake.set()

    # --- the loop -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Work for ever. Raises only what no retry mends: `Misconfigured` (another chain)."""
        while True:
            self._wake.clear()
            try:
                await self.tick()
                self._failures = 0
            except (Unavailable, MalformedInput, RpcError) as e:
                self._say(str(e))
                self._failures += 1
                delay = min(_LONGEST_WAIT, 0.25 * 2.0 ** min(self._failures, 10))
                await self._timing.sleep(self._timing.jitter() * delay)
                continue
            longest = _LONGEST_WAIT if self._store.count_moving() else _QUIET_WAIT
            try:
                await asyncio.wait_for(self._wake.wait(), longest)
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """Look at the chain once and do what is due. Costs nothing while no action is open."""
        if self._store.count_open() == 0:
            self.trouble = ""
            return
        self._quiet_heads = 0
        moment = await ask_moment(self._node, self._address)
        actions, attempts = self._store.relevant(moment.count)
        facts = await ask_facts(self._node, moment, attempts)
        intentions = decide(actions, attempts, facts, self._patience)
        self._settle(actions, intentions)
        plan = await self._dispatch.plan(intentions, moment.head)
        for before, after in plan.closed:
            if self._unchanged(before):
                self._write(before, after)
        # What the caller replaced while we looked waits for the next look; so does what is above it.
        to_sign = [item for item in plan.to_sign if self._unchanged(item.action)]
        if len(to_sign) < len(plan.to_sign):
            self._wake.set()
            to_sign = [item for item in to_sign if item.action.nonce is not None]
        rows, made, held = self._dispatch.sign(to_sign, attempts, moment, int(self._timing.clock()))
        for row in rows:
            self.outcomes.put(outcome_of(row))
        problems = await self._dispatch.broadcast([*plan.again, *made])
        self._say("; ".join((*plan.held, *held, *problems)))

    def _settle(self, seen: Sequence[Action], intentions: Sequence[Intention]) -> None:
        """Store what the chain decided; a nonce that nobody fills becomes an action of its own."""
        rows = {action.key: action for action in seen}
        for intention in intentions:
            if isinstance(intention, Update):
                before = rows[intention.action.key]
                if self._unchanged(before):
                    self._write(before, intention.action)
            elif isinstance(intention, Fill):
                self.submit(f"fill:{intention.nonce}", "fill", self._address, b"")

    def _unchanged(self, action: Action) -> bool:
        """Whether the caller changed nothing about an action since its row was read."""
        return self._store.find(action.key) == action

    def _write(self, before: Action, after: Action) -> Action:
        """Store a row; tell the caller if it says something new; look again soon."""
        row = replace(after, updated=int(self._timing.clock()))
        self._store.write([row])
        if (before.state, before.block) != (row.state, row.block):
            self.outcomes.put(outcome_of(row))
        if row.state not in TERMINAL and row.state is not State.MINED:
            self._wake.set()
        return row

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _LOG.warning("outbox: %s", trouble)
        self.trouble = trouble


def _check_size(target: bytes, calldata: bytes) -> None:
    if len(target) not in (0, 20) or len(calldata) > MAX_CALLDATA:
        raise MalformedInput(
            "no transaction can carry this", got=f"{len(target)} and {len(calldata)} bytes"
        )
