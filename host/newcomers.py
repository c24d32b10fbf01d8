"""Brings newcomers' documents to a member's guest: in turn, fairly, and only what fits its registration.

Anyone can register for gas and name a document that nobody has, or one that speaks of somebody else.
Neither may keep an honest newcomer waiting: first tries go before repeats, repeats grow rarer, and a
document whose own node is not the registered one is dropped for good.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from guest.protocol import document as document_format
from guest.protocol.errors import MalformedInput, ReplicatoorError
from host.guest_desk import GuestDesk
from host.roster import Pending, Roster

_LOG = logging.getLogger(__name__)
REPEAT_OFFER = 10
"""Blocks after which a newcomer that still waits is offered to the guest again; doubled each time."""
MAX_DOUBLINGS = 5
MAX_FETCHES = 32
"""Documents fetched at once."""
MAX_OFFERS = 256
"""Newcomers whose documents are wanted at once: as many as a member's guest keeps."""


@dataclass(frozen=True, slots=True)
class _Tried:
    attempt: int
    at: int
    tries: int


class Newcomers:
    """Offers for one guest."""

    def __init__(
        self,
        roster: Roster,
        desk: GuestDesk,
        fetch: Callable[[bytes], Awaitable[bytes]],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        """Take documents from `fetch`, by hash; run offers beside each other through `spawn`."""
        self._roster = roster
        self._desk = desk
        self._fetch = fetch
        self._spawn = spawn
        self._tried: dict[bytes, _Tried] = {}
        self._fetching: set[bytes] = set()
        self._fetches = asyncio.Semaphore(MAX_FETCHES)
        self._junk: set[bytes] = set()

    def offer_due(self, head: int, now: int) -> None:
        """Offer whoever waits and whose turn with our guest has come; `now` is the head's time."""
        self._forget()
        due = [w for w in self._roster.pending.values() if self._is_due(w, head, now)]
        due.sort(key=self._tries)
        for waiting in due[: MAX_OFFERS - len(self._fetching)]:
            self._fetching.add(waiting.node)
            self._tried[waiting.node] = _Tried(waiting.attempt, head, self._tries(waiting) + 1)
            self._spawn(self._offer(waiting))

    def _is_due(self, waiting: Pending, head: int, now: int) -> bool:
        if waiting.answered or waiting.node == self._desk.node or now > waiting.expires:
            return False
        if waiting.node in self._fetching or waiting.document_hash in self._junk:
            return False
        if self._desk.turned_away(waiting.document_hash) is not None:
            return False
        tried = self._tried.get(waiting.node)
        if tried is not None and tried.attempt == waiting.attempt:
            pause = REPEAT_OFFER << min(tried.tries - 1, MAX_DOUBLINGS)
            if head - tried.at < pause:
                return False
        return self._roster.my_turn(waiting, self._desk.node, head, now)

    def _tries(self, waiting: Pending) -> int:
        tried = self._tried.get(waiting.node)
        return tried.tries if tried is not None and tried.attempt == waiting.attempt else 0

    async def _offer(self, waiting: Pending) -> None:
        try:
            async with self._fetches:  # waits: each fetch has a limit
                document = await self._fetch(waiting.document_hash)
            if _speaks_of(document, waiting.node):
                await self._desk.offer(document)
            else:
                self._junk.add(waiting.document_hash)
        except ReplicatoorError as error:
            _LOG.warning("newcomer 0x%s: %s", waiting.node.hex(), error)
        finally:
            self._fetching.discard(waiting.node)

    def _forget(self) -> None:
        """Keep nothing about nodes that the roster has dropped."""
        pending = self._roster.pending
        if len(self._tried) > 2 * len(pending) + MAX_OFFERS:
            self._tried = {node: tried for node, tried in self._tried.items() if node in pending}
        if len(self._junk) > 2 * len(pending) + MAX_OFFERS:
            self._junk &= {waiting.document_hash for waiting in pending.values()}


def _speaks_of(document: bytes, node: bytes) -> bool:
    """Whether a document claims to be this node's registration."""
    try:
        claim = document_format.decode(document).register
    except MalformedInput:
        return False
    return claim is not None and claim.node == node
