"""What became of actions, for the caller. Owns a queue that can neither block nor overflow."""

import asyncio
from dataclasses import dataclass

from host.chain.actions import Action, State


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """An action's new state. `detail` says why it failed or went stale.

    `tx_hash`, `block_number` and `gas_used` are those of the transaction that was mined, if one was;
    while an action is only sent, `tx_hash` is the newest attempt's.
    """

    key: str
    kind: str
    state: State
    tx_hash: bytes | None
    block_number: int | None
    gas_used: int | None
    detail: str
    verdict: State | None = None
    """How it will end once its block is final, if not well: mined, but reverted or cancelled."""


def outcome_of(action: Action) -> ActionOutcome:
    """Return the public part of a row."""
    return ActionOutcome(
        action.key,
        action.kind,
        action.state,
        action.tx_hash,
        action.block.number if action.block else None,
        action.gas_used,
        action.detail,
        action.verdict,
    )


class OutcomeQueue:
    """The latest outcome of each key, in order of change: as many entries as keys, at most.

    A reader that is slow misses states in between, never the last one.
    """

    def __init__(self) -> None:
        self._latest: dict[str, ActionOutcome] = {}
        self._filled = asyncio.Event()

    def put(self, outcome: ActionOutcome) -> None:
        """Add an outcome, in place of an unread one of the same key."""
        self._latest.pop(outcome.key, None)
        self._latest[outcome.key] = outcome
        self._filled.set()

    async def get(self) -> ActionOutcome:
        """Wait for the next outcome and take it."""
        while not self._latest:
            self._filled.clear()
            await self._filled.wait()  # waits: its caller has nothing else to do
        return self.take_nowait()

    def take_nowait(self) -> ActionOutcome:
        """Take the oldest unread outcome; `KeyError` if there is none."""
        if not self._latest:
            raise KeyError("no outcome is waiting")
        return self._latest.pop(next(iter(self._latest)))
