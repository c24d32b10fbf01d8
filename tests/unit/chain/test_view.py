"""Stories about hosts that show the contract's state, and how far a lie of theirs gets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.chain import layout
from guest.chain.layout import Base, HeadRecord, NodeRecord, Status, Wanted
from guest.chain.trust import UnverifiedTrust, trust_for
from guest.chain.view import MAX_FINALITY_LAG, ChainReader, ChainView
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.link import StateProof, UnverifiedView
from guest.protocol.network import Trust
from tests.fakes import contract_storage as contract
from tests.fakes.fake_chain import Block, FakeChain

NODE, OTHER = b"\xaa" * 20, b"\xbb" * 20
ACTIVE = NodeRecord(b"\x01" * 20, Status.ACTIVE, 0, 1, 2**31, 1, 9)
REVOKED = replace(ACTIVE, status=Status.REVOKED)
WANTED = Wanted(nodes=(NODE,))
W = 60


class World:
    """A chain, a reader and a host between them that shows whatever the test wants."""

    def __init__(self, trust: Trust = Trust.WITNESSED, **options: int) -> None:
        self.chain = FakeChain(**options)  # type: ignore[arg-type]
        self.chain.mine(contract.node(NODE, ACTIVE))
        for _ in range(4):
            self.chain.mine()
        self.network = self.chain.network(trust, max_view_age=W)
        self.reader = ChainReader(self.network, trust_for(self.network))
        self.witnessed = trust is Trust.WITNESSED

    def shown(
        self,
        *,
        ancestors: int = 0,
        final: bool = True,
        newest: Block | None = None,
        finalised: Block | None = None,
    ) -> UnverifiedView:
        slots = WANTED.slots()
        return self.chain.view(
            slots,
            slots if final else (),
            ancestors,
            newest=newest,
            finalised=finalised,
            witnessed=self.witnessed,
        )

    def read(
        self,
        view: UnverifiedView,
        *,
        at: float = 0.0,
        ancestors: int = 0,
        final: bool = True,
        wanted: Wanted = WANTED,
    ) -> ChainView:
        return self.reader.read(
            view, newest=wanted, finalised=wanted if final else None, ancestors=ancestors, at=at
        )

    def refuses(self, view: UnverifiedView, reason: Reason, **options: float) -> Refused:
        with pytest.raises(Refused) as caught:
            self.read(view, **options)  # type: ignore[arg-type]
        assert caught.value.reason is reason
        return caught.value


def test_an_honest_view_proves_facts_under_both_headers() -> None:
    world = World()
    view = world.read(world.shown(ancestors=8), ancestors=8)
    assert view.newest.node(NODE) == ACTIVE
    assert view.require_finalised().node(NODE) == ACTIVE
    assert view.newest.header.number == world.chain.head.number
    assert view.require_finalised().header.number == world.chain.finalised.number


def test_a_revocation_shows_at_the_newest_header_before_it_is_final() -> None:
    world = World()
    world.chain.mine(contract.node(NODE, REVOKED))
    view = world.read(world.shown())
    assert view.newest.node(NODE).status is Status.REVOKED
    assert view.require_finalised().node(NODE).status is Status.ACTIVE


# --- an invented chain (G7) ---------------------------------------------------------------------


def test_g7_an_invented_chain_is_refused_by_a_witnessed_network() -> None:
    world = World()
    lie = FakeChain(witness_key=b"\x66" * 32)  # same contract, same code, all its own
    lie.mine(contract.node(NODE, ACTIVE))
    slots = WANTED.slots()
    world.refuses(lie.view(slots, slots, witnessed=True), Reason.HEADER_UNVOUCHED)
    world.refuses(lie.view(slots, slots), Reason.HEADER_UNVOUCHED)
    stolen = world.chain.statement()
    world.refuses(replace(lie.view(slots, slots), witness=stolen), Reason.HEADER_UNVOUCHED)


def test_g7_even_unverified_storage_is_read_by_proof_only() -> None:
    world = World(Trust.UNVERIFIED)
    honest = world.shown()
    world.chain.mine(contract.node(NODE, REVOKED))
    newer = world.shown()
    mixed = replace(newer, newest=StateProof(newer.newest.header, honest.newest.nodes))
    world.refuses(mixed, Reason.PROOF_INVALID)


def test_g7_a_witness_of_another_chain_does_not_count() -> None:
    world = World()
    other = FakeChain(chain_id=5)
    slots = WANTED.slots()
    world.refuses(other.view(slots, slots, witnessed=True), Reason.HEADER_UNVOUCHED)


def test_a_statement_whose_finalised_block_is_not_the_one_shown_is_refused() -> None:
    world = World()
    view = world.shown()
    shown = world.shown(finalised=world.chain.blocks[2])
    world.refuses(replace(view, finalised=shown.finalised), Reason.HEADER_UNVOUCHED)


def test_a_statement_that_calls_the_future_final_is_refused() -> None:
    world = World()
    blocks = world.chain.blocks
    view = world.shown(newest=blocks[3], finalised=blocks[5], final=False)
    world.refuses(view, Reason.HEADER_UNVOUCHED, final=False)


# --- a chain that is kept from the guest --------------------------------------------------------


def test_115_a_guest_that_is_kept_from_the_chain_stops_within_w() -> None:
    world = World()
    frozen = world.shown()
    view = world.read(frozen, at=100.0)
    world.read(frozen, at=100.0 + W)
    world.refuses(frozen, Reason.STALE_VIEW, at=100.0 + W + 1)
    with pytest.raises(Refused) as caught:
        world.reader.require_fresh(view, 100.0 + W + 1)
    assert caught.value.reason is Reason.STALE_VIEW


def test_115_a_view_from_before_the_removal_is_refused_after_it_was_seen() -> None:
    world = World(Trust.UNVERIFIED)
    before = world.shown()
    world.chain.mine(contract.node(NODE, REVOKED))
    world.read(world.shown())
    world.refuses(before, Reason.STALE_VIEW)


def test_a_host_that_falls_behind_bit_by_bit_is_refused_once_it_is_w_behind() -> None:
    world = World(Trust.UNVERIFIED)
    world.read(world.shown(), at=0.0)
    start = world.chain.head.number
    for second in range(1, 4 * W):
        world.chain.mine()  # the chain keeps its pace; the host shows it at half of it
        shown = world.chain.blocks[start + second // 2]
        view = world.shown(newest=shown, final=False)
        behind = world.chain.head.timestamp - shown.timestamp
        if behind > W:
            world.refuses(view, Reason.STALE_VIEW, at=second, final=False)
            return
        world.read(view, at=second, final=False)
    pytest.fail("a host may fall behind without end")


def test_the_same_height_with_another_hash_is_a_reorg_and_is_accepted() -> None:
    world = World(finality=4)
    world.read(world.shown())
    world.chain.reorg(2)
    view = world.read(world.shown())
    assert view.newest.header.hash == world.chain.head.hash


def test_a_shorter_chain_waits_until_it_has_grown() -> None:
    world = World(Trust.UNVERIFIED)
    world.read(world.shown())
    gone = world.chain.blocks.pop()
    world.refuses(world.shown(finalised=world.chain.blocks[4]), Reason.STALE_VIEW)
    world.chain.mine(seconds=2)
    assert world.chain.head.hash != gone.hash
    world.read(world.shown())


def test_days_that_pass_at_once_are_believed_forward_only() -> None:
    world = World()
    world.read(world.shown(), at=0.0)
    old = world.shown()
    world.chain.advance(3 * 86400)
    world.read(world.shown(), at=1.0)
    world.refuses(old, Reason.STALE_VIEW, at=1.0)


# --- finality -----------------------------------------------------------------------------------


def test_a_finalised_block_far_behind_the_newest_is_refused_for_now() -> None:
    world = World()
    world.chain.mine(seconds=MAX_FINALITY_LAG + 60)
    refusal = world.refuses(world.shown(), Reason.FINALITY_STALLED)
    assert not refusal.fatal
    world.chain.advance(10)
    world.read(world.shown())


def test_a_witness_that_unmakes_a_final_block_stops_the_guest() -> None:
    world = World(finality=2)
    world.read(world.shown())
    world.chain.reorg(4)
    assert world.refuses(world.shown(), Reason.FINALITY_BROKEN).fatal


def test_a_final_block_unmade_below_the_ancestors_shown_is_noticed_later() -> None:
    world = World(finality=2)
    world.read(world.shown())
    world.chain.reorg(4)
    for _ in range(3):
        world.chain.mine()
    # The finalised numbers of before and now differ; the ancestors tell.
    assert world.refuses(world.shown(ancestors=8), Reason.FINALITY_BROKEN, ancestors=8).fatal


def test_an_old_statement_of_a_fork_that_lost_is_stale_and_breaks_nothing() -> None:
    world = World(finality=4)
    lost = world.shown()
    world.chain.reorg(2)
    world.chain.finality = 0
    world.read(world.shown())  # the winner at that height is final now
    assert not world.refuses(lost, Reason.STALE_VIEW).fatal


def test_an_older_statement_is_refused_as_stale() -> None:
    world = World()
    old = world.shown()
    world.chain.mine()
    world.read(world.shown())
    world.refuses(old, Reason.STALE_VIEW)


def test_an_unverified_network_only_counts_what_contradicts_finality() -> None:
    world = World(Trust.UNVERIFIED, finality=2)
    world.read(world.shown())
    world.chain.reorg(4)
    world.read(world.shown())
    assert world.reader.trust.contradictions == 1
    world.read(world.shown())
    assert world.reader.trust.contradictions == 1


def test_a_finalised_block_that_is_not_below_the_newest_is_refused() -> None:
    world = World(Trust.UNVERIFIED, finality=2)
    stale = world.shown().finalised
    world.chain.reorg(4)
    world.refuses(
        replace(world.shown(ancestors=8), finalised=stale), Reason.HEADER_CHAIN, ancestors=8
    )
    ahead = world.shown(newest=world.chain.blocks[3], finalised=world.chain.blocks[5])
    world.refuses(ahead, Reason.HEADER_CHAIN)


def test_block_0_and_a_block_before_the_contract_are_not_yet_final_and_no_error() -> None:
    chain = FakeChain(deployed=False, finality=2)
    chain.deploy()
    network = chain.network()
    reader = ChainReader(network, UnverifiedTrust())
    slots = WANTED.slots()
    seen = []
    for _ in range(4):
        view = reader.read(
            chain.view(slots, slots), newest=WANTED, finalised=WANTED, ancestors=0, at=0.0
        )
        seen.append(view.finalised is not None)
        if view.finalised is None:
            with pytest.raises(Refused) as caught:
                view.require_finalised()
            assert caught.value.reason is Reason.NOT_YET_FINAL
        chain.mine()
    assert seen == [False, False, True, True]


def test_a_contract_that_is_younger_than_the_finalised_block_is_not_yet_final() -> None:
    chain = FakeChain(deployed=False, finality=2)
    for _ in range(5):
        chain.mine()
    chain.deploy()
    reader = ChainReader(chain.network(), UnverifiedTrust())
    slots = WANTED.slots()
    view = reader.read(
        chain.view(slots, slots), newest=WANTED, finalised=WANTED, ancestors=0, at=0.0
    )
    assert view.finalised is None
    assert "does not exist" in view.lacking


def test_1268_state_that_is_not_final_is_never_passed_off_as_final() -> None:
    world = World()
    view = world.read(replace(world.shown(), finalised=None))
    with pytest.raises(Refused) as caught:
        view.require_finalised()
    assert caught.value.reason is Reason.NOT_YET_FINAL
    # The newest proof under the finalised name: the witness says otherwise.
    shown = world.shown()
    world.refuses(replace(shown, finalised=shown.newest), Reason.HEADER_UNVOUCHED)


def test_a_finalised_state_that_nobody_asked_for_is_refused() -> None:
    world = World()
    world.refuses(world.shown(), Reason.PROOF_INVALID, final=False)


# --- the contract -------------------------------------------------------------------------------


def test_code_that_is_not_the_network_files_is_fatal_at_either_header() -> None:
    world = World()
    good = world.shown()
    world.chain.set_code(b"another contract")
    assert world.refuses(world.shown(), Reason.CODE_HASH).fatal
    other = FakeChain(code=b"another contract")
    for _ in range(3):
        other.mine()
    unverified = ChainReader(world.network, UnverifiedTrust())
    slots = WANTED.slots()
    mixed = replace(good, finalised=other.view(slots, slots).finalised)
    with pytest.raises(Refused) as caught:
        unverified.read(mixed, newest=WANTED, finalised=WANTED, ancestors=0, at=0.0)
    assert caught.value.reason is Reason.CODE_HASH


def test_no_contract_at_the_newest_header_may_pass_for_a_node_may_lag() -> None:
    chain = FakeChain(deployed=False)
    chain.mine()
    reader = ChainReader(chain.network(), UnverifiedTrust())
    with pytest.raises(Refused) as caught:
        reader.read(chain.view(WANTED.slots()), newest=WANTED, finalised=None, ancestors=0, at=0.0)
    assert caught.value.reason is Reason.NO_CONTRACT
    assert not caught.value.fatal


def test_storage_that_the_contract_cannot_write_is_refused() -> None:
    world = World(Trust.UNVERIFIED)
    world.chain.mine({layout.node_slot(NODE): 9 << 160})
    world.refuses(world.shown(), Reason.PROOF_INVALID)


def test_reading_what_was_not_proven_is_our_own_bug_and_never_zero() -> None:
    world = World()
    state = world.read(world.shown()).newest
    assert state.head() == HeadRecord(bytes(20), 0, 0, 0, 0, False)
    for ask in (
        lambda: state.node(OTHER),
        lambda: state.epoch(1),
        lambda: state.measurement(bytes(32)),
        lambda: state.allowed(1),
        lambda: state.rejected(NODE, OTHER),
        state.genesis,
    ):
        with pytest.raises(ProtocolViolation):
            ask()


def test_an_extra_node_in_either_proof_is_refused() -> None:
    world = World()
    shown = world.shown()
    assert shown.finalised is not None
    extra = (*shown.newest.nodes, b"\xc2\x80\x80 and ballast")
    world.refuses(replace(shown, newest=replace(shown.newest, nodes=extra)), Reason.PROOF_INVALID)
    extra = (*shown.finalised.nodes, b"ballast")
    world.refuses(
        replace(shown, finalised=replace(shown.finalised, nodes=extra)), Reason.PROOF_INVALID
    )


# --- ancestors ----------------------------------------------------------------------------------


def test_the_anchor_lies_eight_blocks_back_and_at_block_0_while_the_chain_is_short() -> None:
    world = World(Trust.UNVERIFIED)
    for _ in range(12):
        view = world.read(world.shown(ancestors=8), ancestors=8)
        number = max(0, world.chain.head.number - 8)
        assert view.anchor().number == number
        assert view.anchor().hash == world.chain.blocks[number].hash
        world.chain.mine()


def test_the_anchor_of_a_chain_of_one_block_is_that_block() -> None:
    world = World(Trust.UNVERIFIED)
    view = world.read(world.shown(ancestors=8), ancestors=8)
    assert view.anchor(0) == view.newest.header


def test_an_anchor_beyond_the_ancestors_asked_for_is_our_own_bug() -> None:
    world = World()
    view = world.read(world.shown(ancestors=2), ancestors=2)
    with pytest.raises(ProtocolViolation):
        view.anchor(3)


def test_ancestors_of_another_fork_are_refused() -> None:
    world = World(finality=5)
    before = world.shown(ancestors=4)
    world.chain.reorg(2)
    after = world.shown(ancestors=4)
    world.refuses(replace(after, ancestors=before.ancestors), Reason.HEADER_CHAIN, ancestors=4)
    mixed = (after.ancestors[0], *before.ancestors[:3])
    world.refuses(replace(after, ancestors=mixed), Reason.HEADER_CHAIN, ancestors=4)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_too_few_or_too_many_ancestors_are_refused(count: int) -> None:
    world = World()
    world.refuses(world.shown(ancestors=count), Reason.HEADER_CHAIN, ancestors=4)


# --- what a refused view leaves behind ----------------------------------------------------------


def mutilated(view: UnverifiedView, data: st.DataObject) -> UnverifiedView:
    """One byte of one header, node or the statement's signature changed."""
    assert view.finalised is not None
    assert view.witness is not None

    def flip(raw: bytes) -> bytes:
        changed = bytearray(raw)
        changed[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        return bytes(changed)

    def proof(state: StateProof) -> StateProof:
        which = data.draw(st.integers(-1, len(state.nodes) - 1))
        if which < 0:
            return replace(state, header=flip(state.header))
        nodes = list(state.nodes)
        nodes[which] = flip(nodes[which])
        return replace(state, nodes=tuple(nodes))

    match data.draw(st.sampled_from(["newest", "finalised", "ancestors", "witness"])):
        case "newest":
            return replace(view, newest=proof(view.newest))
        case "finalised":
            return replace(view, finalised=proof(view.finalised))
        case "ancestors":
            which = data.draw(st.integers(0, len(view.ancestors) - 1))
            below = list(view.ancestors)
            below[which] = flip(below[which])
            return replace(view, ancestors=tuple(below))
        case _:
            signature = flip(view.witness.signature)
            return replace(view, witness=replace(view.witness, signature=signature))


@given(st.data())
def test_any_changed_byte_is_refused_and_changes_nothing(data: st.DataObject) -> None:
    world = World()
    if data.draw(st.booleans()):
        world.read(world.shown())
    world.chain.mine(contract.node(OTHER, ACTIVE), seconds=data.draw(st.integers(1, 3 * W)))
    world.chain.advance(5)
    before = world.reader.lower_bound(7.0), _memory(world.reader)
    with pytest.raises((Refused, MalformedInput)):
        world.read(mutilated(world.shown(ancestors=4), data), ancestors=4, at=7.0)
    assert (world.reader.lower_bound(7.0), _memory(world.reader)) == before
    world.read(world.shown(ancestors=4), ancestors=4, at=7.0)


def _memory(reader: ChainReader) -> str:
    """Everything that the reader and its trust remember, as text."""
    trust = reader.trust
    return repr(reader._newest) + repr(trust._finality.__dict__)  # type: ignore[attr-defined]


def test_a_view_that_is_refused_late_moves_neither_clock_nor_finality() -> None:
    world = World()
    world.read(world.shown(), at=0.0)
    before = world.reader.lower_bound(0.0), _memory(world.reader)
    world.chain.set_code(b"other code")
    world.chain.advance(40)
    world.refuses(world.shown(), Reason.CODE_HASH)
    assert (world.reader.lower_bound(0.0), _memory(world.reader)) == before


def test_every_kind_of_fact_is_read_from_its_slots() -> None:
    chain = FakeChain()
    head = HeadRecord(b"\x05" * 20, 3, 2, 7, 1, True)
    first = layout.EpochRecord(b"\x06" * 20, b"\x07" * 20, 1234)
    image = layout.MeasurementRecord(300, layout.MeasurementState.ALLOWED, True, 9, 0)
    genesis = layout.GenesisRecord(b"\x08" * 32, NODE, 5, 99)
    chain.mine(
        contract.head(head)
        | contract.epoch(3, first, retired=77)
        | contract.measurement(b"\x09" * 32, image)
        | contract.allowed(300, 511)
        | contract.rejected(NODE, OTHER)
        | contract.genesis(genesis)
    )
    wanted = Wanted(
        nodes=(NODE,),
        measurements=(b"\x09" * 32,),
        epochs=(3, 4),
        allowed_words=(1,),
        rejected=((NODE, OTHER), (OTHER, NODE)),
        genesis=True,
    )
    reader = ChainReader(chain.network(), UnverifiedTrust())
    view = reader.read(
        chain.view(reader.slots(wanted)), newest=wanted, finalised=None, ancestors=0, at=0.0
    )
    state = view.newest
    assert state.head() == head
    assert state.epoch(3) == first
    assert state.epoch(4) == layout.EpochRecord(bytes(20), bytes(20), 0)
    assert state.measurement(b"\x09" * 32) == image
    assert [state.allowed(index) for index in (299, 300, 511)] == [False, True, True]
    assert state.rejected(NODE, OTHER)
    assert not state.rejected(OTHER, NODE)
    assert state.genesis() == genesis
    assert state.node(NODE).status is Status.NONE
    with pytest.raises(ProtocolViolation):
        state.allowed(1)
    assert Base.HEAD == 0
