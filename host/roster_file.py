"""The roster on disk: what a restarted host must still know of events that it will not scan again.

A restart scans from 64 blocks back; newcomers wait for up to an hour, members and the bootstrap are as
old as the network. Owns one file, written whole or not at all, before the scanner's cursor moves past
what it holds. Like the roster itself it is a hint: a file that does not parse is as good as none.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from guest.protocol import codec
from guest.protocol.errors import MalformedInput
from guest.protocol.sizes import Address, AtMost, Bytes32, Uint8, Uint16, Uint32, Uint64
from host.chain.events import Registered
from host.roster import MAX_PENDING, Pending, Roster

_LOG = logging.getLogger(__name__)
_VERSION = 1
_MAX_MEMBERS = 65_536
_MAX_FILE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class KeptPending:
    """A newcomer: its registration, field by field, then its story; block 0 stands for "not yet"."""

    node: Address
    enc_pub: Bytes32
    measurement_id: Bytes32
    anchor_number: Uint64
    anchor_hash: Bytes32
    document_hash: Bytes32
    seed: Uint16
    first_expires: Uint64
    signature: Annotated[bytes, AtMost(65)]
    expires: Uint64
    block: Uint64
    attempt: Uint8
    answered_at: Uint64
    ended_at: Uint64


@dataclass(frozen=True, slots=True)
class KeptMember:
    """A member and when its lease ends, unix seconds."""

    node: Address
    lease: Uint32


@dataclass(frozen=True, slots=True)
class KeptRoster:
    """The file's content."""

    version: Uint8
    contract: Address
    genesis_tx: Annotated[bytes, AtMost(32)]
    genesis_block: Uint64
    members: Annotated[tuple[KeptMember, ...], AtMost(_MAX_MEMBERS)]
    pending: Annotated[tuple[KeptPending, ...], AtMost(MAX_PENDING)]


def load(path: Path, contract: Address) -> Roster:
    """Return what was kept of `contract`; an empty roster where nothing usable is there."""
    try:
        with path.open("rb") as file:
            kept = codec.decode(KeptRoster, file.read(_MAX_FILE + 1), max_size=_MAX_FILE)
    except FileNotFoundError:
        return Roster()
    except (OSError, MalformedInput) as error:
        _LOG.warning("the roster file is not used: %s", error)
        return Roster()
    if kept.version != _VERSION or kept.contract != contract:
        _LOG.warning("the roster file is not used: it is another version's or contract's")
        return Roster()
    return Roster(
        {one.node: _waiting(one) for one in kept.pending},
        {one.node: one.lease for one in kept.members},
        kept.genesis_tx,
        kept.genesis_block,
    )


def save(path: Path, contract: Address, roster: Roster) -> None:
    """Keep the roster; a full disk costs knowledge after a restart, and a line in the log."""
    members = list(roster.members.items())[-_MAX_MEMBERS:]
    kept = KeptRoster(
        _VERSION,
        contract,
        roster.genesis_tx,
        roster.genesis_block,
        tuple(KeptMember(node, lease) for node, lease in members),
        tuple(_kept(waiting) for waiting in roster.pending.values()),
    )
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            file.write(codec.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)  # noqa: PTH105 - atomic, and says so
    except OSError as error:
        _LOG.warning("the roster file cannot be written: %s", error.strerror)


def _kept(waiting: Pending) -> KeptPending:
    event = waiting.event
    return KeptPending(
        event.node,
        event.enc_pub,
        event.measurement_id,
        event.anchor_number,
        event.anchor_hash,
        event.document_hash,
        event.seed,
        event.expires,
        event.sig,
        waiting.expires,
        waiting.block,
        waiting.attempt,
        waiting.answered_at or 0,
        waiting.ended_at or 0,
    )


def _waiting(kept: KeptPending) -> Pending:
    event = Registered(
        kept.node,
        kept.enc_pub,
        kept.measurement_id,
        kept.anchor_number,
        kept.anchor_hash,
        kept.document_hash,
        kept.seed,
        kept.first_expires,
        kept.signature,
    )
    ends = kept.answered_at or None, kept.ended_at or None
    return Pending(event, kept.expires, kept.block, kept.attempt, *ends)
