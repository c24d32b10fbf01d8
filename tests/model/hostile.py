"""Adversarial moves against the guests of a world: what to tell whom, and what is told to nobody.

Owns the moves and their limits. A move that could only lose the network's last copy of its secret is
left out (that is the liveness which the design does not promise), never one that could give it away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from guest.chain import layout
from guest.chain.layout import Status
from guest.core.member import Member
from guest.protocol import link
from guest.protocol.digests import document_hash
from guest.protocol.errors import MalformedInput
from guest.protocol.link import (
    LENGTH_BYTES,
    VERSION,
    CollateralFound,
    FromHost,
    GenesisFound,
    HandedOver,
    HeadSeen,
    NeedView,
    Newcomer,
    PostOnboards,
    PostRegister,
    Stale,
    Stored,
    UnverifiedView,
    View,
    Welcome,
)
from guest.protocol.network import Trust
from tests.fakes.adversary import Forger, Forgery, InventedNetwork, RogueMember, invent
from tests.fakes.fake_chain import Block
from tests.fakes.guest_shell import GuestShell
from tests.model.world import Host, World

FORGERIES = (
    Forgery(td_attributes=1 << 28 | 1),
    Forgery(rtmr3=b"\x01" * 48),
    Forgery(report_data=b"\x02" * 64),
    Forgery(other_key=True),
    Forgery(tamper=True),
    Forgery(collateral_age=9 * 24 * 3600),
    Forgery(broken_key=True),
)
LIES = (
    "invented chain",
    "older block",
    "other fork",
    "wrong slots",
    "no proof",
    "mixed",
    "garbage",
)


class Hostile:
    """The moves, on one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.forger = Forger(world.network)
        self.told: dict[str, list[FromHost]] = {name: [] for name in world.hosts}
        self.forged: set[bytes] = set()
        self.dropped_blocks: list[Block] = []
        self._invented: InventedNetwork | None = None

    # --- who may be lost ------------------------------------------------------------------------

    def expendable(self, name: str) -> bool:
        """Whether another guest holds the secret, by what is final."""
        return any(
            self.holds(other) for other in self.world.hosts.values() if other.guest.name != name
        )

    def holds(self, host: Host) -> bool:
        guest = host.guest
        phase = guest.node._phase
        if guest.exit is not None or not isinstance(phase, Member):
            return False
        final = self.world.chain.finalised
        slot = self.world.contract.chain.blocks[final.number].slots
        return _status_in(slot, phase._identity.address) is Status.ACTIVE

    # --- frames ---------------------------------------------------------------------------------

    def deliver(self, host: Host, message: FromHost) -> None:
        self.told[host.guest.name].append(message)
        del self.told[host.guest.name][:-50]
        host.tell(message)

    def harmless(self, host: Host, message: FromHost) -> bool:
        """Whether telling `message` cannot end the last holder of the secret."""
        if isinstance(message, Stale) and message.key.startswith(("register/", "bootstrap")):
            phase = host.guest.node._phase
            waits = not isinstance(phase, Member) and not host.bootstrap
            return waits or self.expendable(host.guest.name)
        if isinstance(message, Welcome) and host.bootstrap and host.guest.node._phase is None:
            return message.bootstrap or self.expendable(host.guest.name)
        return True

    def forged_frame(self, host: Host, kind: int, salt: int) -> FromHost:
        """A frame that no honest host would send now."""
        guest, members = host.guest, [g.address for g in self.world.guests]
        by = members[salt % len(members)]
        request = salt % 60
        keys = [p.key for g in self.world.guests for p in g.posts(PostRegister)]
        keys += [p.key for p in guest.posts(PostOnboards)] or ["renew/00"]
        documents = list(self.world.documents.values()) or [b"\xc0"]
        frames: Sequence[FromHost] = (
            self.forger.garbage(by, salt % 3, bytes([salt % 7])),
            self._misdirected(salt) or HeadSeen(salt),
            Stale(keys[salt % len(keys)]),
            Stored(keys[salt % len(keys)]),
            Newcomer(documents[salt % len(documents)]),
            GenesisFound(request, documents[salt % len(documents)]),
            CollateralFound(request, bytes([salt % 256]) * 40),
            Welcome(VERSION, bootstrap=bool(salt % 2)),
            Welcome(2, bootstrap=False),
            View(request, None),
            HeadSeen(2**40 + salt),
        )
        return frames[kind % len(frames)]

    def _misdirected(self, salt: int) -> HandedOver | None:
        """A real answer, for somebody else."""
        items = [
            (p.by, p.epoch, i)
            for g in self.world.guests
            for p in g.posts(PostOnboards)
            for i in p.items
        ]
        if not items:
            return None
        by, epoch, item = items[salt % len(items)]
        return HandedOver(by, epoch, item.attempt, item.ciphertext)

    def flipped(self, message: FromHost, at: int) -> FromHost | None:
        """The frame with one bit changed on the way; None where it no longer decodes."""
        payload = bytearray(link.frame(message)[LENGTH_BYTES:])
        payload[at % len(payload)] ^= 1 << (at % 8)
        try:
            return link.from_host(bytes(payload))
        except MalformedInput:
            return None

    # --- views ----------------------------------------------------------------------------------

    def lying_view(self, need: NeedView, lie: str, salt: int) -> UnverifiedView:
        """What a host shows instead of the chain; a witnessed guest refuses all but old truth."""
        chain, witnessed = self.world.chain, self.world.network.trust is Trust.WITNESSED
        honest = self.world.show(need)
        match lie:
            case "invented chain":
                made = self._invent().chain
                made.mine(seconds=max(1, chain.head.timestamp - made.head.timestamp))
                view = made.answer(need, witnessed=witnessed)
                return replace(view, witness=honest.witness) if salt % 2 else view
            case "older block":
                old = chain.blocks[max(1, chain.head.number - 1 - salt % 40)]
                final = chain.blocks[max(0, old.number - chain.finality)]
                shown = chain.view(
                    need.newest_slots,
                    need.finalised_slots,
                    need.ancestors,
                    newest=old,
                    finalised=final,
                    witnessed=witnessed,
                )
                return shown if salt % 2 else replace(shown, witness=honest.witness)
            case "other fork" if self.dropped_blocks:
                block = self.dropped_blocks[salt % len(self.dropped_blocks)]
                return replace(honest, newest=block.prove(chain.contract, need.newest_slots))
            case "wrong slots":
                few = chain.view(need.newest_slots[1:], need.finalised_slots, need.ancestors)
                return replace(few, witness=honest.witness)
            case "mixed":
                return replace(honest, newest=replace(honest.newest, nodes=self._other_nodes()))
            case "no proof":
                return replace(honest, newest=replace(honest.newest, nodes=()))
            case _:
                return replace(honest, newest=replace(honest.newest, header=bytes([salt % 256])))

    def _other_nodes(self) -> tuple[bytes, ...]:
        return self._invent().chain.answer(NeedView(0, (bytes(32),), (), 0)).newest.nodes

    def _invent(self) -> InventedNetwork:
        if self._invented is None:
            world = self.world
            self._invented = invent(world.network, Forgery(), like=world.chain)
            document = self._invented.bootstrap.document
            world.documents[document_hash(document)] = document
        return self._invented

    # --- the chain ------------------------------------------------------------------------------

    def forged_registration(self, kind: int) -> PostRegister:
        """Register a machine that must not be given anything; its document is offered to everyone."""
        chain = self.world.chain
        anchor = chain.blocks[max(0, chain.head.number - 8)]
        forgery = FORGERIES[kind % len(FORGERIES)]
        post = self.forger.registration(anchor, chain.head.timestamp, forgery)
        self.forged.add(post.message.node)
        self.world.contract.submit(post)
        return post

    def rogue_answer(self, member: GuestShell, newcomer: GuestShell, *, opens: bool) -> None:
        """Answer a newcomer with bytes that hold no right secret, by a member's own key."""
        register = self.world.registers.get(newcomer.address)
        phase = member.node._phase
        if register is None or not isinstance(phase, Member):
            return
        rogue = RogueMember(phase._identity, self.world.network.domain)
        attempt = self.world.contract.node(newcomer.address).attempt
        ciphertext = self.forger.garbage(phase._identity.address, attempt).ciphertext
        if opens:
            ciphertext = rogue.wrong_secret(register, attempt)
        post = rogue.answer(register, attempt, self.world.chain.head, ciphertext)
        self.world.contract.submit(post)

    def reorg(self, depth: int) -> None:
        self.dropped_blocks += self.world.chain.reorg(depth)
        del self.dropped_blocks[:-16]


def _status_in(slots: Mapping[bytes, int], address: bytes) -> Status:
    return layout.decode_node(slots.get(layout.node_slot(address), 0)).status
