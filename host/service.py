"""The host daemon: wires the chain, the outbox, documents and the guest, and runs them together.

One loop follows the chain; everything that happens there becomes news for the guest or a turn to take.
Losing this process costs time and nothing else: what it promised is in the outbox.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Coroutine
from pathlib import Path

from guest.protocol.digests import document_hash
from guest.protocol.errors import ReplicatoorError, Unavailable
from guest.protocol.link import FromGuest, HeadSeen, PostOnboards
from host import posts, roster_file
from host.chain import abi
from host.chain.events import Onboarded, SeenEvent
from host.chain.hexdata import data, members, to_data
from host.chain.rpc import Node
from host.chain.scanner import Scanner, Step
from host.chain.sender import Sender
from host.collateral import CollateralSource
from host.config import Config
from host.documents.archive import Archive
from host.documents.relay import RelayClient
from host.guest_desk import Desk, GuestDesk, Views
from host.guest_link import GuestLink
from host.guest_process import GuestProcess
from host.late_views import LateViews
from host.newcomers import Newcomers
from host.standing import Standing

_LOG = logging.getLogger(__name__)
REPUBLISH = 5
"""Blocks after which our own guest's document goes out again while nobody has answered it."""
HEAD_EVERY = 15.0
"""Seconds after which the head is told again: the guest takes silence for death."""
MAX_CALLDATA = 160 * 1024
REVIVED_FOR = 2 * 3600
"""Seconds for which what others had done for us is done again after a reorg."""
STATUS_FILE = "status.json"
ROSTER_FILE = "roster"


