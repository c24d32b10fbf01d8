"""The outbox's decisions: rows and chain facts in, intentions out. No I/O, no clock, no keys.

The unit is the *action* (one key, done once), not its bytes. An action gets one nonce, and another
only when the chain has proven, finally, that something else consumed the first. All bytes ever signed
for it (*attempts*) stay listed, since any of them may still be mined; the receipts decide.

    intended --sign--> sent --receipt--> mined --finality--> final
       |                |  <--reorg drops it--
       |                +--cannot succeed any more--> stale (the caller re-signs, or it is cancelled)
       +--refused before it was sent--> failed | superseded | stale
    cancelling: its nonce is filled with an empty transfer, so that later nonces can go on; then
    failed or superseded, as `verdict` says, unless the real bytes were mined first after all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.chain.actions import TERMINAL, Action, Attempt, Facts, Receipt, State

MAX_IN_FLIGHT = 8
"""Consecutive nonces that wait at once; nodes drop long queues."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Numbers of blocks: until a stuck transaction is bumped, until a stale action is given up.

    `stale_blocking` counts while the stale action's nonce holds up others.
    """

    stuck: int = 3
    stale: int = 64
    stale_blocking: int = 4


@dataclass(frozen=True, slots=True)
class Update:
    """Store this row, and tell the caller if the state changed."""

    action: Action


@dataclass(frozen=True, slots=True)
class Send:
    """Check the action, then sign new bytes at `nonce`, over whatever was there."""

    action: Action
    nonce: int


@dataclass(frozen=True, slots=True)
class Resend:
    """Check the action, then send the same bytes again: the pool lost them, or never had them."""

    action: Action
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Bump:
    """Check the action, then sign it again at its nonce with higher fees."""

    action: Action
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Cancel:
    """Sign an empty transfer at the action's nonce."""

    action: Action


@dataclass(frozen=True, slots=True)
class Fill:
    """Some nonce below ours is used by nobody: fill it, or ours would wait for ever."""

    nonce: int


Intention = Update | Send | Resend | Bump | Cancel | Fill


def decide(
    actions: Sequence[Action],
    attempts: Sequence[Attempt],
    facts: Facts,
    patience: Patience | None = None,
) -> tuple[Intention, ...]:
    """Return what to do now: at most one intention for an action, oldest actions first.

    `actions` are all that are not terminal, and terminal ones that own a nonce >= `facts.count`;
    `attempts` are all attempts of these.
    """
    patience = patience or Patience()
    by_key: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_key.setdefault(attempt.key, []).append(attempt)
    used = {attempt.nonce for attempt in attempts if attempt.nonce >= facts.count}
    blocked = any(nonce > facts.count for nonce in used)
    intentions: list[Intention] = []
    for action in actions:
        tried = by_key.get(action.key, [])
        mined = next((a for a in tried if _counts(a, action, facts)), None)
        intention: Intention | None
        if mined is not None:
            intention = _mined(action, facts.receipts[mined.tx_hash], facts, cancels=mined.cancels)
        elif action.nonce is not None and tried:
            intention = _with_nonce(action, tried, facts, patience, blocked=blocked)
        else:
            intention = _without_nonce(action, facts, patience, used)
            if isinstance(intention, Send):
                used.add(intention.nonce)
        if intention is not None:
            intentions.append(intention)
    lowest = min(used, default=facts.count)
    if facts.count < lowest and facts.pending_count <= facts.count:
        intentions.append(Fill(facts.count))
    return tuple(intentions)


def _counts(attempt: Attempt, action: Action, facts: Facts) -> bool:
    """Whether this attempt was mined and decides: at the present nonce, or with success anywhere."""
    receipt = facts.receipts.get(attempt.tx_hash)
    if receipt is None:
        return False
    return attempt.nonce == action.nonce or (receipt.succeeded and not attempt.cancels)


def _with_nonce(
    action: Action, tried: list[Attempt], facts: Facts, patience: Patience, *, blocked: bool
) -> Intention | None:
    nonce = tried[-1].nonce
    if facts.count <= nonce:
        return _not_mined(action, tried, facts, patience, blocked=blocked)
    if action.state in TERMINAL or facts.final_count <= nonce:
        return None  # consumed, by a block that may go: wait until it is final, or ours appears
    if action.verdict is not None:
        return _ended(action, action.verdict, facts)
    # Something else holds the nonce for good. The one case in which an action gets another.
    return Update(
        replace(
            action,
            state=State.INTENDED,
            nonce=None,
            tx_hash=None,
            block=None,
            detail="its nonce was used by a transaction that is not ours",
            changed_at=facts.head,
        )
    )


