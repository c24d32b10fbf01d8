"""Offers to a member's guest: nobody's junk keeps an honest newcomer's document from its turn."""

import asyncio
from collections.abc import Coroutine

from guest.protocol import document as document_format
from guest.protocol.digests import document_hash
from guest.protocol.document import UnverifiedDocument
from guest.protocol.errors import Unavailable
from guest.protocol.link import FromHost, Newcomer
from guest.protocol.messages import Register
from host.chain.blocks import BlockRef
from host.chain.events import Confirmed, Registered, SeenEvent
from host.newcomers import REPEAT_OFFER, Newcomers
from host.roster import Roster

MEMBER = b"\x01" * 20


def document(node: bytes) -> bytes:
    claim = Register(node, bytes(32), bytes(32), 0, bytes(32))
    return document_format.encode(UnverifiedDocument(1, claim, None, bytes(1216), b"", b"", b""))


class Desk:
    """What offers need of the desk."""

    def __init__(self) -> None:
        self.node = MEMBER
        self.offered: list[bytes] = []

    def turned_away(self, _: bytes) -> str | None:
        return None

    async def offer(self, data: bytes) -> None:
        message: FromHost = Newcomer(data)
        self.offered.append(message.document)


class Scene:
    def __init__(self) -> None:
        self.roster = Roster()
        self.roster.apply(self.seen(Confirmed(MEMBER, bytes(32), 10**9)))
        self.documents: dict[bytes, bytes] = {}
        self.asked: list[bytes] = []
        self.desk = Desk()
        self.running: list[Coroutine[None, None, None]] = []
        self.newcomers = Newcomers(self.roster, self.desk, self.fetch, self.running.append)

    @staticmethod
    def seen(event: Confirmed | Registered) -> SeenEvent:
        return SeenEvent(event, BlockRef(5, bytes(32)), bytes(32), 0)

    def registered(self, node: bytes, named: bytes) -> None:
        event = Registered(node, bytes(32), bytes(32), 0, bytes(32), named, 0, 10_000, bytes(65))
        self.roster.apply(self.seen(event))

    async def fetch(self, named: bytes) -> bytes:
        self.asked.append(named)
        if named not in self.documents:
            raise Unavailable("no relay has the document")
        return self.documents[named]

    def head(self, number: int, now: int = 100) -> None:
        self.newcomers.offer_due(number, now)
        running, self.running[:] = list(self.running), []

        async def finish() -> None:
            for offer in running:
                await offer

        asyncio.run(finish())


def test_a_document_of_another_node_is_dropped_for_good() -> None:
    scene = Scene()
    victim, thief = b"\x0a" * 20, b"\x0b" * 20
    stolen = document(victim)
    scene.documents[document_hash(stolen)] = stolen
    scene.registered(thief, document_hash(stolen))
    for number in range(6, 600, REPEAT_OFFER):
        scene.head(number)
    assert scene.desk.offered == []
    assert len(scene.asked) == 1


def test_documents_that_nobody_has_are_asked_for_ever_more_rarely() -> None:
    scene = Scene()
    scene.registered(b"\x0a" * 20, b"\x77" * 32)
    for number in range(6, 6 + 64 * REPEAT_OFFER):
        scene.head(number)
    assert 4 <= len(scene.asked) <= 8


def test_who_was_never_tried_goes_before_who_failed() -> None:
    scene = Scene()
    for i in range(300):
        scene.registered(i.to_bytes(20, "big"), i.to_bytes(32, "big"))
    scene.head(6)
    good = document(b"\x0a" * 20)
    scene.documents[document_hash(good)] = good
    scene.registered(b"\x0a" * 20, document_hash(good))
    scene.head(6 + REPEAT_OFFER)
    assert scene.desk.offered == [good]


def test_a_registration_past_its_hour_is_offered_no_more() -> None:
    scene = Scene()
    good = document(b"\x0a" * 20)
    scene.documents[document_hash(good)] = good
    scene.registered(b"\x0a" * 20, document_hash(good))
    scene.head(6, now=10_001)
    assert scene.desk.offered == []
