"""A whole guest as one sans-IO machine: events in, effects out.

    start -> founding | joining -> sealing -> member

Owns what all phases need: one view request at a time, the verification of every view, posts that the
host has not stored yet, reports, and the way from phase to phase. An event that is not legal raises
`ProtocolViolation` and changes nothing. Nothing here reads a clock, a file or the environment.
"""

from dataclasses import dataclass
from itertools import count

from guest.chain.view import ChainReader, ChainView
from guest.core.effects import CloseApps, Effect, Exit, OpenApps, Refusing, Say, Seal, WakeAt
from guest.core.events import (
    Event,
    HostSaid,
    LinkDown,
    LinkUp,
    Quoted,
    QuoteFailed,
    Sealed,
    Ticked,
)
from guest.core.founder import Founder
from guest.core.identity import Entropy, Identity
from guest.core.joiner import Joiner
from guest.core.member import Member
from guest.core.phase import Ask, Context, Phase, Standpoint
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.keys import EpochKeys
from guest.protocol.link import (
    VERSION,
    FromHost,
    GenesisFound,
    HandedOver,
    HeadSeen,
    Hello,
    NeedView,
    Newcomer,
    PostBootstrap,
    PostConfirm,
    PostLeave,
    PostOnboards,
    PostRegister,
    PostReject,
    PostRenew,
    Posts,
    Report,
    Stale,
    Stored,
    UnverifiedView,
    View,
    Welcome,
)
from guest.protocol.network import Network
from guest.protocol.sizes import Bytes32

