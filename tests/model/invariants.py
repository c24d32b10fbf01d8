"""What must hold after every step of every history, one function each. Each fails with its story.

`invariant_no_secret_leaves_unsealed` and the order of seal, apps and exit are judged by the shell at
every effect; what is here looks at the whole world.
"""

from collections.abc import Iterator

from guest.chain import layout
from guest.chain.layout import MeasurementState, Status
from guest.core.joiner import Joiner
from guest.core.member import ANSWER_LIFE, Member
from guest.evidence.attestation import verify_registration
from guest.evidence.header import decode_header
from guest.protocol.digests import digest, document_hash, handover_id
from guest.protocol.errors import FATAL, Reason
from guest.protocol.link import (
    PostBootstrap,
    PostConfirm,
    PostOnboards,
    PostRegister,
    PostReject,
    PostRenew,
)
from guest.protocol.messages import Confirm, Handover
from guest.protocol.primitives import require_signer
from host.chain import events
from tests.fakes.adversary import commitment_of
from tests.fakes.fake_chain import Block
from tests.fakes.guest_shell import GuestShell
from tests.model.world import World


class Watch:
    """Sees each thing that a guest said once, and every block that was ever on the chain."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blocks: dict[bytes, Block] = {}
        self.names: dict[bytes, str] = {}
        self.ciphertexts: dict[tuple[str, bytes, int], tuple[bytes, int]] = {}
        self.signed: set[bytes] = set()
        self._read: dict[tuple[str, str, type], int] = {}

    def see_blocks(self) -> None:
        for block in reversed(self.world.chain.blocks):
            if block.hash in self.blocks:
                break
            self.blocks[block.hash] = block

    def fresh(self, kind: type, reader: str = "") -> Iterator[tuple[GuestShell, object]]:
        """What guests said of one kind since `reader` asked last."""
        for guest in self.world.guests:
            key = guest.node_name, reader, kind
            said = guest.all_said
            for message in said[self._read.get(key, 0) :]:
                if isinstance(message, kind):
                    yield guest, message
            self._read[key] = len(said)

    def check(self) -> None:
        """Run every invariant."""
        self.see_blocks()
        self.invariant_register_keys_are_never_reused()
        self.invariant_no_handover_without_a_verified_quote_allowed_now()
        self.invariant_confirm_only_for_the_right_secret()
        self.invariant_confirm_and_reject_only_what_storage_names()
        self.invariant_one_ciphertext_for_each_attempt()
        self.invariant_posts_signed_only_under_accepted_views()
        self.invariant_at_most_one_onboarding_wins_per_attempt()
        self.invariant_members_share_one_secret()
        self.invariant_only_the_owner_stops_a_guest_for_good()
        self.invariant_apps_are_served_by_sealed_members_only()

    def invariant_register_keys_are_never_reused(self) -> None:
        for guest, post in self.fresh(PostRegister):
            assert isinstance(post, PostRegister)
            self._named(post.message.node, f"{guest.node_name}/{post.key}")
            self._named(post.message.encryption_key_hash, f"{guest.node_name}/{post.key}")
        for guest, post in self.fresh(PostBootstrap):
            assert isinstance(post, PostBootstrap)
            owner = f"{guest.node_name}/{document_hash(post.document).hex()}"
            self._named(post.message.node, owner)
            self._named(post.message.x_pub, owner)

    def _named(self, key: bytes, owner: str) -> None:
        assert self.names.setdefault(key, owner) == owner, (
            "keys were used for a second registration"
        )

    def invariant_no_handover_without_a_verified_quote_allowed_now(self) -> None:
        for guest, post in self.fresh(PostOnboards):
            assert isinstance(post, PostOnboards)
            view = self.blocks.get(post.view_hash)
            assert view is not None, "a hand-over under a block that never was"
            self._signed_in_time(post, view)
            final = self._ancestor(view, self.world.chain.finality)
            for block in (view, final):
                by = layout.decode_node(block.slots.get(layout.node_slot(post.by), 0))
                assert by.status is Status.ACTIVE, f"{guest.name} gave before it was final"
            for item in post.items:
                register = self.world.registers.get(item.node)
                assert register is not None, "a hand-over to a machine that is no guest of ours"
                assert item.commitment == commitment_of(register, self.world.network.domain)
                self._deserved(register, view, final)

    def _signed_in_time(self, post: PostOnboards, view: Block) -> None:
        """The view was at most 2 W old; what a host lost is said again, and was signed before."""
        if post.signature not in self.signed:
            self.signed.add(post.signature)
            age = self.world.clock.now + self.world.wall - view.timestamp
            limit = 2 * self.world.network.max_view_age
            assert age <= limit, f"a hand-over under a view that is {age:.0f} s old"

    def _deserved(self, register: PostRegister, view: Block, final: Block) -> None:
        verify_registration(register.document, network=self.world.network, now=view.timestamp)
        node = layout.decode_node(view.slots.get(layout.node_slot(register.message.node), 0))
        assert node.status is Status.PENDING
        assert view.timestamp <= node.until
        for block in (view, final):
            slot = layout.measurement_slot(register.message.measurement_id)
            image = layout.decode_measurement(block.slots.get(slot, 0))
            assert image.state is MeasurementState.ALLOWED

    def _ancestor(self, block: Block, depth: int) -> Block:
        for _ in range(min(depth, block.number)):
            block = self.blocks[decode_header(block.header).parent_hash]
        return block

    def invariant_confirm_only_for_the_right_secret(self) -> None:
        for _, post in self.fresh(PostConfirm):
            assert isinstance(post, PostConfirm)
            signed = digest(self.world.network.domain, Confirm(post.node, post.handover))
            x_pub = self.world.contract.head().x_pub
            if any(x_pub):  # a reorg may have taken the bootstrap back for a moment
                require_signer(signed, post.epoch_signature, x_pub)

    def invariant_confirm_and_reject_only_what_storage_names(self) -> None:
        named = {
            (event.node, event.handover)
            for log in self.world.contract.log.values()
            for event in log
            if isinstance(event, events.Onboarded)
        }
        for kind in (PostConfirm, PostReject):
            for _, post in self.fresh(kind, "what storage names"):
                assert isinstance(post, PostConfirm | PostReject)
                assert (post.node, self._handover_of(post)) in named, "H that storage never named"

    def _handover_of(self, post: PostConfirm | PostReject) -> bytes:
        if isinstance(post, PostConfirm):
            return post.handover
        record = self.blocks[post.view_hash].slots[layout.node_slot(post.node)]
        attempt = layout.decode_node(record).attempt
        handover = Handover(post.node, post.by, 1, attempt, post.commitment)
        return handover_id(self.world.network.domain, handover, post.ciphertext_hash)

    def invariant_one_ciphertext_for_each_attempt(self) -> None:
        for guest, post in self.fresh(PostOnboards, "one ciphertext"):
            assert isinstance(post, PostOnboards)
            now = self.blocks[post.view_hash].timestamp
            for item in post.items:
                place = (guest.node_name, item.node, item.attempt)
                first, made = self.ciphertexts.get(place, (item.ciphertext, now))
                # Hours in a few blocks outlive what a member keeps; no real anchor lives that long.
                lasting = now - made <= ANSWER_LIFE
                assert not lasting or first == item.ciphertext, (
                    "a second ciphertext for one attempt"
                )
                self.ciphertexts[place] = (item.ciphertext, now)

    def invariant_posts_signed_only_under_accepted_views(self) -> None:
        for kind in (PostReject, PostRenew):
            for _, post in self.fresh(kind):
                assert isinstance(post, PostReject | PostRenew)
                assert post.view_hash in self.blocks, "signed under a block that never was"
        for guest in self.world.guests:
            anchors = [post.message.anchor_hash for post in guest.posts(PostRegister)]
            anchors += [post.message.anchor_hash for post in guest.posts(PostBootstrap)]
            assert set(anchors) <= set(self.blocks), "an anchor that never was"

    def invariant_at_most_one_onboarding_wins_per_attempt(self) -> None:
        won: set[tuple[bytes, int]] = set()
        for _, event in self.world.contract.events_since(-1):
            if isinstance(event, events.Onboarded):
                assert (event.node, event.attempt) not in won
                won.add((event.node, event.attempt))

    def invariant_members_share_one_secret(self) -> None:
        held = [
            guest.node._phase._keys
            for guest in self.world.guests
            if isinstance(guest.node._phase, Member)
            and guest.exit is None
            and self.world.contract.node(guest.node._phase._identity.address).status
            is Status.ACTIVE
        ]
        x_pub = self.world.contract.head().x_pub
        for keys in held:
            assert len(keys.secret) == 32, "a member's secret was wiped"
            assert keys.secret.matches(held[0].secret)
            assert keys.addresses.x_pub == x_pub

    def invariant_only_the_owner_stops_a_guest_for_good(self) -> None:
        for guest in self.world.guests:
            if guest.exit is not None and not guest.exit.rejoin:
                assert guest.exit.reason in FATAL
                assert guest.exit.reason is Reason.REVOKED, guest.exit

    def invariant_apps_are_served_by_sealed_members_only(self) -> None:
        for guest in self.world.guests:
            if guest.apps is not None:
                assert guest.machine.sealed
                assert isinstance(guest.node._phase, Member)
            if isinstance(guest.node._phase, Joiner) and guest.exit is None:
                sealing = guest.node._sealing is not None
                assert sealing or not guest.machine.sealed
