"""What the host does for its guest: answers its requests, posts its messages, brings it news.

Owns the conversation over the link. It decides nothing of security: views, documents and collateral are
fetched and passed on, and the guest judges them.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from guest.protocol import link
from guest.protocol.errors import (
    MalformedInput,
    ProtocolViolation,
    ReplicatoorError,
)
from guest.protocol.link import (
    CollateralFound,
    FromGuest,
    FromHost,
    GenesisFound,
    HandedOver,
    HeadSeen,
    Hello,
    NeedCollateral,
    NeedGenesis,
    NeedView,
    Newcomer,
    PostBootstrap,
    PostOnboards,
    PostRegister,
    Posts,
    Report,
    Stale,
    Stored,
    Turned,
    UnverifiedView,
    View,
    Welcome,
)
from guest.protocol.network import Network
from guest.protocol.sizes import ZERO_ADDRESS
from host import posts
from host.chain.actions import TERMINAL, Action, State
from host.chain.events import Onboarded
from host.chain.outcomes import ActionOutcome
from host.chain.sender import Sender

_LOG = logging.getLogger(__name__)
MAX_TURNED = 4096
MAX_CONFIRMS_AGAIN = 4
"""Times that a Confirm is sent again in one run; each costs a transaction if it reverts."""
MAX_CALLS = 64
MAX_REMEMBERED = 512
"""Answers of others kept for a guest whose address we may learn only after the event."""
MAX_TASKS = 32
ANSWER_LIMIT = 55.0
"""Seconds for an answer: below the 60 after which the guest gives the request up."""


class Views(Protocol):
    """Fetches proofs; `host.chain.proofs` does."""

    async def fetch(self, need: NeedView) -> UnverifiedView:
        """Return what was asked for; raises `ReplicatoorError`."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the desk gets what the guest asks for."""

    views: Views
    collateral: Callable[[bytes, str], Awaitable[bytes]]
    document: Callable[[bytes], Awaitable[bytes]]
    publish: Callable[[bytes], Awaitable[None]]
    answering: Callable[[PostOnboards], Awaitable[None]]
    is_done: Callable[[Action], Awaitable[bool]]


