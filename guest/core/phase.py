"""What the phases of a node's life share: what they are built from, and how they ask for a view."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from guest.chain.layout import Wanted
from guest.chain.view import ChainView
from guest.core.effects import Effect
from guest.core.events import Quoted, QuoteFailed
from guest.core.identity import Entropy
from guest.protocol.link import FromHost
from guest.protocol.network import Network
from guest.protocol.sizes import Address, Bytes32

ANCHOR_DEPTH = 8
"""An anchor this far behind the head survives any reorg that the protocol has to survive."""
ANCHOR_LIFE = 240
"""Blocks after which an anchor is given up; the contract knows 256."""
REGISTRATION_HOUR = 3600
"""The contract's REGISTRATION_WINDOW, in seconds."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every phase is given: the network file, randomness, our own image, request numbers."""

    network: Network
    entropy: Entropy
    measurement: Bytes32
    requests: Iterator[int]


@dataclass(frozen=True, slots=True)
class Ask:
    """What the next view has to prove for a phase."""

    newest: Wanted
    finalised: Wanted | None
    ancestors: int


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What a phase tells the world about itself; public facts only."""

    state: str
    detail: str
    node: Address
    epoch: int
    x_pub: Address
    fingerprint: bytes


class Phase(Protocol):
    """One phase: founding, joining or being a member."""

    @property
    def eager(self) -> bool:
        """Whether every new head is worth a view."""

    def ask(self) -> Ask:
        """Return what the next view must prove."""

    def wants_more(self, asked: Ask) -> bool:
        """Return whether another view is worth having at once, under the same head."""

    def on_view(self, view: ChainView, asked: Ask, at: float) -> list[Effect]:
        """React to a verified view that proves what was `asked`; may raise `Refused`."""

    def on_message(self, message: FromHost, at: float) -> list[Effect]:
        """React to a claim of the host's; raises `ProtocolViolation` if it has no place here."""

    def on_quote(self, event: Quoted | QuoteFailed) -> list[Effect]:
        """React to the platform; raises `ProtocolViolation` if no such quote was asked for."""

    def on_tick(self, at: float) -> list[Effect]:
        """React to time."""

    def standpoint(self) -> Standpoint:
        """Return what to report."""
