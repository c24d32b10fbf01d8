"""A whole network in one process: a chain, the contract, guests, and hosts that do their work.

Hosts here are honest; whoever wants another one takes frames out of `toward` and `guest.said` and does
as it likes. A round is a block and then as much talk as there is to say. Nothing waits and nothing sleeps.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from guest.chain.layout import Status
from guest.core.phase import ANCHOR_DEPTH
from guest.evidence import collateral as collateral_format
from guest.evidence.collateral import Collateral
from guest.evidence.roots import DEVELOPMENT
from guest.protocol.digests import document_hash
from guest.protocol.link import (
    VERSION,
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
from guest.protocol.network import Network, Trust
from host.chain import events
from host.devplatform.tcbdata import Scenario, make_collateral
from tests.fakes.fake_chain import FakeChain
from tests.fakes.guest_shell import IMAGE, Canaries, Clock, GuestShell, Machine
from tests.fakes.key_manager import KeyManager, Propose

MAX_TALK = 4000
"""Frames in one round after which the talk is taken for an endless one."""
REPEAT_OFFER = 5
GIVE_UP = 64
"""Blocks after which an action that only reverts is dropped."""


@lru_cache(maxsize=64)
def collateral_at(now: int, scenario: Scenario) -> bytes:
    """Collateral as a service would hold it, made at most twice an hour."""
    made = make_collateral(now - now % 1800, scenario)
    fields = Collateral.__dataclass_fields__
    return collateral_format.encode(Collateral(**{name: getattr(made, name) for name in fields}))


@dataclass(slots=True)
class Action:
    """A post in a host's outbox; `block` is the hash of the block that mined it."""

    post: Posts
    since: int
    block: bytes = b""