class GuestDesk:
    """One guest's conversation."""

    def __init__(
        self,
        network: Network,
        desk: Desk,
        sender: Sender | None,
        send: Callable[[FromHost], Awaitable[None]],
        *,
        bootstrap: bool,
    ) -> None:
        """Speak to the guest through `send`; without a `sender` everything runs dry."""
        self._network = network
        self._desk = desk
        self._sender = sender
        self._send = send
        self._bootstrap = bootstrap
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: OrderedDict[tuple[bytes, int, bytes], Onboarded] = OrderedDict()
        self._turned: OrderedDict[bytes, str] = OrderedDict()
        self._confirmed_again: dict[str, int] = {}
        self.node = ZERO_ADDRESS
        """The guest's present address, as it says."""
        self._tell_again = False
        self.report: Report | None = None
        self.dry: list[str] = []
        """What would have been posted, without a key."""

    @property
    def is_member(self) -> bool:
        """Whether the guest says that it is an active member."""
        return self.report is not None and self.report.state == "active"

    # --- news for the guest ---------------------------------------------------------------------

    async def connected(self, head: int | None) -> None:
        """Greet a guest that has just dialled."""
        self._tell_again = True  # what a lost connection swallowed, once it has said who it is
        await self._send(Welcome(link.VERSION, self._bootstrap))
        if self._sender is not None:
            for action in self._sender.open_actions():
                if action.state is State.STALE:
                    await self._send(Stale(posts.guest_key(action.key)))
        if head is not None:
            await self._send(HeadSeen(head))

    async def onboarded(self, event: Onboarded) -> None:
        """Remember an answer; pass it on if it is for our guest."""
        key = (event.node, event.attempt, event.by)
        self._answers[key] = event
        self._answers.move_to_end(key)
        while len(self._answers) > MAX_REMEMBERED:
            self._answers.popitem(last=False)
        if event.node == self.node:
            await self._hand_over(event)

    async def offer(self, document: bytes) -> None:
        """Offer a newcomer's document to a member."""
        await self._send(Newcomer(document))

    def turned_away(self, document_hash: bytes) -> str | None:
        """Return why our guest refused a document for good, or None."""
        return self._turned.get(document_hash)

    async def outcome(self, outcome: ActionOutcome) -> None:
        """Tell the guest what only it can mend."""
        mined_in_vain = outcome.state is State.MINED and outcome.verdict is State.FAILED
        if mined_in_vain or outcome.state in (State.STALE, State.FAILED):
            _LOG.info("%s is %s: %s", outcome.key, outcome.state, outcome.detail)
            if outcome.kind == "confirm" and self._confirm_again(outcome):
                return
            if await self._stands(outcome.key):
                return  # somebody else did the same for us
            await self._send(Stale(posts.guest_key(outcome.key)))

    async def _stands(self, key: str) -> bool:
        """Whether what a failed action wanted stands all the same; in doubt it does not."""
        action = None if self._sender is None else self._sender.find(key)
        try:
            return action is not None and await self._desk.is_done(action)  # waits: RPC has limits
        except ReplicatoorError:
            return False

    def _confirm_again(self, outcome: ActionOutcome) -> bool:
        """Send a Confirm again that was mined, after a reorg, before its Onboard; it never goes stale."""
        key = posts.guest_key(outcome.key)
        again = self._confirmed_again.get(key, 0)
        failed = None if self._sender is None else self._sender.find(outcome.key)
        if self._sender is None or failed is None or again >= MAX_CONFIRMS_AGAIN:
            return False
        self._confirmed_again[key] = again + 1
        while len(self._confirmed_again) > MAX_CALLS:
            del self._confirmed_again[next(iter(self._confirmed_again))]
        try:
            later = f"{key}{posts.KEY_MARK}{failed.nonce}"
            self._sender.submit(later, "confirm", failed.target, failed.calldata)
        except ReplicatoorError as error:
            _LOG.warning("%s: %s", key, error)
        return True

    # --- what the guest says --------------------------------------------------------------------

    async def heard(self, message: FromGuest) -> None:
        """Act on one frame. Fetches run beside each other; posts are stored in the order they came."""
        match message:
            case Hello():
                self._greeted(message)
            case NeedView() | NeedCollateral() | NeedGenesis():
                if len(self._tasks) >= MAX_TASKS:
                    raise ProtocolViolation("the guest asks for too much at once")
                task = asyncio.get_running_loop().create_task(self._answer(message))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Turned(document_hash, reason, final):
                if not final:
                    return  # a rejection, a reorg or a block may change that: offered again later
                self._turned[document_hash] = reason
                while len(self._turned) > MAX_TURNED:
                    self._turned.popitem(last=False)
            case Report():
                await self._reported(message)
            case _:
                await self._post(message)

    def _greeted(self, hello: Hello) -> None:
        ours = (self._network.network_id, self._network.chain_id, self._network.contract)
        if (hello.network_id, hello.chain_id, hello.contract) != ours:
            raise ProtocolViolation(
                "the guest has another network file than this host", got=hello.network_id
            )

    async def _reported(self, report: Report) -> None:
        self.report = report
        known = report.node == self.node and not self._tell_again
        if report.node != ZERO_ADDRESS and not known:
            self.node, self._tell_again = report.node, False
            for event in list(self._answers.values()):
                if event.node == self.node:
                    await self._hand_over(event)

    async def _hand_over(self, event: Onboarded) -> None:
        await self._send(HandedOver(event.by, event.epoch, event.attempt, event.ciphertext))

    async def _answer(self, request: NeedView | NeedCollateral | NeedGenesis) -> None:
        answer: View | CollateralFound | GenesisFound
        try:
            match request:
                case NeedView():
                    answer = View(request.request, None)
                    answer = View(request.request, await self._desk.views.fetch(request))
                case NeedCollateral():
                    answer = CollateralFound(request.request, b"")
                    async with asyncio.timeout(ANSWER_LIMIT):
                        found = await self._desk.collateral(request.fmspc, request.ca)
                    answer = CollateralFound(request.request, found)
                case NeedGenesis():
                    async with asyncio.timeout(ANSWER_LIMIT):
                        found = await self._desk.document(request.document_hash)
                    answer = GenesisFound(request.request, found)
        except (ReplicatoorError, TimeoutError) as error:
            _LOG.warning("%s: %s", type(request).__name__, error)
            if isinstance(request, NeedGenesis):
                return  # the guest asks again
            answer = (
                View(request.request, None)
                if isinstance(request, NeedView)
                else CollateralFound(request.request, b"")
            )
        await self._send(answer)

    async def _post(self, post: Posts) -> None:
        """Put a post in the outbox, then say so; documents go out before what commits to them."""
        if isinstance(post, PostRegister):
            self.node = post.message.node
        if isinstance(post, PostRegister | PostBootstrap):
            await self._desk.publish(post.document)
        if isinstance(post, PostOnboards):
            await self._desk.answering(post)  # waits: node and relays have limits
        call = posts.call_of(post)
        if self._sender is None:
            self.dry.append(call.key)
            _LOG.warning("dry run: %s would be sent", call.key)
            return
        try:
            self._store(self._sender, call)
        except (ProtocolViolation, MalformedInput) as error:
            _LOG.warning("%s is not stored: %s", call.key, error)
        await self._send(Stored(post.key))

    def _store(self, sender: Sender, call: posts.Call) -> None:
        known = self._latest(sender, call.key)
        target = self._network.contract
        if known is None:
            sender.submit(
                call.key, call.function, target, call.calldata, good_until=call.good_until
            )
        elif not call.replaces or known.calldata == call.calldata:
            return
        elif known.state in TERMINAL or known.state is State.MINED:
            sender.submit(
                posts.later_key(call),
                call.function,
                target,
                call.calldata,
                good_until=call.good_until,
            )
        else:
            sender.replace(known.key, call.calldata, good_until=call.good_until)

    @staticmethod
    def _latest(sender: Sender, key: str) -> Action | None:
        """Return the newest try of an action: the one under its plain key, or a later one."""
        open_tries = [a for a in sender.open_actions() if posts.guest_key(a.key) == key]
        return open_tries[-1] if open_tries else sender.find(key)
