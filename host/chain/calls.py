"""Calldata for the contract: what a guest asks to post, and what the owner and anyone may call.

Owns the order of arguments (contracts/src/interfaces/IKeyManager.sol). It signs nothing and judges
nothing; every authority is in the signatures that the guest made.
"""

from collections.abc import Sequence

from guest.protocol.document import MAX_DOCUMENT
from guest.protocol.errors import MalformedInput
from guest.protocol.link import (
    PostBootstrap,
    PostConfirm,
    PostLeave,
    PostOnboards,
    PostRegister,
    PostReject,
    PostRenew,
    Posts,
)
from guest.protocol.primitives import keccak256
from host.chain import abi

KNOWN_BLOCKS = 256
"""The contract can look up no older block hashes."""

RESIGN_AFTER = 200
"""Blocks after which a view is signed anew, while the old signature would still do for a while."""


def calldata(post: Posts) -> bytes:
    """Return the calldata that posts what a guest signed; raises `MalformedInput`."""
    match post:
        case PostBootstrap():
            return _bootstrap(post)
        case PostRegister():
            return _register(post)
        case PostOnboards():
            return _onboards(post)
        case PostConfirm():
            return abi.encode_call(
                "confirm", post.node, post.handover, post.node_signature, post.epoch_signature
            )
        case PostReject():
            return abi.encode_call(
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
        case PostRenew():
            return abi.encode_call(
                "renew", post.node, post.view_number, post.view_hash, post.signature
            )
        case PostLeave():
            return abi.encode_call("revoke", post.node, post.commitment, post.signature)


def good_until(post: Posts) -> int | None:
    """Return the last block in which a post is worth sending, None if it never ages."""
    match post:
        case PostBootstrap() | PostRegister():
            return post.message.anchor_number + KNOWN_BLOCKS - 1
        case PostOnboards() | PostReject() | PostRenew():
            return post.view_number + RESIGN_AFTER
        case PostConfirm() | PostLeave():
            return None


def confirm_batch(posts: Sequence[PostConfirm]) -> bytes:
    """Return calldata for several receipts at once."""
    items = tuple((p.node, p.handover, p.node_signature, p.epoch_signature) for p in posts)
    return abi.encode_call("confirmBatch", items)


def expire(node: bytes) -> bytes:
    """Return calldata that ends a node whose time is over."""
    return abi.encode_call("expire", node)


def owner_revoke(node: bytes) -> bytes:
    """Return calldata by which the owner ends a node."""
    return abi.encode_call("revoke", node, bytes(32), b"")


def propose_measurement(measurement_id: bytes, image_hash: bytes) -> bytes:
    """Return calldata by which the owner proposes an image."""
    return abi.encode_call("proposeMeasurement", measurement_id, image_hash)


def activate_measurement(measurement_id: bytes) -> bytes:
    """Return calldata that allows an image whose notice is over."""
    return abi.encode_call("activateMeasurement", measurement_id)


def cancel_measurement(measurement_id: bytes) -> bytes:
    """Return calldata by which the owner takes a proposal back."""
    return abi.encode_call("cancelMeasurement", measurement_id)


def remove_measurement(measurement_id: bytes) -> bytes:
    """Return calldata by which the owner takes an image out."""
    return abi.encode_call("removeMeasurement", measurement_id)


def set_container(container: str) -> bytes:
    """Return calldata by which the owner names the app's container."""
    return abi.encode_call("setContainer", container)


def bootstrap_document(found: bytes) -> bytes:
    """Return the document in the calldata of a `bootstrap`; raises `MalformedInput`.

    Whose it is, its hash tells: the caller compares it with the contract's genesisDocument.
    """
    entry = abi.release().entry("function", "bootstrap")
    if found[:4] != entry.selector:
        raise MalformedInput("not the calldata of a bootstrap", got=found[:4])
    document = abi.decode([p.type for p in entry.inputs], found[4:])[-1]
    if not isinstance(document, bytes) or len(document) > MAX_DOCUMENT:
        raise MalformedInput("the bootstrap holds no document of that size")
    return document


def _bootstrap(post: PostBootstrap) -> bytes:
    message = post.message
    return abi.encode_call(
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


def _register(post: PostRegister) -> bytes:
    message = post.message
    return abi.encode_call(
        "register",
        message.node,
        message.encryption_key_hash,
        message.measurement_id,
        message.anchor_number,
        message.anchor_hash,
        keccak256(post.document),
        post.signature,
    )


def _onboards(post: PostOnboards) -> bytes:
    if not post.items:
        raise MalformedInput("an answer without a newcomer")
    if len(post.items) > 1:
        items = tuple((i.node, i.attempt, i.commitment, i.ciphertext) for i in post.items)
        return abi.encode_call(
            "onboardBatch",
            post.by,
            post.epoch,
            post.view_number,
            post.view_hash,
            items,
            post.signature,
        )
    item = post.items[0]
    return abi.encode_call(
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
