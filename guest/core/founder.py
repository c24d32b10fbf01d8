"""The first node: makes the epoch's secret and claims the network, once, with the owner's consent.

A Bootstrap whose anchor died is replaced by a new one at the same nonce, and the older transaction may
still be the one that lands. So every candidate identity is kept until the chain has named one, finally.
"""

from dataclasses import dataclass

from guest.chain.layout import NodeRecord, Status, Wanted
from guest.chain.view import ChainView
from guest.core.admission import require_allowed
from guest.core.attesting import Attesting
from guest.core.effects import Effect, Exit, Refusing, Say
from guest.core.events import Quoted, QuoteFailed
from guest.core.identity import Identity
from guest.core.phase import ANCHOR_DEPTH, ANCHOR_LIFE, Ask, Context, Standpoint
from guest.protocol.digests import commitment
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.keys import SECRET_SIZE, EpochKeys
from guest.protocol.link import CollateralFound, FromHost, PostBootstrap, Stale
from guest.protocol.messages import Bootstrap
from guest.protocol.secret import Secret
from guest.protocol.sizes import ZERO_ADDRESS, Address, Bytes32

MAX_CANDIDATES = 8
"""Bootstraps that one process signs before it gives up."""
FIRST_EPOCH = 1
KEY = "bootstrap"
"""One action, whatever the candidate: the host replaces it at the same nonce."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One signed Bootstrap that may still be mined."""

    identity: Identity
    keys: EpochKeys
    anchor_number: int
    commitment: Bytes32


