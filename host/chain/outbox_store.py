"""Actions and attempts as rows of the ledger. Owns their SQL and nothing else."""

import sqlite3
from collections.abc import Iterable

from host.chain.actions import TERMINAL, Action, Attempt, State
from host.chain.blocks import BlockRef
from host.chain.fees import Fees
from host.chain.ledger import Ledger

_ACTION = (
    "key, kind, target, calldata, good_until, created, updated, state, nonce, tx_hash, "
    "block_number, block_hash, gas_used, verdict, detail, changed_at_block"
)
_ATTEMPT = "tx_hash, key, nonce, raw, cancels, gas, max_fee, tip, made_at_block, refused"
_OPEN = "state NOT IN ({})".format(", ".join(f"'{state}'" for state in sorted(TERMINAL)))


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(", "))


def _excluded(columns: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns.split(", ")[1:])


# Statements are put together from the constants above only; every value is bound (hence S608).
_WRITE_ACTION = (
    f"INSERT INTO actions ({_ACTION}) VALUES ({_marks(_ACTION)})"  # noqa: S608
    f" ON CONFLICT (key) DO UPDATE SET {_excluded(_ACTION)}"
)
_WRITE_ATTEMPT = (
    f"INSERT INTO attempts ({_ATTEMPT}) VALUES ({_marks(_ATTEMPT)})"  # noqa: S608
    " ON CONFLICT (tx_hash) DO UPDATE SET refused = excluded.refused"
)
_RELEVANT = f"{_OPEN} OR key IN (SELECT key FROM attempts WHERE nonce >= ?)"  # noqa: S608
_FIND = f"SELECT {_ACTION} FROM actions WHERE key = ?"  # noqa: S608
_ALL_OPEN = f"SELECT {_ACTION} FROM actions WHERE {_OPEN} ORDER BY rowid"  # noqa: S608
_SUPERSEDED = (
    f"SELECT {_ACTION} FROM actions"  # noqa: S608
    " WHERE state = ? AND updated >= ? ORDER BY rowid DESC LIMIT ?"
)
_COUNT_MOVING = f"SELECT count(*) FROM actions WHERE {_OPEN} AND state <> 'mined'"  # noqa: S608
_COUNT_OPEN = f"SELECT count(*) FROM actions WHERE {_OPEN}"  # noqa: S608
_RELEVANT_ACTIONS = f"SELECT {_ACTION} FROM actions WHERE {_RELEVANT} ORDER BY rowid"  # noqa: S608
_RELEVANT_ATTEMPTS = (
    f"SELECT {_ATTEMPT} FROM attempts WHERE key IN"  # noqa: S608
    f" (SELECT key FROM actions WHERE {_RELEVANT}) ORDER BY rowid"
)


class OutboxStore:
    """Reads and writes rows. Every write is on disk when the method returns."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def write(self, actions: Iterable[Action] = (), attempts: Iterable[Attempt] = ()) -> None:
        """Insert or update all of these, or none; raises `Unavailable` when the disk refuses."""
        with self._ledger.transaction() as db:
            db.executemany(_WRITE_ACTION, [_action_row(action) for action in actions])
            db.executemany(_WRITE_ATTEMPT, [_attempt_row(attempt) for attempt in attempts])

    def find(self, key: str) -> Action | None:
        """Return the action of that key."""
        row = self._ledger.db.execute(_FIND, (key,)).fetchone()
        return _action(row) if row else None

    def open_actions(self) -> tuple[Action, ...]:
        """Return all actions that are not at their end, oldest first."""
        return tuple(_action(row) for row in self._ledger.db.execute(_ALL_OPEN))

    def superseded_since(self, updated: int, most: int) -> tuple[Action, ...]:
        """Return up to `most` actions that others made superfluous since `updated`, newest first."""
        rows = self._ledger.db.execute(_SUPERSEDED, (State.SUPERSEDED.value, updated, most))
        return tuple(_action(row) for row in rows)

    def count_open(self) -> int:
        """Return how many actions are not at their end."""
        return int(self._ledger.db.execute(_COUNT_OPEN).fetchone()[0])

    def count_moving(self) -> int:
        """Return how many open actions do more than wait for finality."""
        return int(self._ledger.db.execute(_COUNT_MOVING).fetchone()[0])

    def relevant(self, count: int) -> tuple[tuple[Action, ...], tuple[Attempt, ...]]:
        """Return open actions, ended ones whose nonce is `count` or more, and all their attempts."""
        db = self._ledger.db
        actions = [_action(row) for row in db.execute(_RELEVANT_ACTIONS, (count,))]
        attempts = [_attempt(row) for row in db.execute(_RELEVANT_ATTEMPTS, (count,))]
        return tuple(actions), tuple(attempts)


def _action_row(action: Action) -> tuple[object, ...]:
    return (
        action.key,
        action.kind,
        action.target,
        action.calldata,
        action.good_until,
        action.created,
        action.updated,
        action.state.value,
        action.nonce,
        action.tx_hash,
        action.block.number if action.block else None,
        action.block.hash if action.block else None,
        action.gas_used,
        action.verdict.value if action.verdict else "",
        action.detail,
        action.changed_at,
    )


def _action(row: sqlite3.Row) -> Action:
    key, kind, target, calldata, good_until, created, updated = row[:7]
    state, nonce, tx_hash, number, block_hash, gas_used, verdict, detail, changed_at = row[7:]
    return Action(
        key=key,
        kind=kind,
        target=target,
        calldata=calldata,
        good_until=good_until,
        created=created,
        updated=updated,
        state=State(state),
        nonce=nonce,
        tx_hash=tx_hash,
        block=None if number is None else BlockRef(number, block_hash),
        gas_used=gas_used,
        verdict=State(verdict) if verdict else None,
        detail=detail,
        changed_at=changed_at,
    )


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    return (
        attempt.tx_hash,
        attempt.key,
        attempt.nonce,
        attempt.raw,
        int(attempt.cancels),
        attempt.gas,
        str(attempt.fees.max_fee),  # wei may exceed SQLite's 64 bits
        str(attempt.fees.tip),
        attempt.made_at,
        int(attempt.refused),
    )


def _attempt(row: sqlite3.Row) -> Attempt:
    tx_hash, key, nonce, raw, cancels, gas, max_fee, tip, made_at, refused = row
    fees = Fees(int(max_fee), int(tip))
    return Attempt(tx_hash, key, nonce, raw, bool(cancels), gas, fees, made_at, bool(refused))