class Host:
    """The honest host of one guest."""

    def __init__(self, world: "World", guest: GuestShell, *, bootstrap: bool) -> None:
        self.world = world
        self.guest = guest
        self.bootstrap = bootstrap
        self.toward: deque[FromHost] = deque()
        self.outbox: dict[str, Action] = {}
        self.turned: dict[bytes, str] = {}
        self.errors: list[str] = []
        self.reverted: list[str] = []
        self.loses = 0
        self.lies: deque[Callable[[NeedView], UnverifiedView]] = deque()
        """What to show for the next views instead of the chain."""
        self.up = True
        self._told: set[bytes] = set()
        self._offered: dict[tuple[bytes, int], int] = {}

    # --- talk -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """The guest dials."""
        self.up = True
        self.toward.clear()
        self._told.clear()
        self._offered.clear()
        self.guest.link_up()

    def disconnect(self) -> None:
        self.up = False
        self.toward.clear()
        self.guest.link_down()

    def hear(self, message: FromGuest) -> None:
        """Do what an honest host does with a frame."""
        world = self.world
        match message:
            case Hello():
                self.toward.append(Welcome(VERSION, self.bootstrap))
                self.toward.append(HeadSeen(world.chain.head.number))
            case NeedView():
                lie = self.lies.popleft() if self.lies else world.show
                self.toward.append(View(message.request, lie(message)))
            case NeedCollateral(request, _, _):
                found = collateral_at(world.chain.head.timestamp, world.scenario)
                self.toward.append(CollateralFound(request, found))
            case NeedGenesis(request, wanted):
                document = world.documents.get(wanted)
                if document is not None:
                    self.toward.append(GenesisFound(request, document))
            case Turned(turned, reason, final):
                if final:
                    self.turned[turned] = reason
            case Report():
                pass
            case _:
                self.store(message)

    def store(self, post: Posts) -> None:
        """Put a post in the outbox and say so; while `loses` is set, lose it without a word."""
        if self.loses:
            self.loses -= 1
            return
        if isinstance(post, PostBootstrap | PostRegister):
            self.world.documents[document_hash(post.document)] = post.document
        if isinstance(post, PostRegister):
            self.world.registers[post.message.node] = post
        self.outbox[post.key] = Action(post, self.world.chain.head.number)
        self.toward.append(Stored(post.key))

    def tell(self, message: FromHost) -> None:
        """Deliver one frame as the runtime would; what the guest refuses is kept in `errors`."""
        if self.guest.exit is not None:
            return
        before = len(self.guest.history)
        try:
            self.guest.tell(message)
        except Exception as error:
            refusal = type(error).__name__ in ("ProtocolViolation", "Refused", "MalformedInput")
            if not refusal:
                raise
            assert len(self.guest.history) == before + 1, "an error came with effects"
            self.errors.append(f"{type(error).__name__}: {error}")

    # --- the chain ------------------------------------------------------------------------------

    def send(self) -> None:
        """Submit what is not on the chain yet; say `Stale` for what cannot get there any more."""
        contract = self.world.contract
        hashes = {block.hash: block.number for block in self.world.chain.blocks[-300:]}
        for key, action in list(self.outbox.items()):
            if action.block in hashes:
                if hashes[action.block] <= self.world.chain.finalised.number:
                    del self.outbox[key]
                continue
            self._repost_registrations(action.post)
            outcome = contract.simulate(action.post, owner=self.bootstrap)
            if not outcome.error:
                contract.submit(action.post, owner=self.bootstrap)
            elif outcome.error == "UnknownBlock":
                del self.outbox[key]
                if self.up:
                    self.toward.append(Stale(key))
            elif self.world.chain.head.number - action.since > GIVE_UP:
                del self.outbox[key]

    def _repost_registrations(self, post: Posts) -> None:
        """A member's host keeps the registrations that it answered and posts them ahead."""
        if not isinstance(post, PostOnboards):
            return
        for item in post.items:
            register = self.world.registers.get(item.node)
            known = self.world.contract.node(item.node).status is not Status.NONE
            if register is not None and not known:
                self.world.contract.submit(register)

    def mined(self, posts: dict[int, bytes]) -> None:
        """Note in which block each post of ours was mined, by the identity of the post."""
        for action in self.outbox.values():
            action.block = posts.get(id(action.post), action.block)

    def news(self) -> None:
        """Tell what a scanner would: a head, answers to our guest, newcomers to a member."""
        world = self.world
        self.toward.append(HeadSeen(world.chain.head.number))
        for block, event in world.contract.events_since(-1):
            if isinstance(event, events.Onboarded) and event.node == self.guest.address:
                self._hand_over(block.hash, event)
            if isinstance(event, events.Registered) and self.guest.state == "active":
                self._offer(event)

    def _hand_over(self, block: bytes, event: events.Onboarded) -> None:
        if block + event.handover not in self._told:
            self._told.add(block + event.handover)
            self.toward.append(HandedOver(event.by, event.epoch, event.attempt, event.ciphertext))

    def _offer(self, event: events.Registered) -> None:
        world = self.world
        record = world.contract.node(event.node)
        document = world.documents.get(event.document_hash)
        if record.status is not Status.PENDING or document is None:
            return
        if event.document_hash in self.turned:
            return
        last = self._offered.get((event.node, record.attempt))
        head = world.chain.head.number
        if last is None or head - last >= REPEAT_OFFER or head < last:
            self._offered[event.node, record.attempt] = head
            self.toward.append(Newcomer(document))


