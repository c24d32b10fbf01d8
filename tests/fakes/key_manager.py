"""The contract `KeyManager` in Python over `FakeChain` storage: the same slots, rules and refusals.

Calls are what guests ask to be posted, or what the owner and passers-by do. Each is a transaction: it
applies as a whole or reverts by the name of the contract's error. Messages are checked by the digests
and signatures of the real protocol. A reorg of the chain takes storage and events back by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from guest.chain import layout
from guest.chain.layout import (
    Base,
    EpochRecord,
    GenesisRecord,
    HeadRecord,
    MeasurementRecord,
    MeasurementState,
    NodeRecord,
    Status,
)
from guest.protocol.digests import commitment, digest, document_hash, handover_id
from guest.protocol.errors import Refused
from guest.protocol.link import (
    OnboardItem,
    PostBootstrap,
    PostConfirm,
    PostLeave,
    PostOnboards,
    PostRegister,
    PostReject,
    PostRenew,
    Posts,
)
from guest.protocol.messages import (
    Confirm,
    Handover,
    Leave,
    Onboard,
    OnboardBatch,
    OnboardEntry,
    RegisterTx,
    Reject,
    Renew,
    Signed,
)
from guest.protocol.network import Network
from guest.protocol.primitives import keccak256, require_signer
from guest.protocol.sizes import ZERO_ADDRESS
from host.chain import events
from host.chain.events import ContractEvent, Refusal
from tests.fakes import contract_storage as storage
from tests.fakes.fake_chain import Block, FakeChain

LEASE = 7 * 24 * 3600
HOUR = 3600
GRACE = 7 * 24 * 3600
MAX_ATTEMPTS = 8
MAX_BATCH = 64
CIPHERTEXT_BYTES = 1168
MAX_DOCUMENT = 96 * 1024
MAX_GENESIS_MEASUREMENTS = 8


@dataclass(frozen=True, slots=True)
class Propose:
    """`proposeMeasurement`, by the owner."""

    measurement: bytes


@dataclass(frozen=True, slots=True)
class Activate:
    """`activateMeasurement`, by anyone."""

    measurement: bytes


@dataclass(frozen=True, slots=True)
class Cancel:
    """`cancelMeasurement`, by the owner."""

    measurement: bytes


@dataclass(frozen=True, slots=True)
class Remove:
    """`removeMeasurement`, by the owner."""

    measurement: bytes


@dataclass(frozen=True, slots=True)
class Revoke:
    """`revoke`, by the owner."""

    node: bytes


@dataclass(frozen=True, slots=True)
class Expire:
    """`expire`, by anyone."""

    node: bytes


@dataclass(frozen=True, slots=True)
class ConfirmBatch:
    """`confirmBatch`, by anyone: several guests' receipts in one transaction."""

    receipts: tuple[PostConfirm, ...]


Call: TypeAlias = Posts | Propose | Activate | Cancel | Remove | Revoke | Expire | ConfirmBatch


