"""From what a guest asks to be posted to an action of the outbox, and back to whether it stands.

Owns the table of calls, pure. Calldata is built from typed messages; the guest's signatures decide what
the contract takes, so a mistake here can cost gas and nothing else.
"""

from dataclasses import dataclass

from guest.protocol.digests import document_hash
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
from host.chain import abi
from host.chain.events import Registered, Status

VIEW_LIFE = 200
"""Blocks after which what was signed under a view is proven anew; the contract knows 256."""
ANCHOR_LIFE = 250
KEY_MARK = "|"
"""Separates an action's key from the view of a later try of the same action."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the contract, and what must be seen on the chain for it to be done."""

    key: str
    function: str
    calldata: bytes
    good_until: int | None
    replaces: bool


def call_of(post: Posts) -> Call:
    """Return the call that a post asks for."""
    match post:
        case PostBootstrap():
            return _bootstrap(post)
        case PostRegister():
            return _register(post)
        case PostOnboards():
            return _onboards(post)
        case PostConfirm():
            calldata = abi.encode_call(
                "confirm", post.node, post.handover, post.node_signature, post.epoch_signature
            )
            return Call(post.key, "confirm", calldata, None, replaces=False)
        case PostReject():
            return _reject(post)
        case PostRenew():
            calldata = abi.encode_call(
                "renew", post.node, post.view_number, post.view_hash, post.signature
            )
            good_until = post.view_number + VIEW_LIFE
            return Call(post.key, "renew", calldata, good_until, replaces=post.replace)
        case PostLeave():
            calldata = abi.encode_call("revoke", post.node, post.commitment, post.signature)
            return Call(post.key, "revoke", calldata, None, replaces=False)


def later_key(call: Call) -> str:
    """Return a key for another try of an action whose first key is at its end."""
    return f"{call.key}{KEY_MARK}{call.good_until}"


def guest_key(key: str) -> str:
    """Return the key as the guest knows it."""
    return key.partition(KEY_MARK)[0]


def stands(function: str, calldata: bytes, status: Status, attempt: int) -> bool:
    """Whether a node's status shows that a single-node call needs no sending any more."""
    match function:
        case "register":
            return status is not Status.NONE
        case "confirm":
            return status is Status.ACTIVE
        case "onboard":
            return status not in (Status.NONE, Status.PENDING) or attempt > _attempt(calldata)
        case "reject":
            return status not in (Status.NONE, Status.ONBOARDED)
        case "revoke":
            return status is Status.REVOKED
        case _:
            return False


def too_early(function: str, status: Status, attempt: int) -> bool:
    """Whether what a single-node call builds on is not in the newest block yet, or not any more.

    A reorg drops a registration and its answer together. Sent while the registration is only in a
    pool, the answer may be mined before it, and revert.
    """
    match function:
        case "onboard":
            return status is Status.NONE
        case "confirm":
            return status in (Status.NONE, Status.PENDING)
        case "reject":
            return status is Status.NONE or (status is Status.PENDING and attempt == 0)
        case _:
            return False


def subject(calldata: bytes) -> bytes:
    """Return the node address that a single-node call is about: its first argument."""
    return calldata[16:36]


def _attempt(calldata: bytes) -> int:
    return int.from_bytes(calldata[4 + 3 * 32 : 4 + 4 * 32], "big")


def _bootstrap(post: PostBootstrap) -> Call:
    message = post.message
    calldata = abi.encode_call(
        "bootstrap",
        message.node,
        message.encryption_key_hash,
        message.measurement_id,
        message.anchor_number,
        message.anchor_hash,
        message.x_pub,
        message.app_root,
        post.node_signature,
        post.epoch_signature,
        post.document,
    )
    good_until = message.anchor_number + ANCHOR_LIFE
    return Call(post.key, "bootstrap", calldata, good_until, replaces=True)


def _register(post: PostRegister) -> Call:
    message = post.message
    calldata = _register_calldata(post)
    good_until = message.anchor_number + ANCHOR_LIFE
    return Call(post.key, "register", calldata, good_until, replaces=False)


def _register_calldata(post: PostRegister) -> bytes:
    message = post.message
    return abi.encode_call(
        "register",
        message.node,
        message.encryption_key_hash,
        message.measurement_id,
        message.anchor_number,
        message.anchor_hash,
        document_hash(post.document),
        post.signature,
    )


def registration(event: Registered) -> bytes:
    """Return the calldata that posts a registration again, from its event alone."""
    return abi.encode_call(
        "register",
        event.node,
        event.enc_pub,
        event.measurement_id,
        event.anchor_number,
        event.anchor_hash,
        event.document_hash,
        event.sig,
    )


def _onboards(post: PostOnboards) -> Call:
    good_until = post.view_number + VIEW_LIFE
    if len(post.items) == 1:
        (item,) = post.items
        calldata = abi.encode_call(
            "onboard",
            item.node,
            post.by,
            post.epoch,
            item.attempt,
            item.commitment,
            post.view_number,
            post.view_hash,
            item.ciphertext,
            post.signature,
        )
        return Call(post.key, "onboard", calldata, good_until, replaces=post.replace)
    calldata = abi.encode_call(
        "onboardBatch",
        post.by,
        post.epoch,
        post.view_number,
        post.view_hash,
        tuple(_item(item) for item in post.items),
        post.signature,
    )
    return Call(post.key, "onboardBatch", calldata, good_until, replaces=post.replace)


def _item(item: OnboardItem) -> tuple[bytes, int, bytes, bytes]:
    return (item.node, item.attempt, item.commitment, item.ciphertext)


def _reject(post: PostReject) -> Call:
    calldata = abi.encode_call(
        "reject",
        post.node,
        post.by,
        post.commitment,
        post.ciphertext_hash,
        post.reason,
        post.view_number,
        post.view_hash,
        post.signature,
    )
    good_until = post.view_number + VIEW_LIFE
    return Call(post.key, "reject", calldata, good_until, replaces=post.replace)