class World:
    """See the module."""

    def __init__(
        self,
        *,
        trust: Trust = Trust.UNVERIFIED,
        finality: int = 2,
        block_time: int = 1,
        notice: int = 0,
        images: tuple[bytes, ...] = (IMAGE.measurement_id,),
        max_view_age: int = 60,
    ) -> None:
        self.chain = FakeChain(finality=finality, block_time=block_time)
        network = self.chain.network(trust, max_view_age=max_view_age)
        self.network: Network = replace(network, attestation_root=DEVELOPMENT.der, notice=notice)
        self.contract = KeyManager(self.chain, self.network)
        self.clock = Clock()
        self.canaries = Canaries(self.network)
        self.documents: dict[bytes, bytes] = {}
        self.registers: dict[bytes, PostRegister] = {}
        self.hosts: dict[str, Host] = {}
        self.scenario = Scenario()
        self.history: list[str] = []
        for image in images:
            self.contract.submit(Propose(image), owner=True)
        self.contract.mine()
        self.wall = self.chain.head.timestamp - self.clock.now
        """From the guests' clock to the world's: blocks are never behind it by more than a block."""

    # --- guests ---------------------------------------------------------------------------------

    def add(
        self, name: str, *, bootstrap: bool = False, machine: Machine | None = None
    ) -> GuestShell:
        """Boot a guest with its host and let it dial."""
        guest = GuestShell(name, self.network, self.clock, self.canaries, machine)
        guest.history = self.history
        self.hosts[name] = Host(self, guest, bootstrap=bootstrap)
        self.hosts[name].connect()
        return guest

    def reboot(self, name: str) -> None:
        """Kill the guest and start it again: new machine state, new node; the host's outbox stays."""
        host = self.hosts[name]
        host.guest.start()
        host.connect()

    @property
    def guests(self) -> list[GuestShell]:
        return [host.guest for host in self.hosts.values()]

    # --- rounds ---------------------------------------------------------------------------------

    def show(self, need: NeedView) -> UnverifiedView:
        """An honest answer to a guest's request."""
        return self.chain.answer(need, witnessed=self.network.trust is Trust.WITNESSED)

    def talk(self) -> None:
        """Let everyone say and hear everything, until there is silence."""
        for _ in range(MAX_TALK):
            moved = [self._step(host) for host in self.hosts.values()]
            if not any(moved):
                return
        raise AssertionError("the talk does not end")

    def _step(self, host: Host) -> bool:
        guest = host.guest
        if guest.exit is not None:
            guest.said.clear()
            host.toward.clear()
            return False
        if guest.work and not guest.platform_held:
            guest.run_platform_once()
            return True
        if not host.up:
            return False
        if guest.said:
            host.hear(guest.said.popleft())
            return True
        if host.toward:
            host.tell(host.toward.popleft())
            return True
        return False

    def block(self, seconds: int | None = None) -> None:
        """Mine a block of what the hosts have to send; time moves with it."""
        for host in self.hosts.values():
            if host.up:
                host.send()
        late = max(0, int(self.clock.now + self.wall) - self.chain.head.timestamp)
        receipts = self.contract.mine(late + (seconds or self.chain.block_time))
        head = self.chain.head
        self.clock.now = max(self.clock.now, head.timestamp - self.wall)
        done = {id(r.call): head.hash for r in receipts if not r.error}
        failed = {id(r.call): r.error for r in receipts if r.error}
        for host in self.hosts.values():
            host.mined(done)
            host.reverted += [
                failed[id(a.post)] for a in host.outbox.values() if id(a.post) in failed
            ]

    def round(self, seconds: int | None = None) -> None:
        """A block, the news of it, time for everyone, and all the talk that follows."""
        self.block(seconds)
        for host in self.hosts.values():
            if host.guest.exit is None:
                if host.up:
                    host.news()
                host.guest.tick()
        self.talk()

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.round()

    def until(self, wanted: Callable[[], bool], limit: int = 30) -> int:
        """Run rounds until `wanted`; return how many it took; fail after `limit`."""
        for count in range(limit):
            if wanted():
                return count
            self.round()
        if wanted():
            return limit
        states = {g.name: (g.state, g.exit, g.refusals[-2:]) for g in self.guests}
        raise AssertionError(f"not reached in {limit} rounds: {states}")

    def advance(self, seconds: int) -> None:
        """Let much time pass, with regular blocks at its end, and then one round."""
        regular = min(max(self.chain.finality, ANCHOR_DEPTH) + 1, seconds // self.chain.block_time)
        self.chain.mine(seconds=seconds - (regular - 1) * self.chain.block_time)
        for _ in range(regular - 1):
            self.chain.mine()
        self.clock.now = max(self.clock.now, self.chain.head.timestamp - self.wall)
        self.round()

    def reorg(self, depth: int) -> None:
        """Replace the last blocks by empty ones; the hosts see what became of their actions."""
        self.chain.reorg(depth)

    # --- what a test asks -----------------------------------------------------------------------

    def status(self, guest: GuestShell) -> Status:
        return self.contract.node(guest.address).status

    def active(self, *guests: GuestShell) -> bool:
        """Whether these are Active on the chain and know it."""
        return all(
            guest.exit is None and guest.apps is not None and self.status(guest) is Status.ACTIVE
            for guest in guests
        )

    def started(self, *joiners: str) -> list[GuestShell]:
        """A network of one founder and these joiners, all Active and final."""
        guests = [self.add("founder", bootstrap=True)]
        self.until(lambda: self.active(guests[0]))
        guests += [self.add(name) for name in joiners]
        self.until(lambda: self.active(*guests))
        self.rounds(self.chain.finality + 2)
        return guests
