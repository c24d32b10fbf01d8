"""Who may be given the secret, by the proven facts of the chain. Pure judgement; no state, no I/O.

The document's own evidence is judged in `guest.evidence.attestation`; here it meets the contract.
Allow-facts must hold at the finalised and the newest header, deny-facts at either.
"""

from dataclasses import dataclass

from guest.chain.layout import MeasurementState, NodeRecord, Status
from guest.chain.state import ContractState
from guest.chain.view import ChainView
from guest.core.phase import ANCHOR_DEPTH
from guest.protocol.errors import Reason, Refused
from guest.protocol.messages import Register
from guest.protocol.sizes import Address, Bytes32

ANCHOR_OLD = 200
"""Blocks: beyond, too few of the contract's 256 are left to post a registration again."""
LEASE_MARGIN = 600
"""Seconds of lease a member wants left, so that its answer is mined before the contract refuses it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A node's own proven place: Active at the newest header, and whether finally so."""

    record: NodeRecord
    epoch: int
    final: bool


def own_standing(view: ChainView, node: Address, measurement: Bytes32) -> Standing:
    """Return the standing of a node that is Active in full at the newest header.

    Active: status Active, epoch current, lease not past, own measurement allowed now. Raises
    `Refused`: NOT_ACTIVE, EPOCH, MEASUREMENT_NOT_ALLOWED.
    """
    record = view.newest.node(node)
    _require_active(view.newest, record, measurement)
    final = False
    if view.finalised is not None:
        try:
            _require_active(view.finalised, view.finalised.node(node), measurement)
            final = True
        except Refused:
            final = False
    return Standing(record, view.newest.head().epoch, final)


def require_allowed(state: ContractState, measurement: Bytes32) -> int:
    """Return the index of a measurement that is allowed in this state; refuse any other."""
    record = state.measurement(measurement)
    if record.state is not MeasurementState.ALLOWED:
        raise Refused(
            Reason.MEASUREMENT_NOT_ALLOWED,
            f"the contract does not allow this image at block {state.header.number}",
            got=record.state.name,
            expected="ALLOWED",
        )
    return record.index


def require_giver(view: ChainView, standing: Standing) -> None:
    """Refuse unless this member may give the secret away under this view."""
    if view.finalised is None or not standing.final:
        raise Refused(Reason.NOT_YET_FINAL, "the member's own membership is not final yet")
    if view.newest.head().rotation_due or view.finalised.head().rotation_due:
        raise Refused(Reason.ROTATION_DUE, "the secret is about to be replaced")
    left = standing.record.until - view.newest.header.timestamp
    if left < LEASE_MARGIN:
        raise Refused(
            Reason.NOT_ACTIVE, "the member's lease is about to end", got=left, expected=LEASE_MARGIN
        )


def require_receiver(
    view: ChainView, claim: Register, commitment: Bytes32, by: Address, *, final_asked: bool
) -> NodeRecord:
    """Return the record of a newcomer that the chain lets receive the secret under this view.

    The claim is not attested yet: this comes first, since it is cheap, and only what the chain names
    is worth verifying. `final_asked`: the view proves the newcomer's finalised slot too. Raises
    `Refused`: NOT_PENDING, REGISTRATION_EXPIRED, COMMITMENT, MEASUREMENT_NOT_ALLOWED, NOT_YET_FINAL,
    and NOT_ACTIVE when the newcomer has rejected this member before.
    """
    record = view.newest.node(claim.node)
    if record.status is not Status.PENDING:
        raise Refused(Reason.NOT_PENDING, "the newcomer is not Pending", got=record.status.name)
    if view.newest.header.timestamp > record.until:
        raise Refused(Reason.REGISTRATION_EXPIRED, "the registration is past its hour")
    if record.commitment != commitment[12:]:
        raise Refused(
            Reason.COMMITMENT,
            "the registration on the chain commits to another document",
            got=commitment[12:],
            expected=record.commitment,
        )
    index = require_allowed(view.newest, claim.measurement_id)
    if view.finalised is None:
        raise Refused(Reason.NOT_YET_FINAL, "no finalised state was proven")
    require_allowed(view.finalised, claim.measurement_id)
    if index != record.measurement_index:
        raise Refused(Reason.MEASUREMENT_NOT_ALLOWED, "the slot names another image", got=index)
    if record.attempt and view.newest.rejected(claim.node, by):
        raise Refused(Reason.NOT_ACTIVE, "the newcomer has rejected this member")
    _require_lasting(view, claim, final_asked=final_asked)
    return record


def _require_lasting(view: ChainView, claim: Register, *, final_asked: bool) -> None:
    """Refuse, for now, a registration that a reorg of 8 blocks could take away for good.

    Its anchor must lie as deep as such a reorg, or the registration could not be posted again; and an
    anchor that is about to leave the contract's reach does so only for a registration that is final.
    """
    depth = view.newest.header.number - claim.anchor_number
    if claim.anchor_number and depth < ANCHOR_DEPTH:
        raise Refused(
            Reason.NOT_YET_FINAL, "the anchor is too young", got=depth, expected=ANCHOR_DEPTH
        )
    if depth <= ANCHOR_OLD:
        return
    final = view.finalised
    if not final_asked or final is None or final.node(claim.node).status is not Status.PENDING:
        raise Refused(Reason.NOT_YET_FINAL, "the anchor is old and the registration not final")


def _require_active(state: ContractState, record: NodeRecord, measurement: Bytes32) -> None:
    if record.status is not Status.ACTIVE:
        raise Refused(Reason.NOT_ACTIVE, "the node is not Active", got=record.status.name)
    epoch = state.head().epoch
    if record.epoch != epoch:
        raise Refused(
            Reason.EPOCH, "the node is of another epoch", got=record.epoch, expected=epoch
        )
    if state.header.timestamp > record.until:
        raise Refused(Reason.NOT_ACTIVE, "the node's lease is past", got=record.until)
    if require_allowed(state, measurement) != record.measurement_index:
        raise Refused(Reason.MEASUREMENT_NOT_ALLOWED, "the slot names another image")