VIEW_LIMIT = 20.0
"""Seconds for the host to answer a view request before it is asked again."""
VIEW_PAUSE = 1.0
"""Seconds between a failed view and the next request."""
TICK = 5.0
"""Seconds between looks at the clock."""
MAX_UNSTORED = 512
_POSTS = (
    PostBootstrap,
    PostRegister,
    PostOnboards,
    PostConfirm,
    PostReject,
    PostRenew,
    PostLeave,
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """The one view request under way."""

    request: int
    ask: Ask
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Sealing:
    """A proven node between its Active and the seal."""

    identity: Identity
    keys: EpochKeys
    commitment: Bytes32


class Node:
    """One guest, from start to exit."""

    def __init__(
        self, network: Network, reader: ChainReader, entropy: Entropy, measurement: Bytes32
    ) -> None:
        """Build a node of `network` whose own image has the id `measurement`."""
        self._context = Context(network, entropy, measurement, count(1))
        self._reader = reader
        self._phase: Phase | None = None
        self._pending: _Pending | None = None
        self._sealing: _Sealing | None = None
        self._unstored: dict[str, Posts] = {}
        self._prompted = True
        self._not_before = 0.0
        self._last_view: float | None = None
        self._seen_time = 0
        self._apps_open = False
        self._apps_keys: EpochKeys | None = None
        self._reported: Standpoint | None = None
        self._linked = False
        self.exited = False

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Take one event; return what to do. Raises `ProtocolViolation`, `Refused`, `MalformedInput`.

        After `Exit` no event is legal.
        """
        if self.exited:
            raise ProtocolViolation("the node has exited", got=type(event).__name__)
        effects = self._dispatch(event)
        for position, effect in enumerate(effects):
            if isinstance(effect, Exit):
                self.exited = True
                return (*effects[:position], *self._last_words(effect), effect)
        effects += self._stale_view(event.at)
        effects += self._advance()
        effects += self._request_view(event.at)
        effects += self._report()
        effects.append(WakeAt(event.at + TICK))
        for effect in effects:
            if isinstance(effect, Say) and isinstance(effect.message, _POSTS):
                self._remember(effect.message)
        return tuple(effects)

    def _dispatch(self, event: Event) -> list[Effect]:
        match event:
            case LinkUp():
                return self._link_up()
            case LinkDown():
                self._linked = False
                self._pending = None
                self._prompted = True
                return []
            case HostSaid(at, message):
                return self._heard(message, at)
            case Quoted() | QuoteFailed():
                if self._phase is None:
                    raise ProtocolViolation("a quote before the host's welcome")
                return self._phase.on_quote(event)
            case Sealed():
                return self._sealed()
            case Ticked(at):
                return self._tick(at)

    # --- the link -------------------------------------------------------------------------------

    def _link_up(self) -> list[Effect]:
        network = self._context.network
        self._linked = True
        self._pending = None
        self._prompted = True
        self._reported = None
        hello = Hello(VERSION, network.network_id, network.chain_id, network.contract)
        return [Say(hello), *[Say(post) for post in self._unstored.values()]]

    def _heard(self, message: FromHost, at: float) -> list[Effect]:
        match message:
            case Welcome(version, bootstrap):
                return self._welcomed(version, bootstrap)
            case HeadSeen():
                self._prompted = self._prompted or (self._phase is not None and self._phase.eager)
                return []
            case View(request, view):
                return self._viewed(request, view, at)
            case Stored(key):
                self._unstored.pop(key, None)
                return []
            case _:
                if self._phase is None:
                    raise ProtocolViolation(f"{type(message).__name__} before the welcome")
                if self._awaits_seal:
                    return []  # what matters of it, the member's first view will show
                effects = self._phase.on_message(message, at)
                if isinstance(message, Newcomer | HandedOver | GenesisFound | Stale):
                    self._prompted = True
                return effects

    def _welcomed(self, version: int, bootstrap: bool) -> list[Effect]:
        if version != VERSION:
            raise ProtocolViolation(
                "the host speaks another version", got=version, expected=VERSION
            )
        if self._phase is None:
            self._phase = Founder(self._context) if bootstrap else Joiner(self._context)
        return []

    def _remember(self, post: Posts) -> None:
        """Keep a post until the host says that it is in its outbox."""
        if isinstance(post, PostRegister):
            # New keys: nothing of an older registration may be said again.
            self._unstored = {k: p for k, p in self._unstored.items() if k.startswith("onboard")}
        self._unstored[post.key] = post
        while len(self._unstored) > MAX_UNSTORED:
            del self._unstored[next(iter(self._unstored))]

    # --- views ----------------------------------------------------------------------------------

    def _request_view(self, at: float) -> list[Effect]:
        phase = self._phase
        if phase is None or not self._linked or self._pending is not None:
            return []
        if not self._prompted or at < self._not_before or self._awaits_seal:
            return []
        ask = phase.ask()
        request = next(self._context.requests)
        self._pending = _Pending(request, ask, at)
        self._prompted = False
        finalised = () if ask.finalised is None else self._reader.slots(ask.finalised)
        return [Say(NeedView(request, self._reader.slots(ask.newest), finalised, ask.ancestors))]

    def _viewed(self, request: int, view: UnverifiedView | None, at: float) -> list[Effect]:
        pending, phase = self._pending, self._phase
        if pending is None or phase is None or pending.request != request:
            raise ProtocolViolation("a view that nobody asked for", got=request)
        self._pending = None
        if self._awaits_seal:
            return []
        if view is None:
            return self._try_again(at)
        try:
            verified = self._reader.read(
                view,
                newest=pending.ask.newest,
                finalised=pending.ask.finalised,
                ancestors=pending.ask.ancestors,
                at=at,
            )
        except MalformedInput as error:
            return [*self._try_again(at), Refusing("malformed-view", str(error))]
        except Refused as refusal:
            if refusal.fatal:
                return [Exit(refusal.reason, str(refusal), False)]
            return [*self._try_again(at), Refusing(refusal.reason, str(refusal))]
        self._last_view = at
        self._seen_time = verified.newest.header.timestamp
        try:
            effects = self._apply(phase, verified, pending.ask, at)
        except Refused as refusal:
            if refusal.fatal:
                return [Exit(refusal.reason, str(refusal), False)]
            return [Refusing(refusal.reason, str(refusal))]
        if self._phase is phase and phase.wants_more(pending.ask):
            self._prompted = True
        return effects

    def _apply(self, phase: Phase, view: ChainView, ask: Ask, at: float) -> list[Effect]:
        effects = phase.on_view(view, ask, at)
        if isinstance(phase, Member):
            effects += self._serve(phase.apps_reason)
        return effects

    def _try_again(self, at: float) -> list[Effect]:
        self._not_before = at + VIEW_PAUSE
        self._prompted = True
        return [WakeAt(self._not_before)]

    def _tick(self, at: float) -> list[Effect]:
        pending = self._pending
        if pending is not None and at - pending.asked_at > VIEW_LIMIT:
            self._pending = None
            self._prompted = True
        idle = self._context.network.max_view_age / 2
        if self._last_view is None or at - self._last_view > idle:
            self._prompted = True
        return [] if self._phase is None else self._phase.on_tick(at)

    def _stale_view(self, at: float) -> list[Effect]:
        """What we know is 2 W old: whoever keeps the chain from us may be hiding our removal.

        Its age counts from the block's own time: a view that stood still was old when it was accepted.
        """
        limit = 2 * self._context.network.max_view_age
        if self._apps_open and self._reader.lower_bound(at) - self._seen_time > limit:
            return self._serve(Reason.STALE_VIEW)
        return []

    # --- from phase to phase --------------------------------------------------------------------

    def _advance(self) -> list[Effect]:
        phase = self._phase
        if isinstance(phase, Founder) and phase.outrun:
            self._phase = Joiner(self._context)
            self._prompted = True
            return []
        if not isinstance(phase, Founder | Joiner) or phase.active is None or self._sealing:
            return []
        identity, keys, _ = phase.active
        self._sealing = _Sealing(identity, keys, phase.slot_value())
        return [Seal()]

    @property
    def _awaits_seal(self) -> bool:
        """Whether the platform is sealing: the keys are the member's now, and nothing may wipe them.

        A newcomer that heard in between that its registration is gone would start over, and the
        member would then be built on wiped keys, from which anybody can derive an app's.
        """
        return self._sealing is not None and not isinstance(self._phase, Member)

    def _sealed(self) -> list[Effect]:
        sealing, phase = self._sealing, self._phase
        if sealing is None or not isinstance(phase, Founder | Joiner):
            raise ProtocolViolation("a seal that nobody asked for")
        self._phase = Member(self._context, sealing.identity, sealing.keys, sealing.commitment)
        self._apps_keys = sealing.keys
        self._prompted = True
        return self._serve(None)

    def _serve(self, reason: Reason | None) -> list[Effect]:
        """Open the apps' sockets while Active stands; close them, once, when it does not."""
        if reason is None and not self._apps_open and self._apps_keys is not None:
            self._apps_open = True
            return [OpenApps(self._apps_keys)]
        if reason is not None and self._apps_open:
            self._apps_open = False
            return [CloseApps(reason)]
        return []

    def _last_words(self, end: Exit) -> list[Effect]:
        """Tell the host why, so that its status does not end in silence."""
        if self._phase is None or not self._linked:
            return []
        stand = self._phase.standpoint()
        state = "rejoin" if end.rejoin else "failed"
        detail = f"{end.reason}: {end.detail}"[:400]
        words = Report(state, detail, stand.node, stand.epoch, stand.x_pub, stand.fingerprint)
        return [Say(words)]

    def _report(self) -> list[Effect]:
        if self._phase is None or not self._linked:
            return []
        stand = self._phase.standpoint()
        if stand == self._reported:
            return []
        self._reported = stand
        report = Report(
            stand.state, stand.detail[:400], stand.node, stand.epoch, stand.x_pub, stand.fingerprint
        )
        return [Say(report)]
