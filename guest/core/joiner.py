"""The newcomer: registers, waits for the secret, checks it, confirms it.

    surveying -> attesting -> registered -> opened -> active
        ^------------------------'  new keys: dead anchor, late inclusion, lapsed hour, stale register

What a view says of our own slot decides, whatever we did before, so a reorg at any step is an ordinary
view. The wrong secret is answered with Reject and costs the giver its turn, never us the network.
"""

from collections import deque
from dataclasses import dataclass

from guest.chain.layout import NodeRecord, Status, Wanted
from guest.chain.view import ChainView, Header
from guest.core.admission import require_allowed
from guest.core.attesting import Attesting
from guest.core.confirming import CONFIRM_EVERY, confirmation
from guest.core.effects import Effect, Exit, Refusing, Say
from guest.core.events import Quoted, QuoteFailed
from guest.core.genesis import GenesisCheck
from guest.core.identity import Identity
from guest.core.phase import (
    ANCHOR_DEPTH,
    ANCHOR_LIFE,
    REGISTRATION_HOUR,
    Ask,
    Context,
    Standpoint,
)
from guest.protocol.digests import commitment, digest, document_hash, handover_id
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.keys import SECRET_SIZE, EpochKeys
from guest.protocol.link import (
    CollateralFound,
    FromHost,
    GenesisFound,
    HandedOver,
    PostRegister,
    PostReject,
    Stale,
)
from guest.protocol.messages import Handover, Register, RegisterTx, Reject, RejectReason
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import ZERO_ADDRESS, Bytes32

