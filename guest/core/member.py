"""The member: judges newcomers, hands them the secret, renews its lease, and notices its own end.

Newcomers wait in a bounded queue. Each verified view is one chance: everyone who may receive under it
is answered in one message. A ciphertext is made once per (newcomer, attempt) and kept, so that after a
reorg the same one is signed again under a new view.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace

from guest.chain.layout import MeasurementState, NodeRecord, Status, Wanted
from guest.chain.view import ChainView
from guest.core.admission import ANCHOR_OLD, own_standing, require_giver, require_receiver
from guest.core.confirming import CONFIRM_EVERY, confirmation
from guest.core.effects import Effect, Exit, Refusing, Say
from guest.core.events import Quoted, QuoteFailed
from guest.core.identity import Identity
from guest.core.phase import Ask, Context, Standpoint
from guest.core.waiting_room import Waiting, WaitingRoom
from guest.evidence.attestation import AttestedRegistration, verify_registration
from guest.protocol.digests import digest
from guest.protocol.errors import FATAL, MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.keys import EpochKeys
from guest.protocol.link import (
    MAX_BATCH,
    Depart,
    FromHost,
    HandedOver,
    Newcomer,
    OnboardItem,
    PostLeave,
    PostOnboards,
    PostRenew,
    Stale,
    Turned,
)
from guest.protocol.messages import (
    Handover,
    Leave,
    Onboard,
    OnboardBatch,
    OnboardEntry,
    Register,
    Renew,
)
from guest.protocol.primitives import keccak256, seal
from guest.protocol.sizes import Address, Bytes32

MAX_ANSWERS = 4096
"""Ciphertexts kept for re-signing (design: until final or expired)."""
LEASE = 7 * 24 * 3600
HALF_LEASE = LEASE // 2
VIEW_LIFE = 256
"""Blocks after which the contract has forgotten a view's hash."""
ANSWER_LIFE = 2 * 3600
"""Seconds by the chain after which an answer can no longer matter: the hour, twice."""
_OVER = {
    Status.REVOKED: Reason.REVOKED,
    Status.EXPIRED: Reason.EXPIRED,
    Status.UNCONFIRMED: Reason.REGISTRATION_EXPIRED,
    Status.FAILED: Reason.TOO_MANY_REJECTS,
}
_UNDONE = (Status.PENDING, Status.ONBOARDED)
"""Where a reorg may put a member back, and from where only its old Confirm leads on."""
PASSING = (Reason.NOT_YET_FINAL, Reason.MEASUREMENT_NOT_ALLOWED)
"""Refusals that the next view may lift: the newcomer is kept."""
OF_THE_MOMENT = frozenset({*PASSING, Reason.NOT_PENDING, Reason.NOT_ACTIVE, Reason.TIMEOUT})
"""Refusals that say nothing against the document: after a rejection or a reorg it may be offered."""
PATIENCE = 3600
"""Seconds for which a newcomer that may not receive yet is kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A ciphertext made for one newcomer and attempt, and the action that carries it."""

    item: OnboardItem
    key: str
    made: int
    view: int
    stale: bool


