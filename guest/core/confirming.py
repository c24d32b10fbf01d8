"""The receipt of a hand-over: made by the newcomer, and again by the member it has become.

A Confirm names no view, so the same bytes hold on every branch that has the hand-over. A host may have
given it up when a reorg took the hand-over away for a while; so it is said again as long as it matters.
"""

from guest.core.identity import Identity
from guest.core.phase import Context
from guest.protocol.keys import EpochKeys
from guest.protocol.link import PostConfirm
from guest.protocol.messages import Confirm
from guest.protocol.sizes import Bytes32

CONFIRM_EVERY = 16
"""Blocks after which a Confirm that is not mined is posted again; the host knows it by its key."""


def confirmation(
    context: Context, identity: Identity, keys: EpochKeys, handover: Bytes32
) -> PostConfirm:
    """Return the Confirm of a hand-over, signed by the node key and the epoch key."""
    message = Confirm(identity.address, handover)
    domain = context.network.domain
    return PostConfirm(
        f"confirm/{identity.address.hex()}/{handover.hex()[:16]}",
        identity.address,
        handover,
        identity.sign(domain, message),
        keys.sign(domain, message),
    )