class Service:
    """One host."""

    def __init__(
        self,
        config: Config,
        node: Node,
        scanner: Scanner,
        sender: Sender | None,
        views: Views,
        relay: RelayClient,
        archive: Archive,
        collateral: CollateralSource,
    ) -> None:
        """Take the parts; `run` starts them."""
        self._config = config
        self._node = node
        self._scanner = scanner
        self._sender = sender
        self._relay = relay
        self._archive = archive
        self._standing = Standing(node, config.network.contract)
        self._roster_file = config.data_dir / ROSTER_FILE
        self._roster = roster_file.load(self._roster_file, config.network.contract)
        self._published_at = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._link = GuestLink(config.guest_socket, self._heard, self._connected)
        self._views = LateViews(views, self._head, lambda n: self._link.send(HeadSeen(n)))
        desk = Desk(
            self._views,
            collateral.fetch,
            self._document,
            self._publish,
            self._answering,
            self._standing.is_done,
        )
        self._desk = GuestDesk(
            config.network, desk, sender, self._link.send, bootstrap=config.bootstrap
        )
        self._newcomers = Newcomers(self._roster, self._desk, self._registered, self._spawn)

    async def run(self) -> None:
        """Run until cancelled; raises `Misconfigured` for what no retry mends."""
        await self._link.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._repeat_head())
                if self._config.guest_command:
                    log = self._config.data_dir / "guest.log"
                    guest = GuestProcess(self._config.guest_command, log, lambda: self._link.up)
                    group.create_task(guest.run())
                if self._sender is not None:
                    group.create_task(self._sender.run())
                    group.create_task(self._outcomes(self._sender))
        finally:
            for task in self._tasks:
                task.cancel()
            self._views.stop()
            await self._link.stop()

    # --- the chain ------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for step in self._scanner.steps():
            await self._stepped(step)

    async def _stepped(self, step: Step) -> None:
        if step.reorg is not None:
            self._roster.rewind(step.reorg.common_ancestor)
        self._roster.forget(step.head.number)
        for seen in step.events:
            self._roster.apply(seen)
            await self._told(seen)
        if step.events:  # before the scanner's cursor moves past them
            roster_file.save(self._roster_file, self._config.network.contract, self._roster)
        if self._sender is not None:
            self._sender.new_head(reorg=step.reorg is not None)
            if step.reorg is not None:
                since = int(time.time()) - REVIVED_FOR
                await self._sender.revive(self._standing.is_done, since=since)
        await self._link.send(HeadSeen(step.head.number))
        if self._desk.is_member and not step.behind:
            self._newcomers.offer_due(step.head.number, step.head.timestamp)
        self._publish_again(step)
        self._write_status()

    async def _told(self, seen: SeenEvent) -> None:
        if isinstance(seen.event, Onboarded):
            await self._desk.onboarded(seen.event)

    async def _repeat_head(self) -> None:
        while True:
            await asyncio.sleep(HEAD_EVERY)
            await self._link.send(HeadSeen(self._head() or 0))
            self._write_status()

    async def _outcomes(self, sender: Sender) -> None:
        while True:
            await self._desk.outcome(await sender.outcomes.get())  # waits: for the next change
            self._write_status()

    # --- newcomers ------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run something beside the loops; what is left at the end is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answering(self, post: PostOnboards) -> None:
        """Before an answer goes out: its evidence is published again and its registration kept.

        No hand-over without a registration: what a reorg drops of those we answered goes back to the
        chain, also if this process died in between.
        """
        for item in post.items:
            waiting = self._roster.pending.get(item.node)
            if waiting is None:
                continue
            if self._sender is not None:
                self._sender.keep(
                    f"register-again/{item.node.hex()}",
                    "register",
                    self._config.network.contract,
                    posts.registration(waiting.event),
                    good_until=waiting.event.anchor_number + posts.ANCHOR_LIFE,
                )
            document = self._archive.get(waiting.document_hash)
            if document is not None:
                self._spawn(self._publish(document))

    # --- documents ------------------------------------------------------------------------------

    async def _document(self, wanted: bytes) -> bytes:
        """Return a document by hash: our archive, the relays, or, for the genesis, the chain."""
        known = self._archive.get(wanted)
        if known is not None:
            return known
        if self._roster.genesis_tx:
            try:
                calldata = await self._calldata_of(self._roster.genesis_tx)
                genesis = abi.decode_call("bootstrap", calldata)[-1]
                if isinstance(genesis, bytes) and document_hash(genesis) == wanted:
                    self._archive.put(genesis)
                    return genesis
            except ReplicatoorError as error:
                _LOG.info("the genesis transaction: %s", error)
        return await self._registered(wanted)

    async def _registered(self, wanted: bytes) -> bytes:
        """Return a newcomer's document by hash, which is never on the chain: archive or relays."""
        known = self._archive.get(wanted)
        if known is None:
            known = await self._relay.fetch(wanted)
            self._keep(known)
        return known

    def _publish_again(self, step: Step) -> None:
        """While our own guest waits: a relay that was restarted has lost what it held."""
        waiting = self._roster.pending.get(self._desk.node)
        if waiting is None or waiting.answered or step.behind:
            return
        document = self._archive.get(waiting.document_hash)
        if document is None or step.head.number - self._published_at < REPUBLISH:
            return
        self._published_at = step.head.number
        self._spawn(self._publish(document))

    def _keep(self, document: bytes) -> None:
        """Archive a document; a full archive stops no join."""
        try:
            self._archive.put(document)
        except ReplicatoorError as error:
            _LOG.warning("a document is not kept: %s", error)

    async def _publish(self, document: bytes) -> None:
        self._keep(document)
        try:
            await self._relay.publish(document)
        except ReplicatoorError as error:
            _LOG.warning("a document is not published: %s", error)

    async def _calldata_of(self, tx_hash: bytes) -> bytes:
        answer = await self._node.call("eth_getTransactionByHash", to_data(tx_hash))
        if answer is None:
            raise Unavailable("the node does not know the transaction", got=tx_hash)
        return data(
            members(answer, "a transaction").get("input"),
            "a transaction's input",
            max_size=MAX_CALLDATA,
        )

    # --- the guest ------------------------------------------------------------------------------

    async def _heard(self, message: FromGuest) -> None:
        await self._desk.heard(message)
        self._write_status()

    async def _connected(self) -> None:
        await self._desk.connected(self._head())

    def _head(self) -> int | None:
        head = self._scanner.head
        return head.number if head else None

    def _write_status(self) -> None:
        """Leave the present state where `replicatoor status` finds it, whole or not at all."""
        report, head = self._desk.report, self._scanner.head
        content = {
            "at": int(time.time()),
            "head": head.number if head else None,
            "guest": self._link.up,
            "state": report.state if report else "",
            "detail": report.detail if report else "",
            "node": "0x" + self._desk.node.hex(),
            "epoch": report.epoch if report else 0,
            "xPub": "0x" + report.x_pub.hex() if report else "",
            "fingerprint": report.fingerprint.hex() if report else "",
            "members": len(self._roster.members),
            "pending": sum(not waiting.answered for waiting in self._roster.pending.values()),
            "outbox": len(self._sender.open_actions()) if self._sender else 0,
            "trouble": [
                text
                for text in (self._scanner.trouble, self._sender.trouble if self._sender else "")
                if text
            ],
            "dry": self._sender is None,
        }
        path = self._config.data_dir / STATUS_FILE
        fresh = path.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(content, indent=1) + "\n")
            os.replace(fresh, path)  # noqa: PTH105 - atomic, and says so
        except OSError as error:
            _LOG.warning("the status file cannot be written: %s", error.strerror)


def prepare(path: Path) -> None:
    """Make the data folder, readable by its user only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