class Reverted(Exception):
    """The transaction reverted; `error` is the name of the contract's error."""

    def __init__(self, error: str, *details: object) -> None:
        super().__init__(f"{error}({', '.join(str(detail) for detail in details)})")
        self.error = error
        self.details = details


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a call: its events, or the error by which it reverted."""

    call: Call
    error: str
    events: tuple[ContractEvent, ...]
    why: str = ""


@dataclass(slots=True)
class _State:
    """Storage while a block is being made."""

    number: int
    timestamp: int
    base: dict[bytes, int]
    blocks: Sequence[Block]
    writes: dict[bytes, int] = field(default_factory=dict)
    events: list[ContractEvent] = field(default_factory=list)

    def at(self, slot: bytes) -> int:
        return self.writes.get(slot, self.base.get(slot, 0))

    def put(self, entries: dict[bytes, int]) -> None:
        self.writes.update(entries)

    def copy(self) -> "_State":
        return replace(self, writes=dict(self.writes), events=[])

    def head(self) -> HeadRecord:
        return layout.decode_head(self.at(layout.base_slot(Base.HEAD)))

    def node(self, address: bytes) -> NodeRecord:
        return layout.decode_node(self.at(layout.node_slot(address)))

    def measurement(self, measurement: bytes) -> MeasurementRecord:
        return layout.decode_measurement(self.at(layout.measurement_slot(measurement)))

    def allowed(self, index: int) -> bool:
        return bool(self.at(layout.allowed_slot(index >> 8)) >> (index & 255) & 1)

    def rejected(self, node: bytes, by: bytes) -> bool:
        return bool(self.at(layout.rejected_slot(node, by)))

    def block_hash(self, number: int) -> bytes:
        """`blockhash`: zero but for the last 256 blocks below this one."""
        if not max(0, self.number - 256) <= number < self.number:
            return bytes(32)
        return self.blocks[number].hash


class KeyManager:
    """See the module. `mine` runs what was submitted; `simulate` asks what would happen."""

    def __init__(self, chain: FakeChain, network: Network) -> None:
        self.chain = chain
        self.network = network
        self.pool: list[tuple[Call, bool]] = []
        self.log: dict[bytes, tuple[ContractEvent, ...]] = {}
        """Events by block hash: those of blocks that a reorg dropped stay, and are not looked at."""

    # --- transactions ---------------------------------------------------------------------------

    def submit(self, call: Call, *, owner: bool = False) -> None:
        self.pool.append((call, owner))

    def mine(self, seconds: int | None = None) -> list[Receipt]:
        """Mine one block of everything submitted, in order."""
        state, receipts = self._pending(seconds), []
        pool, self.pool = self.pool, []
        for call, owner in pool:
            receipts.append(self._run(state, call, owner))
        block = self.chain.mine(state.writes, seconds=seconds)
        self.log[block.hash] = tuple(event for r in receipts for event in r.events)
        return receipts

    def do(self, call: Call, *, owner: bool = False, seconds: int | None = None) -> Receipt:
        """Mine `call` alone after what waits; raise `Reverted` where it reverts."""
        self.submit(call, owner=owner)
        receipt = self.mine(seconds)[-1]
        if receipt.error:
            raise Reverted(receipt.error, receipt.why)
        return receipt

    def simulate(self, call: Call, *, owner: bool = False) -> Receipt:
        """What `call` would do in the next block, after what waits (the block tag `pending`)."""
        state = self._pending(None)
        for waiting, by_owner in self.pool:
            self._run(state, waiting, by_owner)
        return self._run(state, call, owner)

    def events_since(self, number: int) -> list[tuple[Block, ContractEvent]]:
        """Events of the blocks above `number`, on the chain as it is."""
        blocks = self.chain.blocks[number + 1 :]
        return [(block, event) for block in blocks for event in self.log.get(block.hash, ())]

    # --- what is on the chain now ---------------------------------------------------------------

    def head(self) -> HeadRecord:
        return self._now().head()

    def node(self, address: bytes) -> NodeRecord:
        return self._now().node(address)

    def measurement(self, measurement: bytes) -> MeasurementRecord:
        return self._now().measurement(measurement)

    def epoch(self, number: int) -> EpochRecord:
        state = self._now()
        return layout.decode_epoch(*[state.at(slot) for slot in layout.epoch_slots(number)])

    def genesis(self) -> GenesisRecord:
        state = self._now()
        slots = (layout.base_slot(Base.GENESIS_DOCUMENT), layout.base_slot(Base.GENESIS))
        return layout.decode_genesis(*[state.at(slot) for slot in slots])

    def _now(self) -> _State:
        head = self.chain.head
        return _State(head.number, head.timestamp, dict(head.slots), self.chain.blocks)

    def _pending(self, seconds: int | None) -> _State:
        head = self.chain.head
        after = self.chain.block_time if seconds is None else seconds
        return _State(head.number + 1, head.timestamp + after, dict(head.slots), self.chain.blocks)

    def _run(self, state: _State, call: Call, owner: bool) -> Receipt:
        trial = state.copy()
        try:
            _Call(trial, self.network, owner).run(call)
        except Reverted as revert:
            return Receipt(call, revert.error, (), str(revert))
        state.writes = trial.writes
        return Receipt(call, "", tuple(trial.events))


@dataclass(frozen=True, slots=True)
class _Call:
    """One transaction in one state. Method by method the twin of the Solidity functions."""

    s: _State
    network: Network
    owner: bool

    def run(self, call: Call) -> None:  # noqa: C901, PLR0912 - one branch for each function
        match call:
            case PostBootstrap():
                self.bootstrap(call)
            case PostRegister():
                self.register(call)
            case PostOnboards():
                self.onboards(call)
            case PostConfirm():
                self.confirm(call)
            case ConfirmBatch(receipts):
                self.confirm_batch(receipts)
            case PostReject():
                self.reject(call)
            case PostRenew():
                self.renew(call)
            case PostLeave(_, node, value, signature):
                self.revoke(node, value, signature)
            case Revoke(node):
                self.revoke(node, bytes(32), bytes(65))
            case Expire(node):
                self.expire(node)
            case Propose(measurement):
                self.propose(measurement)
            case Activate(measurement):
                self.activate(measurement)
            case Cancel(measurement):
                self.cancel(measurement)
            case Remove(measurement):
                self.remove(measurement)

    # --- the life of a node ---------------------------------------------------------------------

    def bootstrap(self, post: PostBootstrap) -> None:
        m, s = post.message, self.s
        self._only_owner()
        require(s.head().epoch == 0, "AlreadyBootstrapped")
        require(m.app_root != ZERO_ADDRESS, "ZeroArgument", "appRoot")
        require(0 < len(post.document) <= MAX_DOCUMENT, "DocumentSize", len(post.document))
        index = self._require_allowed(m.measurement_id)
        self._require_block(m.anchor_number, m.anchor_hash)
        self._require_signed(m, m.node, post.node_signature)
        self._require_signed(m, m.x_pub, post.epoch_signature)
        named = document_hash(post.document)
        s.put(storage.head(HeadRecord(m.x_pub, 1, 1, 1, 0, rotation_due=False)))
        s.put(storage.epoch(1, EpochRecord(m.x_pub, m.app_root, s.timestamp)))
        s.put(storage.genesis(GenesisRecord(named, m.node, s.number, s.timestamp)))
        lease = s.timestamp + LEASE
        self._put(m.node, NodeRecord(commitment(m)[12:], Status.ACTIVE, 0, 1, lease, index, 0))
        s.events.append(
            events.Bootstrapped(
                m.node,
                m.encryption_key_hash,
                m.measurement_id,
                m.anchor_number,
                m.anchor_hash,
                m.x_pub,
                m.app_root,
                named,
                lease,
            )
        )
        s.events.append(events.EpochStarted(1, m.x_pub, m.app_root))

    def register(self, post: PostRegister) -> None:
        m, s = post.message, self.s
        head, was = s.head(), s.node(m.node)
        require(head.epoch != 0, "NotBootstrapped")
        require(was.status is Status.NONE, "AlreadyRegistered", was.status.name)
        index = self._require_allowed(m.measurement_id)
        self._require_block(m.anchor_number, m.anchor_hash)
        named = document_hash(post.document)
        signed = RegisterTx(digest(self.network.domain, m), named)
        self._require_signed(signed, m.node, post.signature)
        expires = s.timestamp + HOUR
        seed = int.from_bytes(keccak256(s.blocks[s.number - 1].hash)[-2:], "big")
        record = NodeRecord(
            commitment(signed)[12:], Status.PENDING, was.attempt, head.epoch, expires, index, seed
        )
        self._put(m.node, record)
        self._count(pending=1)
        s.events.append(
            events.Registered(
                m.node,
                m.encryption_key_hash,
                m.measurement_id,
                m.anchor_number,
                m.anchor_hash,
                named,
                seed,
                expires,
                post.signature,
            )
        )

    def onboards(self, post: PostOnboards) -> None:
        """`onboard` for one item, `onboardBatch` for several: the host chooses by the count."""
        require(0 < len(post.items) <= MAX_BATCH, "BatchSize", len(post.items))
        self._require_may_give(post.by, post.epoch)
        self._require_block(post.view_number, post.view_hash)
        if len(post.items) == 1:
            (item,) = post.items
            refusal = self._refusal_to_onboard(item, post.by)
            require(refusal is Refusal.NONE, "Refused", refusal.name)
        for item in post.items:
            size = len(item.ciphertext)
            require(size == CIPHERTEXT_BYTES, "CiphertextSize", size)
        self._require_signed(_onboard_message(post), post.by, post.signature)
        for item in post.items:
            refusal = self._refusal_to_onboard(item, post.by)
            if refusal is not Refusal.NONE:
                self.s.events.append(events.Skipped(item.node, post.by, refusal))
                continue
            self._hand_over(item, post)

    def confirm(self, post: PostConfirm) -> None:
        refusal = self._refusal_to_confirm(post)
        require(refusal is Refusal.NONE, "Refused", refusal.name)
        self._make_active(post)

    def confirm_batch(self, receipts: tuple[PostConfirm, ...]) -> None:
        require(0 < len(receipts) <= MAX_BATCH, "BatchSize", len(receipts))
        for receipt in receipts:
            refusal = self._refusal_to_confirm(receipt)
            if refusal is Refusal.NONE:
                self._make_active(receipt)
            else:
                self.s.events.append(events.Skipped(receipt.node, ZERO_ADDRESS, refusal))

    def reject(self, post: PostReject) -> None:
        s = self.s
        n = s.node(post.node)
        require(n.status is Status.ONBOARDED, "WrongStatus", n.status.name)
        require(s.timestamp <= n.until, "TooLate")
        self._require_block(post.view_number, post.view_hash)
        handover = Handover(post.node, post.by, n.epoch, n.attempt, post.commitment)
        identifier = handover_id(self.network.domain, handover, post.ciphertext_hash)
        require(identifier[12:] == n.commitment, "WrongHandover")
        message = Reject(post.node, identifier, post.reason, post.view_number, post.view_hash)
        self._require_signed(message, post.node, post.signature)
        back = replace(n, commitment=post.commitment[12:], attempt=n.attempt + 1)
        s.events.append(events.Rejected(post.node, post.by, n.attempt, post.reason))
        if back.attempt == MAX_ATTEMPTS:
            self._put(post.node, replace(back, status=Status.FAILED))
            self._count(pending=-1)
            s.events.append(events.Failed(post.node))
            return
        self._put(post.node, replace(back, status=Status.PENDING, until=s.timestamp + HOUR))
        s.put(storage.rejected(post.node, post.by))

    def renew(self, post: PostRenew) -> None:
        n = self._require_holder(post.node)
        self._require_block(post.view_number, post.view_hash)
        message = Renew(post.node, post.view_number, post.view_hash)
        self._require_signed(message, post.node, post.signature)
        lease = self.s.timestamp + LEASE
        self._put(post.node, replace(n, until=lease))
        self.s.events.append(events.Renewed(post.node, lease))

    def revoke(self, node: bytes, value: bytes, signature: bytes) -> None:
        n = self.s.node(node)
        alive = (Status.PENDING, Status.ONBOARDED, Status.ACTIVE)
        require(n.status in alive, "WrongStatus", n.status.name)
        if not self.owner:
            require(value[12:] == n.commitment, "WrongCommitment")
            self._require_signed(Leave(node, value), node, signature)
        self._put(node, replace(n, status=Status.REVOKED))
        active = n.status is Status.ACTIVE
        self._count(members=-1 if active else 0, pending=0 if active else -1)
        was = events.Status(n.status)
        self.s.events.append(events.Revoked(node, was, not self.owner))

    def expire(self, node: bytes) -> None:
        s = self.s
        n = s.node(node)
        require(n.status in (Status.PENDING, Status.ONBOARDED, Status.ACTIVE), "WrongStatus")
        grace = GRACE if n.status is Status.ACTIVE else 0
        require(s.timestamp > n.until + grace, "TooEarly")
        if n.status is Status.ACTIVE:
            require(s.head().members > 1, "LastMember")
            self._count(members=-1)
        else:
            self._count(pending=-1)
        over = Status.UNCONFIRMED if n.status is Status.ONBOARDED else Status.EXPIRED
        self._put(node, replace(n, status=over))
        unconfirmed = over is Status.UNCONFIRMED
        s.events.append(events.Unconfirmed(node) if unconfirmed else events.Expired(node))

    # --- images ---------------------------------------------------------------------------------

    def propose(self, measurement: bytes) -> None:
        s = self.s
        self._only_owner()
        require(measurement != bytes(32), "ZeroArgument", "id")
        m = s.measurement(measurement)
        new = m.state in (MeasurementState.NONE, MeasurementState.CANCELLED)
        require(new, "WrongMeasurementState", m.state.name)
        genesis = s.head().epoch == 0
        count, genesis_count = _counts(s.at(_COUNTERS))
        index = m.index or count + 1
        start = s.timestamp + (0 if genesis else self.network.notice)
        s.put(
            storage.measurement(
                measurement,
                MeasurementRecord(index, MeasurementState.PROPOSED, genesis, start, 0),
            )
        )
        s.events.append(events.MeasurementProposed(measurement, index, bytes(32), start, genesis))
        if genesis:
            require(genesis_count < MAX_GENESIS_MEASUREMENTS, "TooManyMeasurements")
            genesis_count += 1
            self._allow(measurement)
        s.put({_COUNTERS: max(count, index) << 64 | genesis_count << 80})

    def activate(self, measurement: bytes) -> None:
        m = self._require_state(measurement, MeasurementState.PROPOSED)
        require(self.s.timestamp >= m.active_from, "NoticeRunning")
        self._allow(measurement)

    def cancel(self, measurement: bytes) -> None:
        self._only_owner()
        m = self._require_state(measurement, MeasurementState.PROPOSED)
        self.s.put(storage.measurement(measurement, replace(m, state=MeasurementState.CANCELLED)))
        self.s.events.append(events.MeasurementCancelled(measurement, m.index))

    def remove(self, measurement: bytes) -> None:
        self._only_owner()
        s = self.s
        m = self._require_state(measurement, MeasurementState.ALLOWED)
        gone = replace(m, state=MeasurementState.REMOVED, removed_at=s.timestamp)
        s.put(storage.measurement(measurement, gone))
        word = layout.allowed_slot(m.index >> 8)
        s.put({word: s.at(word) & ~(1 << (m.index & 255))})
        s.events.append(events.MeasurementRemoved(measurement, m.index))

    def _allow(self, measurement: bytes) -> None:
        s = self.s
        m = s.measurement(measurement)
        s.put(storage.measurement(measurement, replace(m, state=MeasurementState.ALLOWED)))
        word = layout.allowed_slot(m.index >> 8)
        s.put({word: s.at(word) | 1 << (m.index & 255)})
        s.events.append(events.MeasurementActivated(measurement, m.index))

    # --- transitions ----------------------------------------------------------------------------

    def _hand_over(self, item: OnboardItem, post: PostOnboards) -> None:
        s = self.s
        handover = Handover(item.node, post.by, post.epoch, item.attempt, item.commitment)
        identifier = handover_id(self.network.domain, handover, keccak256(item.ciphertext))
        record = replace(
            s.node(item.node),
            commitment=identifier[12:],
            status=Status.ONBOARDED,
            epoch=post.epoch,
            until=s.timestamp + HOUR,
        )
        self._put(item.node, record)
        s.events.append(
            events.Onboarded(
                item.node, post.by, post.epoch, item.attempt, identifier, item.ciphertext
            )
        )

    def _make_active(self, post: PostConfirm) -> None:
        s = self.s
        message = Confirm(post.node, post.handover)
        self._require_signed(message, post.node, post.node_signature)
        self._require_signed(message, s.head().x_pub, post.epoch_signature)
        lease = s.timestamp + LEASE
        self._put(post.node, replace(s.node(post.node), status=Status.ACTIVE, until=lease))
        self._count(members=1, pending=-1)
        s.events.append(events.Confirmed(post.node, post.handover, lease))

    def _put(self, node: bytes, record: NodeRecord) -> None:
        self.s.put(storage.node(node, record))

    def _count(self, *, members: int = 0, pending: int = 0) -> None:
        head = self.s.head()
        changed = replace(head, members=head.members + members, pending=head.pending + pending)
        self.s.put(storage.head(changed))

    # --- checks ---------------------------------------------------------------------------------

    def _refusal_to_onboard(self, item: OnboardItem, by: bytes) -> Refusal:
        n = self.s.node(item.node)
        checks = (
            (n.status is Status.PENDING, Refusal.NOT_PENDING),
            (self.s.timestamp <= n.until, Refusal.TOO_LATE),
            (item.attempt == n.attempt, Refusal.OTHER_ATTEMPT),
            (item.commitment[12:] == n.commitment, Refusal.OTHER_COMMITMENT),
            (self.s.allowed(n.measurement_index), Refusal.IMAGE_NOT_ALLOWED),
            (
                not (item.attempt and self.s.rejected(item.node, by)),
                Refusal.MEMBER_REJECTED,
            ),
        )
        return next((refusal for holds, refusal in checks if not holds), Refusal.NONE)

    def _refusal_to_confirm(self, post: PostConfirm) -> Refusal:
        n = self.s.node(post.node)
        checks = (
            (n.status is Status.ONBOARDED, Refusal.NOT_ONBOARDED),
            (n.epoch == self.s.head().epoch, Refusal.OTHER_EPOCH),
            (self.s.timestamp <= n.until, Refusal.TOO_LATE),
            (post.handover[12:] == n.commitment, Refusal.OTHER_HANDOVER),
        )
        return next((refusal for holds, refusal in checks if not holds), Refusal.NONE)

    def _require_may_give(self, by: bytes, epoch: int) -> None:
        head = self.s.head()
        require(not head.rotation_due, "RotationDue")
        require(epoch == head.epoch, "WrongEpoch", epoch)
        require(self.s.timestamp <= self._require_holder(by).until, "LeaseOver")

    def _require_holder(self, node: bytes) -> NodeRecord:
        n = self.s.node(node)
        require(n.status is Status.ACTIVE, "NotActive", n.status.name)
        require(n.epoch == self.s.head().epoch, "EpochOver")
        require(self.s.allowed(n.measurement_index), "ImageNotAllowed")
        return n

    def _require_allowed(self, measurement: bytes) -> int:
        m = self.s.measurement(measurement)
        require(m.state is MeasurementState.ALLOWED, "MeasurementNotAllowed", m.state.name)
        return m.index

    def _require_state(self, measurement: bytes, state: MeasurementState) -> MeasurementRecord:
        m = self.s.measurement(measurement)
        require(m.state is state, "WrongMeasurementState", m.state.name)
        return m

    def _require_block(self, number: int, claimed: bytes) -> None:
        actual = self.s.block_hash(number)
        require(actual != bytes(32) and actual == claimed, "UnknownBlock", number)

    def _require_signed(self, message: Signed, signer: bytes, signature: bytes) -> None:
        try:
            require_signer(digest(self.network.domain, message), signature, signer)
        except Refused:
            raise Reverted("BadSignature", type(message).__name__, signer.hex()) from None

    def _only_owner(self) -> None:
        require(self.owner, "OwnableUnauthorizedAccount")


_COUNTERS = storage._slot(storage._BASES["_nextContainerFrom"])


def _counts(value: int) -> tuple[int, int]:
    return value >> 64 & 0xFFFF, value >> 80 & 0xFF


def require(holds: bool, error: str, *details: object) -> None:
    if not holds:
        raise Reverted(error, *details)


def _onboard_message(post: PostOnboards) -> Onboard | OnboardBatch:
    if len(post.items) == 1:
        (item,) = post.items
        return Onboard(
            item.node,
            post.by,
            post.epoch,
            item.attempt,
            item.commitment,
            post.view_number,
            post.view_hash,
            keccak256(item.ciphertext),
        )
    entries = tuple(
        OnboardEntry(item.node, item.attempt, item.commitment, keccak256(item.ciphertext))
        for item in post.items
    )
    return OnboardBatch(post.by, post.epoch, post.view_number, post.view_hash, entries)
