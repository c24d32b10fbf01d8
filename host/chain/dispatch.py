"""From intentions to bytes on the wire: check, sign, put on disk, send - in this order.

Owns the second half of each look at the chain, and with it the only use of the wallet. Nothing is sent
that is not on disk; what a node answers to a send is not believed, the next look at the chain decides.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.chain.actions import Action, Attempt, State
from host.chain.chain_facts import Moment
from host.chain.checks import Cleared, Closed, Held, PreSendCheck
from host.chain.fees import TRANSFER_GAS, Fees, bumped
from host.chain.hexdata import to_data
from host.chain.outbox import Bump, Cancel, Intention, Resend, Send
from host.chain.outbox_store import OutboxStore
from host.chain.rpc import Call, Node, RpcError
from host.chain.wallet import Payload, Wallet


@dataclass(frozen=True, slots=True)
class ToSign:
    """Bytes to make, after the check; `cancels` makes the empty transfer instead of the action."""

    action: Action
    nonce: int
    gas: int
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a look came to: rows that end, bytes to make, bytes to send again, what stands still."""

    closed: tuple[tuple[Action, Action], ...]
    to_sign: tuple[ToSign, ...]
    again: tuple[Attempt, ...]
    held: tuple[str, ...]


class Dispatch:
    """Sends for one gas key through one node."""

    def __init__(
        self, node: Node, wallet: Wallet, store: OutboxStore, check: PreSendCheck, chain_id: int
    ) -> None:
        self._node = node
        self._wallet = wallet
        self._store = store
        self._check = check
        self._chain_id = chain_id

    async def plan(self, intentions: Sequence[Intention], head: int) -> Plan:
        """Check all that would be sent, at once."""
        to_sign = [
            ToSign(i.action, i.action.nonce, TRANSFER_GAS, cancels=True)
            for i in intentions
            if isinstance(i, Cancel) and i.action.nonce is not None
        ]
        kept = [i for i in intentions if isinstance(i, Resend | Bump) and i.attempt.cancels]
        to_sign += [
            ToSign(i.action, i.attempt.nonce, TRANSFER_GAS, cancels=True)
            for i in kept
            if isinstance(i, Bump)
        ]
        asked = [i for i in intentions if isinstance(i, Send | Resend | Bump) and i not in kept]
        looks = await asyncio.gather(*(self._check.look(i.action, head) for i in asked))
        closed: list[tuple[Action, Action]] = []
        held: list[str] = []
        again = [i.attempt for i in kept]
        # A held action must leave no hole: new nonces go, in order, to those that are cleared.
        free = sorted(i.nonce for i in asked if isinstance(i, Send) and i.action.nonce is None)
        for intention, found in zip(asked, looks, strict=True):
            action = intention.action
            if isinstance(found, Held):
                held.append(f"{action.key}: {found.why}")
            elif isinstance(found, Closed):
                closed.append((action, found.action))
            elif isinstance(intention, Resend):
                again.append(intention.attempt)
            else:
                nonce = free.pop(0) if action.nonce is None else action.nonce
                to_sign.append(_cleared(action, nonce, found))
        # Bytes that cannot be bumped any more are still sent again.
        again += [i.attempt for i in asked if isinstance(i, Bump) and _is_in(to_sign, i.action)]
        return Plan(tuple(closed), tuple(to_sign), tuple(again), tuple(held))

    def sign(
        self, to_sign: Sequence[ToSign], attempts: Sequence[Attempt], moment: Moment, now: int
    ) -> tuple[tuple[Action, ...], tuple[Attempt, ...], tuple[str, ...]]:
        """Sign, and put rows and bytes on disk in one go. Returns both, and what stands still."""
        rows: list[Action] = []
        made: list[Attempt] = []
        held: list[str] = []
        for item in to_sign:
            before = [attempt.fees for attempt in attempts if attempt.nonce == item.nonce]
            fees = bumped(moment.fees, before)
            if fees is None:
                held.append(f"{item.action.key}: its fee is at the ceiling")
                continue
            attempt = self._attempt(item, fees, moment.head)
            made.append(attempt)
            rows.append(
                replace(
                    item.action,
                    state=State.CANCELLING if item.cancels else State.SENT,
                    nonce=item.nonce,
                    tx_hash=attempt.tx_hash,
                    updated=now,
                )
            )
        if rows:
            self._store.write(rows, made)
        return tuple(rows), tuple(made), tuple(held)

    async def broadcast(self, attempts: Sequence[Attempt]) -> tuple[str, ...]:
        """Send signed bytes, lowest nonce first; returns what nodes objected to."""
        newest = {attempt.nonce: attempt for attempt in attempts}
        if not newest:
            return ()
        ordered = [newest[nonce] for nonce in sorted(newest)]
        calls = [Call("eth_sendRawTransaction", (to_data(a.raw),)) for a in ordered]
        problems: list[str] = []
        refused: list[Attempt] = []
        for attempt, answer in zip(ordered, await self._node.batch(calls), strict=True):
            if isinstance(answer, RpcError) and not _already_there(answer):
                problems.append(f"{attempt.key}: {answer.message}")
                if _too_cheap(answer):
                    refused.append(replace(attempt, refused=True))
        if refused:
            self._store.write(attempts=refused)
        return tuple(problems)

    def _attempt(self, item: ToSign, fees: Fees, head: int) -> Attempt:
        action = item.action
        target, data = action.target, action.calldata
        if item.cancels:
            target, data = self._wallet.address, b""
        signed = self._wallet.sign(
            self._chain_id, Payload(item.nonce, target, data, item.gas, fees)
        )
        return Attempt(
            signed.hash, action.key, item.nonce, signed.raw, item.cancels, item.gas, fees, head
        )


def _cleared(action: Action, nonce: int, found: Cleared) -> ToSign:
    return ToSign(action, nonce, found.gas)


def _is_in(to_sign: Sequence[ToSign], action: Action) -> bool:
    return any(item.action.key == action.key for item in to_sign)


def _already_there(error: RpcError) -> bool:
    """Geth: "already known"; anvil: "transaction already imported"; others alike."""
    text = error.message.lower()
    return "already" in text and any(word in text for word in ("known", "imported", "exists"))


def _too_cheap(error: RpcError) -> bool:
    """Geth: "replacement transaction underpriced", "max fee per gas less than block base fee"."""
    text = error.message.lower()
    return "underpriced" in text or "less than block base fee" in text