def _mined(action: Action, receipt: Receipt, facts: Facts, *, cancels: bool) -> Intention | None:
    """Record where it stands; end it once that block is final."""
    verdict, detail = action.verdict, action.detail
    if receipt.succeeded and not cancels:
        verdict, detail = None, ""
    elif verdict is None:
        verdict = State.FAILED
        detail = detail or f"reverted in block {receipt.block.number}"
    final = receipt.block.number <= facts.finalized
    state = (verdict or State.FINAL) if final else State.MINED
    now = replace(
        action,
        state=state,
        verdict=verdict,
        detail=detail,
        tx_hash=receipt.tx_hash,
        block=receipt.block,
        gas_used=receipt.gas_used,
    )
    return None if now == action else Update(replace(now, changed_at=facts.head))


def _not_mined(
    action: Action, tried: list[Attempt], facts: Facts, patience: Patience, *, blocked: bool
) -> Intention | None:
    nonce = tried[-1].nonce
    if action.state is State.MINED or action.state in TERMINAL:
        # A reorg took it back, even though some said that it was final.
        cancelled = tried[-1].cancels
        return Update(
            replace(
                action,
                state=State.CANCELLING if cancelled else State.SENT,
                verdict=action.verdict if cancelled else None,
                block=None,
                gas_used=None,
                changed_at=facts.head,
            )
        )
    if action.state is State.STALE:
        limit = patience.stale_blocking if blocked else patience.stale
        return _given_up(action, facts) if facts.head - action.changed_at >= limit else None
    live = tried[-1]
    if action.state is State.CANCELLING and not live.cancels:
        return Cancel(action)
    if action.state is not State.CANCELLING and _is_past(action, facts):
        return _stale(action, facts)
    if action.state is State.INTENDED:
        return Send(action, nonce)
    # What a reorg put back gets its time anew: the same bytes are good.
    waiting_since = max(live.made_at, action.changed_at)
    stuck = live.refused or facts.head - waiting_since >= patience.stuck
    if nonce == facts.count and stuck:
        return Bump(action, live)
    return None if live.tx_hash in facts.in_pool else Resend(action, live)


def _without_nonce(
    action: Action, facts: Facts, patience: Patience, used: set[int]
) -> Intention | None:
    if action.state is State.STALE:
        old = facts.head - action.changed_at >= patience.stale
        return _given_up(action, facts) if old else None
    if action.state is not State.INTENDED:
        return _ended(action, action.verdict or State.FAILED, facts)
    if _is_past(action, facts):
        return _stale(action, facts)
    if len(used) >= MAX_IN_FLIGHT:
        return None
    # Nonces that the pool holds and we do not know are left alone: a lost database, an operator.
    nonce = max(facts.count, facts.pending_count)
    while nonce in used:
        nonce += 1
    return Send(action, nonce)


def after_check(action: Action, *, done: bool, problem: str, stale: bool, head: int) -> Action:
    """Return the row of an action that must not be sent (again): what it wanted stands, or cannot.

    `problem` says why it reverts; `stale` that new calldata would help.
    """
    if not done and stale:
        return replace(action, state=State.STALE, detail=problem, changed_at=head)
    verdict = State.SUPERSEDED if done else State.FAILED
    return _closed(replace(action, detail="" if done else problem, changed_at=head), verdict)


def _is_past(action: Action, facts: Facts) -> bool:
    return action.good_until is not None and facts.head > action.good_until


def _stale(action: Action, facts: Facts) -> Update:
    detail = f"its block is too old since block {action.good_until}"
    return Update(replace(action, state=State.STALE, detail=detail, changed_at=facts.head))


def _given_up(action: Action, facts: Facts) -> Update:
    detail = action.detail or "stale"
    detail = f"{detail}; nothing new was signed in {facts.head - action.changed_at} blocks"
    return Update(_closed(replace(action, detail=detail, changed_at=facts.head), State.FAILED))


def _closed(action: Action, verdict: State) -> Action:
    """End an action at once, or, while a nonce hangs on it, by way of cancelling."""
    state = verdict if action.nonce is None else State.CANCELLING
    return replace(action, state=state, verdict=verdict)


def _ended(action: Action, verdict: State, facts: Facts) -> Update:
    return Update(replace(action, state=verdict, verdict=verdict, changed_at=facts.head))