MAX_ROUNDS = 8
"""Registrations that one process makes before it gives up and says why."""
MAX_OFFERS = 16
"""Ciphertexts kept while storage has not said which one counts."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What was posted, and what it stands on."""

    identity: Identity
    commitment: Bytes32
    anchor: Header
    key: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A hand-over that held the right secret."""

    handover: Bytes32
    keys: EpochKeys


class Joiner:
    """Sans-IO machine of one newcomer."""

    def __init__(self, context: Context) -> None:
        """Start at `surveying`."""
        self._context = context
        self._genesis = GenesisCheck(context)
        self._attesting: Attesting | None = None
        self._registration: Registration | None = None
        self._offers: deque[HandedOver] = deque(maxlen=MAX_OFFERS)
        self._opened: Opened | None = None
        self._rejected: set[Bytes32] = set()
        self._rejects_posted: set[Bytes32] = set()
        self._seen: NodeRecord | None = None
        self._timely = False
        self._time = 0
        self._epoch = 1
        self._head = 0
        self._confirmed_at = 0
        self._place_stale = False
        self._round = 0
        self._note = "looking at the chain"
        self.active: tuple[Identity, EpochKeys, NodeRecord] | None = None
        """Set once our own Active is proven: the node may seal and become a member."""

    @property
    def eager(self) -> bool:
        """Every head matters, but for the time in which only others can act."""
        if self._attesting is not None:
            return False
        pending = self._seen is not None and self._seen.status is Status.PENDING
        # An answer that came may be of a block that the last view, or this branch, did not have yet.
        return not pending or bool(self._offers)

    def ask(self) -> Ask:
        """Own slot, own image, the epoch to compare with, the genesis, and headers for an anchor."""
        nodes = () if self._registration is None else (self._registration.identity.address,)
        measurements = {self._context.measurement, *self._genesis.measurements()}
        wanted = Wanted(
            nodes=nodes,
            measurements=tuple(sorted(measurements)),
            epochs=tuple(sorted({1, self._epoch})),
            allowed_words=(),
            rejected=(),
            genesis=True,
        )
        anchor = 0 if self._registration or self._attesting else ANCHOR_DEPTH
        return Ask(wanted, None, anchor)

    def wants_more(self, asked: Ask) -> bool:
        """Return whether our state moved on since the view was asked for."""
        return asked != self.ask()

    def on_view(self, view: ChainView, asked: Ask, at: float) -> list[Effect]:
        """Decide by what storage says now."""
        head = view.newest.head()
        self._time = view.newest.header.timestamp
        if asked != self.ask():
            return []  # asked for before our state moved on; the node asks again at once
        if head.epoch == 0:
            self._note = "waiting: the network has no first node yet"
            return []
        self._epoch = head.epoch
        try:
            require_allowed(view.newest, self._context.measurement)
        except Refused as refusal:
            self._note = f"waiting: {refusal}"
            return []
        if not self._genesis.done:
            return self._genesis.on_view(view)
        if self._registration is not None:
            return self._follow(view, self._registration)
        if self._attesting is None:
            return self._attest(view, at)
        return []

    def on_message(self, message: FromHost, at: float) -> list[Effect]:  # noqa: ARG002 - one interface
        """Take collateral, the genesis document, offers, and word that a post went stale."""
        if isinstance(message, GenesisFound):
            return self._genesis.on_found(message)
        if isinstance(message, CollateralFound):
            return self._register(message)
        if isinstance(message, HandedOver):
            if message not in self._offers:  # a host that scans again tells old news
                self._offers.append(message)
            return []
        if isinstance(message, Stale):
            return self._stale(message.key)
        raise ProtocolViolation(f"a newcomer has no use for {type(message).__name__}")

    def on_quote(self, event: Quoted | QuoteFailed) -> list[Effect]:
        """Take the quote, or start again without it."""
        attesting = self._attesting
        if attesting is None or not attesting.expects(event.request):
            raise ProtocolViolation("a quote that nobody asked for", got=event.request)
        if isinstance(event, QuoteFailed):
            return self._start_over(Reason.TIMEOUT, f"the platform made no quote: {event.detail}")
        try:
            return attesting.on_quote(event.request, event.quote, event.at)
        except (Refused, MalformedInput) as error:
            return self._start_over(error.reason or Reason.QUOTE_INVALID, str(error))

    def on_tick(self, at: float) -> list[Effect]:
        """End waits that lasted too long."""
        self._genesis.on_tick(at)
        if self._attesting is not None and self._attesting.expired(at):
            return self._start_over(Reason.TIMEOUT, "no quote or no collateral in time")
        return []

    def standpoint(self) -> Standpoint:
        """Report state, node address and, once opened, the epoch's public facts."""
        node = self._registration.identity.address if self._registration else ZERO_ADDRESS
        if self.active is not None:
            state = "active"
        elif self._registration is None:
            state = "surveying" if self._attesting is None else "attesting"
        else:
            state = self._seen.status.name.lower() if self._seen else "registering"
        keys = self._opened.keys if self._opened else None
        return Standpoint(
            state=state,
            detail=self._note,
            node=node,
            epoch=keys.epoch if keys else 0,
            x_pub=keys.addresses.x_pub if keys else ZERO_ADDRESS,
            fingerprint=keys.fingerprint() if keys else b"",
        )

    def slot_value(self) -> Bytes32:
        """Return H, whose low 160 bits our slot holds since the hand-over."""
        if self._opened is None:
            raise ProtocolViolation("nothing was handed over")
        return self._opened.handover

    # --- registering ----------------------------------------------------------------------------

    def _attest(self, view: ChainView, at: float) -> list[Effect]:
        identity = Identity(self._context.entropy)
        anchor = view.anchor(ANCHOR_DEPTH)
        message = Register(
            node=identity.address,
            encryption_key_hash=identity.encryption_key_hash,
            measurement_id=self._context.measurement,
            anchor_number=anchor.number,
            anchor_hash=anchor.hash,
        )
        self._attesting = Attesting(self._context, identity, message, anchor, at)
        self._note = "making a quote"
        return self._attesting.begin()

    def _register(self, found: CollateralFound) -> list[Effect]:
        attesting = self._attesting
        if attesting is None or not attesting.expects(found.request):
            raise ProtocolViolation("collateral that nobody asked for", got=found.request)
        try:
            document = attesting.on_collateral(found, self._time)
        except (Refused, MalformedInput) as error:
            return self._start_over(error.reason or Reason.DOCUMENT_MESSAGE, str(error))
        message, identity = attesting.message, attesting.identity
        if not isinstance(message, Register):
            raise ProtocolViolation("a newcomer attests to registrations only")
        domain = self._context.network.domain
        signed = RegisterTx(digest(domain, message), document_hash(document))
        key = f"register/{identity.address.hex()}"
        self._registration = Registration(identity, commitment(signed), attesting.anchor, key)
        self._attesting = None
        self._seen = None
        self._note = "registration posted"
        return [Say(PostRegister(key, message, identity.sign(domain, signed), document))]

    # --- following our own slot -----------------------------------------------------------------

    def _follow(self, view: ChainView, mine: Registration) -> list[Effect]:
        record = view.newest.node(mine.identity.address)
        self._seen = record
        self._head = view.newest.header.number
        header = view.newest.header
        match record.status:
            case Status.NONE:
                return self._unseen(header, mine)
            case Status.PENDING:
                return self._pending(record, header, mine)
            case Status.ONBOARDED:
                return self._onboarded(view, record, mine)
            case Status.ACTIVE:
                return self._activated(record, mine)
            case Status.FAILED:
                return [Exit(Reason.TOO_MANY_REJECTS, "eight answers held no right secret", False)]
            case Status.REVOKED:
                return [Exit(Reason.REVOKED, "the owner revoked this registration", False)]
            case Status.EXPIRED | Status.UNCONFIRMED:
                return self._start_over(
                    Reason.REGISTRATION_EXPIRED, f"the registration is {record.status.name}"
                )

    def _unseen(self, header: Header, mine: Registration) -> list[Effect]:
        age = header.number - mine.anchor.number
        if age > ANCHOR_LIFE:
            return self._start_over(Reason.ANCHOR_DEAD, f"the anchor is {age} blocks old")
        if self._place_stale:
            return self._start_over(Reason.ANCHOR_DEAD, "the registration can no longer be mined")
        self._note = "waiting for the registration to be mined"
        return []

    def _pending(self, record: NodeRecord, header: Header, mine: Registration) -> list[Effect]:
        if record.commitment != mine.commitment[12:]:
            return [Exit(Reason.COMMITMENT, "our slot holds a commitment that is not ours", True)]
        late = self._late(record, mine)
        if record.attempt == 0 and late:
            return self._start_over(Reason.INCLUSION_LATE, late)
        self._timely = True
        if header.timestamp > record.until:
            return self._start_over(
                Reason.REGISTRATION_EXPIRED,
                "no member answered within the hour (a sole member that was rejected may not)",
            )
        self._note = "waiting for a member to answer"
        return []

    def _late(self, record: NodeRecord, mine: Registration) -> str:
        """Say how late the registration was mined, empty if in time.

        The slot holds the end of the present hour: of a Pending slot's first one, that is the exact
        time of inclusion; of an Onboarded one's, a time that cannot be before it.
        """
        late = record.until - REGISTRATION_HOUR - mine.anchor.timestamp
        if late <= self._context.network.max_view_age:
            return ""
        return f"mined {late} s after its anchor: the view was old"

    def _onboarded(self, view: ChainView, record: NodeRecord, mine: Registration) -> list[Effect]:
        late = "" if self._timely else self._late(record, mine)
        if late:  # a host that hides the Pending slot must not hide how late it was
            return self._start_over(Reason.INCLUSION_LATE, late)
        self._timely = True
        if view.newest.header.timestamp > record.until:
            return self._start_over(Reason.REGISTRATION_EXPIRED, "not confirmed within the hour")
        if self._opened is not None and self._opened.handover[12:] == record.commitment:
            self._note = "waiting for the confirmation to be mined"
            if self._head - self._confirmed_at < CONFIRM_EVERY:
                return []
            return self._say_confirm(mine, self._opened)
        for offer in self._offers:
            handover = self._handover(offer, mine)
            identifier = handover_id(
                self._context.network.domain, handover, keccak256(offer.ciphertext)
            )
            if identifier[12:] == record.commitment and offer.attempt == record.attempt:
                return self._judge(view, mine, offer, handover, identifier)
        self._note = "waiting for the ciphertext that the chain names"
        return []

    def _judge(
        self,
        view: ChainView,
        mine: Registration,
        offer: HandedOver,
        handover: Handover,
        identifier: Bytes32,
    ) -> list[Effect]:
        """Open what storage shows as ours and compare it with the epoch on the chain."""
        if identifier in self._rejected:
            return []
        domain = self._context.network.domain
        reason = RejectReason.DID_NOT_OPEN
        try:
            secret = mine.identity.decryption_key.open(offer.ciphertext, digest(domain, handover))
        except Refused:
            return self._reject(view, mine, offer, identifier, reason)
        if len(secret) == SECRET_SIZE:
            keys = EpochKeys(self._context.network.network_id, offer.epoch, secret)
            epoch = view.newest.epoch(offer.epoch) if offer.epoch == self._epoch else None
            if epoch and (epoch.x_pub, epoch.app_root) == (
                keys.addresses.x_pub,
                keys.addresses.app_root,
            ):
                return self._confirm(mine, identifier, keys)
            keys.wipe()
        secret.wipe()
        return self._reject(view, mine, offer, identifier, RejectReason.WRONG_SECRET)

    def _confirm(self, mine: Registration, identifier: Bytes32, keys: EpochKeys) -> list[Effect]:
        self._opened = Opened(identifier, keys)
        self._note = "the secret is right; confirmation posted"
        return self._say_confirm(mine, self._opened)

    def _say_confirm(self, mine: Registration, opened: Opened) -> list[Effect]:
        self._confirmed_at = self._head
        return [Say(confirmation(self._context, mine.identity, opened.keys, opened.handover))]

    def _reject(
        self,
        view: ChainView,
        mine: Registration,
        offer: HandedOver,
        identifier: Bytes32,
        reason: RejectReason,
    ) -> list[Effect]:
        header = view.newest.header
        message = Reject(mine.identity.address, identifier, reason, header.number, header.hash)
        replace = identifier in self._rejects_posted
        self._rejected.add(identifier)
        self._rejects_posted.add(identifier)
        self._note = f"the answer was rejected: {reason.name.lower()}"
        key = f"reject/{mine.identity.address.hex()}/{identifier.hex()[:16]}"
        post = PostReject(
            key,
            replace,
            mine.identity.address,
            offer.by,
            mine.commitment,
            keccak256(offer.ciphertext),
            reason,
            header.number,
            header.hash,
            mine.identity.sign(self._context.network.domain, message),
        )
        refusing = Refusing(Reason.WRONG_SECRET, f"answer of 0x{offer.by.hex()}: {reason.name}")
        return [refusing, Say(post)]

    def _activated(self, record: NodeRecord, mine: Registration) -> list[Effect]:
        opened = self._opened
        if opened is None or opened.handover[12:] != record.commitment:
            return [Exit(Reason.COMMITMENT, "Active by a hand-over that we did not confirm", True)]
        self._note = "Active is proven"
        self.active = (mine.identity, opened.keys, record)
        return []

    # --- starting over --------------------------------------------------------------------------

    def _stale(self, key: str) -> list[Effect]:
        mine = self._registration
        if mine is not None and key == mine.key:
            self._place_stale = True  # counts only once a view shows that our slot is empty
        if key.startswith("confirm/"):
            self._confirmed_at = -CONFIRM_EVERY
        if key.startswith("reject/"):
            self._rejected.clear()  # judged, and rejected under a new view, at the next one
        return []

    def _start_over(self, reason: Reason, detail: str) -> list[Effect]:
        """New keys and a new quote; nothing of the old registration is used again."""
        self._round += 1
        if self._registration is not None:
            self._registration.identity.wipe()
        if self._opened is not None:
            self._opened.keys.wipe()
        self._attesting = self._registration = self._opened = self._seen = None
        self._timely = self._place_stale = False
        self._offers.clear()
        self._rejected.clear()
        self._rejects_posted.clear()
        self._note = f"starting over: {detail}"
        if self._round >= MAX_ROUNDS:
            return [Exit(reason, f"gave up after {MAX_ROUNDS} registrations: {detail}", True)]
        return [Refusing(reason, detail)]

    def _handover(self, offer: HandedOver, mine: Registration) -> Handover:
        return Handover(
            mine.identity.address, offer.by, offer.epoch, offer.attempt, mine.commitment
        )