class Founder:
    """Sans-IO machine of a node that may bootstrap: surveying -> attesting -> posted -> active."""

    def __init__(self, context: Context) -> None:
        """Start at `surveying`."""
        self._context = context
        self._attesting: Attesting | None = None
        self._making: EpochKeys | None = None
        self._candidates: list[Candidate] = []
        self._time = 0
        self._renew = False
        self._note = "looking at the chain"
        self.active: tuple[Identity, EpochKeys, NodeRecord] | None = None
        """Set once our own bootstrap is proven at the newest header."""
        self.outrun = False
        """Set when somebody else is the genesis node: this node has to join instead."""

    @property
    def eager(self) -> bool:
        """Every head matters until the network has its first node."""
        return self._attesting is None

    def ask(self) -> Ask:
        """The head, the genesis, our image and every candidate's slot."""
        wanted = Wanted(
            nodes=tuple(candidate.identity.address for candidate in self._candidates),
            measurements=(self._context.measurement,),
            epochs=(FIRST_EPOCH,),
            allowed_words=(),
            rejected=(),
            genesis=True,
        )
        return Ask(wanted, wanted if self._candidates else None, ANCHOR_DEPTH)

    def wants_more(self, asked: Ask) -> bool:
        """Return whether our state moved on since the view was asked for."""
        return asked != self.ask()

    def on_view(self, view: ChainView, asked: Ask, at: float) -> list[Effect]:
        """Bootstrap if nobody has; recognise our own; step back for another's."""
        header = view.newest.header
        self._time = header.timestamp
        if asked != self.ask():
            return []  # asked for before our state moved on; the node asks again at once
        if view.newest.head().epoch != 0:
            return self._decided(view)
        try:
            require_allowed(view.newest, self._context.measurement)
        except Refused as refusal:
            self._note = f"waiting: {refusal}"
            return []
        if self._attesting is not None:
            return []
        dead = self._candidates and (
            self._renew or header.number - self._candidates[-1].anchor_number > ANCHOR_LIFE
        )
        if self._candidates and not dead:
            return []
        if len(self._candidates) >= MAX_CANDIDATES:
            return [Exit(Reason.ANCHOR_DEAD, f"{MAX_CANDIDATES} bootstraps were not mined", True)]
        return self._attest(view, at)

    def on_message(self, message: FromHost, at: float) -> list[Effect]:  # noqa: ARG002 - one interface
        """Take collateral, and word that the bootstrap went stale."""
        if isinstance(message, CollateralFound):
            return self._post(message)
        if isinstance(message, Stale) and message.key == KEY:
            self._renew = True
            return []
        raise ProtocolViolation(f"a founder has no use for {type(message).__name__}")

    def on_quote(self, event: Quoted | QuoteFailed) -> list[Effect]:
        """Take the quote, or try again at the next view."""
        attesting = self._attesting
        if attesting is None or not attesting.expects(event.request):
            raise ProtocolViolation("a quote that nobody asked for", got=event.request)
        if isinstance(event, QuoteFailed):
            return self._drop(Reason.TIMEOUT, f"the platform made no quote: {event.detail}")
        try:
            return attesting.on_quote(event.request, event.quote, event.at)
        except (Refused, MalformedInput) as error:
            return self._drop(error.reason or Reason.QUOTE_INVALID, str(error))

    def on_tick(self, at: float) -> list[Effect]:
        """End waits that lasted too long."""
        if self._attesting is not None and self._attesting.expired(at):
            return self._drop(Reason.TIMEOUT, "no quote or no collateral in time")
        return []

    def standpoint(self) -> Standpoint:
        """Report the latest candidate."""
        latest = self._candidates[-1] if self._candidates else None
        return Standpoint(
            state="active" if self.active else ("founding" if latest else "surveying"),
            detail=self._note,
            node=latest.identity.address if latest else ZERO_ADDRESS,
            epoch=FIRST_EPOCH if self.active else 0,
            x_pub=latest.keys.addresses.x_pub if latest else ZERO_ADDRESS,
            fingerprint=latest.keys.fingerprint() if latest else b"",
        )

    def _attest(self, view: ChainView, at: float) -> list[Effect]:
        identity = Identity(self._context.entropy)
        secret = Secret(self._context.entropy(SECRET_SIZE))
        keys = EpochKeys(self._context.network.network_id, FIRST_EPOCH, secret)
        anchor = view.anchor(ANCHOR_DEPTH)
        message = Bootstrap(
            node=identity.address,
            encryption_key_hash=identity.encryption_key_hash,
            measurement_id=self._context.measurement,
            anchor_number=anchor.number,
            anchor_hash=anchor.hash,
            x_pub=keys.addresses.x_pub,
            app_root=keys.addresses.app_root,
        )
        self._making = keys
        self._attesting = Attesting(self._context, identity, message, anchor, at)
        self._note = "making a quote"
        return self._attesting.begin()

    def _post(self, found: CollateralFound) -> list[Effect]:
        attesting, keys = self._attesting, self._making
        if attesting is None or keys is None or not attesting.expects(found.request):
            raise ProtocolViolation("collateral that nobody asked for", got=found.request)
        try:
            document = attesting.on_collateral(found, self._time)
        except (Refused, MalformedInput) as error:
            return self._drop(error.reason or Reason.DOCUMENT_MESSAGE, str(error))
        message, identity = attesting.message, attesting.identity
        if not isinstance(message, Bootstrap):
            raise ProtocolViolation("a founder attests to bootstraps only")
        self._candidates.append(
            Candidate(identity, keys, attesting.anchor.number, commitment(message))
        )
        self._attesting = self._making = None
        self._renew = False
        self._note = "bootstrap posted"
        domain = self._context.network.domain
        signatures = identity.sign(domain, message), keys.sign(domain, message)
        return [Say(PostBootstrap(KEY, message, *signatures, document))]

    def _decided(self, view: ChainView) -> list[Effect]:
        genesis = view.newest.genesis().node
        self._abandon_quote()
        for candidate in self._candidates:
            if candidate.identity.address != genesis:
                continue
            record = view.newest.node(genesis)
            if record.status in (Status.REVOKED, Status.EXPIRED):
                detail = f"the genesis node is {record.status.name}: deploy anew"
                return [Exit(Reason.REVOKED, detail, False)]
            if record.status is Status.ACTIVE and self._chosen_for_good(view, genesis):
                self._candidates.remove(candidate)
                self._wipe_candidates()
                self._candidates.append(candidate)
                self.active = (candidate.identity, candidate.keys, record)
                self._note = "our bootstrap is proven"
            return []
        if self._candidates and not self._final_elsewhere(view):
            self._note = "another node has bootstrapped; a reorg may still bring ours"
            return []
        self._wipe_candidates()
        self.outrun = True
        self._note = "another node has bootstrapped"
        return []

    def slot_value(self) -> Bytes32:
        """Return the commitment whose low 160 bits our slot holds since the bootstrap."""
        if self.active is None:
            raise ProtocolViolation("nothing was bootstrapped")
        return self._candidates[-1].commitment

    def _chosen_for_good(self, view: ChainView, genesis: Address) -> bool:
        """Whether no reorg can name another candidate: there is none, or the choice is final."""
        if len(self._candidates) == 1:
            return True
        return view.finalised is not None and view.finalised.genesis().node == genesis

    def _final_elsewhere(self, view: ChainView) -> bool:
        """Whether no reorg can bring a candidate of ours any more."""
        if view.finalised is None or view.finalised.head().epoch == 0:
            return False
        ours = {candidate.identity.address for candidate in self._candidates}
        return view.finalised.genesis().node not in ours

    def _wipe_candidates(self) -> None:
        for candidate in self._candidates:
            candidate.identity.wipe()
            candidate.keys.wipe()
        self._candidates.clear()

    def _drop(self, reason: Reason, detail: str) -> list[Effect]:
        self._abandon_quote()
        self._note = f"starting over: {detail}"
        return [Refusing(reason, detail)]

    def _abandon_quote(self) -> None:
        """Forget the candidate in the making; nothing of it was signed or said."""
        if self._making is not None:
            self._making.wipe()
        if self._attesting is not None:
            self._attesting.identity.wipe()
        self._attesting = self._making = None