class Member:
    """Sans-IO machine of a node that holds the secret."""

    def __init__(
        self, context: Context, identity: Identity, keys: EpochKeys, commitment: Bytes32
    ) -> None:
        """Start as proven Active; `commitment` is the full value whose low 160 bits our slot holds."""
        self._context = context
        self._identity = identity
        self._keys = keys
        self._commitment = commitment
        self._waiting = WaitingRoom(context.network.domain)
        self._answers: OrderedDict[tuple[Address, int], Answer] = OrderedDict()
        self._record: NodeRecord | None = None
        self._final = False
        self._renewing = ""
        self._renew_stale = False
        self._renew_view = 0
        self._head = 0
        self._place_stale = False
        self._confirmed_at = 0
        self._missing_since: int | None = None
        self._depart = False
        self._note = "member"
        self.apps_reason: Reason | None = None
        """Why apps may not be served now, or None while Active stands at the newest header."""

    @property
    def eager(self) -> bool:
        """A head matters while somebody waits for us, or we wait for the chain."""
        stale = any(answer.stale for answer in self._answers.values())
        undone = self._record is not None and self._record.status is not Status.ACTIVE
        return bool(self._waiting or stale or self._renewing or self._depart or undone)

    def ask(self) -> Ask:
        """Own slot and image, and the same of everyone who waits; finalised as well."""
        claims = [waiting.claim for waiting in self._waiting.next(MAX_BATCH)]
        stale = [key for key, answer in self._answers.items() if answer.stale][:MAX_BATCH]
        nodes = {self._identity.address, *(claim.node for claim in claims), *(n for n, _ in stale)}
        images = {self._context.measurement, *(claim.measurement_id for claim in claims)}
        rejected = tuple((node, self._identity.address) for node in sorted(nodes))
        newest = Wanted(
            nodes=tuple(sorted(nodes)),
            measurements=tuple(sorted(images)),
            epochs=(),
            allowed_words=(),
            rejected=rejected,
            genesis=False,
        )
        old = {c.node for c in claims if self._head - c.anchor_number > ANCHOR_OLD}
        own = (self._identity.address, *sorted(old))
        finalised = replace(newest, nodes=own, rejected=())
        return Ask(newest, finalised, 0)

    def wants_more(self, asked: Ask) -> bool:
        """Return whether somebody waits whom no view has shown yet; the others wait for a new head."""
        turn = self._waiting.next(MAX_BATCH)
        return any(not one.looks and not _proves(asked, one.claim) for one in turn)

    def on_view(self, view: ChainView, asked: Ask, at: float) -> list[Effect]:  # noqa: ARG002
        """Look at our own place first; then answer whoever may be answered."""
        mine = view.newest.node(self._identity.address)
        self._record = mine
        self._head = view.newest.header.number
        self._forget_old(view.newest.header.timestamp)
        if mine.status in _OVER:
            reason = _OVER[mine.status]
            rejoin = reason not in FATAL
            mend = "it has to join as new" if rejoin else "it may not come back by itself"
            return [Exit(reason, f"this node is {mine.status.name}; {mend}", rejoin)]
        if mine.status in _UNDONE and view.newest.header.timestamp > mine.until:
            detail = "a reorg undid our confirmation and the hour is past"
            return [Exit(Reason.REGISTRATION_EXPIRED, detail, True)]
        lost = self._lost_place(mine)
        if lost:
            return lost
        effects = self._renew(view, mine) + self._leave(mine) + self._confirm_again(mine)
        try:
            standing = own_standing(view, self._identity.address, self._context.measurement)
        except Refused as refusal:
            self.apps_reason = refusal.reason
            self._note = str(refusal)
            return effects
        self.apps_reason = None
        self._final = standing.final
        self._note = "member" if standing.final else "member, not final yet"
        if not self._waiting and not any(a.stale for a in self._answers.values()):
            return effects
        try:
            require_giver(view, standing)
        except Refused as refusal:
            self._note = str(refusal)
            return [*effects, Refusing(refusal.reason, str(refusal))]
        return effects + self._answer(view, asked)

    def on_message(self, message: FromHost, at: float) -> list[Effect]:
        """Take newcomers, word of stale posts, and the operator's wish to leave."""
        if isinstance(message, Newcomer):
            self._waiting.admit(message.document, at)
            return []
        if isinstance(message, Stale):
            return self._stale(message.key)
        if isinstance(message, Depart):
            self._depart = True
            return []
        if isinstance(message, HandedOver):
            return []  # a host that scans again tells old news
        raise ProtocolViolation(f"a member has no use for {type(message).__name__}")

    def on_quote(self, event: Quoted | QuoteFailed) -> list[Effect]:
        """Members ask for no join quotes."""
        raise ProtocolViolation("a quote that nobody asked for", got=event.request)

    def on_tick(self, at: float) -> list[Effect]:
        """Drop newcomers that waited too long."""
        effects: list[Effect] = []
        for waiting in self._waiting:
            if at - waiting.since > PATIENCE:
                self._waiting.remove(waiting)
                effects += _turn(waiting, Reason.TIMEOUT, "it could not be answered in an hour")
        return effects

    def standpoint(self) -> Standpoint:
        """Report the member's public facts."""
        return Standpoint(
            state="active" if self.apps_reason is None else "suspended",
            detail=self._note,
            node=self._identity.address,
            epoch=self._keys.epoch,
            x_pub=self._keys.addresses.x_pub,
            fingerprint=self._keys.fingerprint(),
        )

    # --- newcomers ------------------------------------------------------------------------------

    def _answer(self, view: ChainView, asked: Ask) -> list[Effect]:
        effects: list[Effect] = []
        fresh: list[OnboardItem] = []
        for waiting in self._waiting.next(MAX_BATCH):
            if not _proves(asked, waiting.claim):
                continue  # came after the view was asked for
            if view.newest.node(waiting.claim.node).status is Status.NONE:
                self._waiting.undecided(waiting)  # not mined yet, or taken back by a reorg
                continue
            try:
                item = self._decide(view, asked, waiting)
            except (Refused, MalformedInput) as refusal:
                reason = refusal.reason or Reason.DOCUMENT_MESSAGE
                if reason in PASSING:
                    self._waiting.undecided(waiting)
                    continue
                effects += _turn(waiting, reason, str(refusal))
                item = None
            self._waiting.remove(waiting)
            if item is not None:
                fresh.append(item)
        for key, items in self._stale_answers(view, asked).items():
            effects.append(self._post(view, key, items, again=True))
        if fresh:
            effects.append(self._post(view, _group_key(fresh), fresh, again=False))
        return effects

    def _decide(self, view: ChainView, asked: Ask, waiting: Waiting) -> OnboardItem | None:
        """Return a new ciphertext for a newcomer, None if it has one; raises if it may not have one."""
        final = asked.finalised is not None and waiting.claim.node in asked.finalised.nodes
        record = require_receiver(
            view, waiting.claim, waiting.commitment, self._identity.address, final_asked=final
        )
        place = (waiting.claim.node, record.attempt)
        known = self._answers.get(place)
        if known is not None:
            # It still waits although we answered: what no block can take any more is signed anew.
            if self._head - known.view > VIEW_LIFE:
                self._answers[place] = replace(known, stale=True)
            return None
        newcomer = verify_registration(
            waiting.document, network=self._context.network, now=view.newest.header.timestamp
        )
        return self._seal(newcomer, record.attempt)

    def _seal(self, newcomer: AttestedRegistration, attempt: int) -> OnboardItem:
        """Make the one ciphertext for this newcomer and attempt."""
        node = newcomer.message.node
        handover = Handover(
            node, self._identity.address, self._keys.epoch, attempt, newcomer.commitment
        )
        info = digest(self._context.network.domain, handover)
        ciphertext = seal(self._keys.secret, newcomer.encryption_key, info)
        return OnboardItem(node, attempt, newcomer.commitment, ciphertext)

    def _stale_answers(self, view: ChainView, asked: Ask) -> dict[str, list[OnboardItem]]:
        """Group the stale answers that still apply by the action that carried them."""
        groups: dict[str, list[OnboardItem]] = {}
        for (node, attempt), answer in list(self._answers.items()):
            if not answer.stale or node not in asked.newest.nodes:
                continue
            record = view.newest.node(node)
            applies = (
                record.status is Status.PENDING
                and record.attempt == attempt
                and record.commitment == answer.item.commitment[12:]
                and view.newest.header.timestamp <= record.until
            )
            if applies:
                groups.setdefault(answer.key, []).append(answer.item)
            elif record.status is not Status.NONE:
                # Kept: a later reorg may ask for this very ciphertext again.
                self._answers[(node, attempt)] = replace(answer, stale=False)
        return groups

    def _post(self, view: ChainView, key: str, items: list[OnboardItem], *, again: bool) -> Effect:
        header, domain = view.newest.header, self._context.network.domain
        by, epoch = self._identity.address, self._keys.epoch
        message: Onboard | OnboardBatch
        if len(items) == 1:
            (item,) = items
            message = Onboard(
                item.node,
                by,
                epoch,
                item.attempt,
                item.commitment,
                header.number,
                header.hash,
                keccak256(item.ciphertext),
            )
        else:
            entries = tuple(
                OnboardEntry(i.node, i.attempt, i.commitment, keccak256(i.ciphertext))
                for i in items
            )
            message = OnboardBatch(by, epoch, header.number, header.hash, entries)
        signature = self._identity.sign(domain, message)
        for item in items:
            answer = Answer(item, key, header.timestamp, header.number, stale=False)
            self._answers[(item.node, item.attempt)] = answer
        while len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return Say(
            PostOnboards(key, again, by, epoch, header.number, header.hash, tuple(items), signature)
        )

    # --- ourselves ------------------------------------------------------------------------------

    def _renew(self, view: ChainView, mine: NodeRecord) -> list[Effect]:
        """Renew at half-life, also after a lapse, while the status still says Active."""
        header = view.newest.header
        image = view.newest.measurement(self._context.measurement).state
        due = (
            mine.status is Status.ACTIVE
            and image is MeasurementState.ALLOWED  # the contract refuses any other
            and mine.until - header.timestamp < HALF_LEASE
        )
        key = f"renew/{self._identity.address.hex()}/{mine.until}"
        if not due:
            self._renewing = ""
            return []
        # A host may have lost what it called stored: what no block can take any more is signed anew.
        dead = header.number - self._renew_view > VIEW_LIFE
        if self._renewing == key and not (self._renew_stale or dead):
            return []
        again = self._renewing == key
        self._renewing, self._renew_stale, self._renew_view = key, False, header.number
        message = Renew(self._identity.address, header.number, header.hash)
        signature = self._identity.sign(self._context.network.domain, message)
        post = PostRenew(key, again, self._identity.address, header.number, header.hash, signature)
        return [Say(post)]

    def _lost_place(self, mine: NodeRecord) -> list[Effect]:
        """Exit when a reorg took our place away and nothing can bring it back."""
        if mine.status is not Status.NONE:
            self._missing_since, self._place_stale = None, False
            return []
        if self._missing_since is None:
            self._missing_since = self._head
        if self._place_stale or self._head - self._missing_since > VIEW_LIFE:
            detail = "a reorg took our own place away and it cannot be mined again"
            return [Exit(Reason.ANCHOR_DEAD, detail, True)]
        return []

    def _confirm_again(self, mine: NodeRecord) -> list[Effect]:
        """Post our Confirm again while a reorg has put us back to our own hand-over."""
        ours = mine.status is Status.ONBOARDED and mine.commitment == self._commitment[12:]
        if not ours or (self._confirmed_at and self._head - self._confirmed_at < CONFIRM_EVERY):
            return []
        self._confirmed_at = self._head
        return [Say(confirmation(self._context, self._identity, self._keys, self._commitment))]

    def _leave(self, mine: NodeRecord) -> list[Effect]:
        if not self._depart or mine.status is not Status.ACTIVE:
            return []
        self._depart = False
        message = Leave(self._identity.address, self._commitment)
        signature = self._identity.sign(self._context.network.domain, message)
        key = f"leave/{self._identity.address.hex()}"
        return [Say(PostLeave(key, self._identity.address, self._commitment, signature))]

    def _stale(self, key: str) -> list[Effect]:
        if key.startswith(("register/", "bootstrap")):
            self._place_stale = True  # counts only once a view shows that our place is gone
        if key.startswith("confirm/"):
            self._confirmed_at = 0
        if key == self._renewing:
            self._renew_stale = True
        for entry, answer in self._answers.items():
            if answer.key == key:
                self._answers[entry] = replace(answer, stale=True)
        return []

    def _forget_old(self, now: int) -> None:
        """Drop answers that no chain can ask for again."""
        while self._answers:
            entry, answer = next(iter(self._answers.items()))
            if now - answer.made <= ANSWER_LIFE:
                return
            del self._answers[entry]


def _proves(asked: Ask, claim: Register) -> bool:
    """Whether a view that was asked for so proves what a claim needs."""
    known = claim.node in asked.newest.nodes
    return known and claim.measurement_id in asked.newest.measurements


def _group_key(items: list[OnboardItem]) -> str:
    named = b"".join(item.node + bytes([item.attempt]) for item in items)
    if len(items) == 1:
        return f"onboard/{items[0].node.hex()}/{items[0].attempt}"
    return f"onboards/{keccak256(named).hex()[:16]}"


def _turn(waiting: Waiting, reason: Reason, detail: str) -> list[Effect]:
    final = reason not in OF_THE_MOMENT
    turned = Turned(waiting.name, str(reason), final)
    return [Refusing(reason, detail), Say(turned)]
