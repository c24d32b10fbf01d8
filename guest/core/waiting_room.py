"""Where newcomers wait for a member: bounded in count and bytes, and fair.

A document is only a claim until the chain names it, so strangers can fill this room for gas. Nobody may
keep others from their turn: whoever could not be decided goes to the end, and when the room is full the
one that was looked at in vain most often makes place. Two documents never share a place.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from guest.protocol import document as document_format
from guest.protocol.digests import Domain, commitment, digest, document_hash
from guest.protocol.errors import Reason, Refused
from guest.protocol.messages import Register, RegisterTx
from guest.protocol.sizes import Address, Bytes32

MAX_WAITING = 256
MAX_BYTES = 4 * 1024 * 1024
"""Of documents: some 20 kB each in practice, 96 KiB at the most."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A newcomer's document, what it claims, and the C that a registration of it has."""

    document: bytes
    name: Bytes32
    claim: Register
    commitment: Bytes32
    since: float
    looks: int = 0


class WaitingRoom:
    """Documents by hash, in the order of their turns."""

    def __init__(self, domain: Domain) -> None:
        """Compute commitments on `domain`."""
        self._domain = domain
        self._places: OrderedDict[Bytes32, Waiting] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def __bool__(self) -> bool:
        return bool(self._places)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(tuple(self._places.values()))

    def admit(self, document: bytes, at: float) -> None:
        """Give a document a place; raises `MalformedInput`, or `Refused` when the room is full."""
        claim = document_format.decode(document).register
        if claim is None:
            raise Refused(Reason.DOCUMENT_MESSAGE, "the document is not a registration")
        name = document_hash(document)
        if name in self._places:
            return
        while len(self._places) >= MAX_WAITING or self._bytes + len(document) > MAX_BYTES:
            self._make_place()
        signed = RegisterTx(digest(self._domain, claim), name)
        self._places[name] = Waiting(document, name, claim, commitment(signed), at)
        self._bytes += len(document)

    def next(self, count: int) -> tuple[Waiting, ...]:
        """Return those whose turn it is, one document a node: the earliest."""
        chosen: dict[Address, Waiting] = {}
        for waiting in self._places.values():
            if len(chosen) == count:
                break
            chosen.setdefault(waiting.claim.node, waiting)
        return tuple(chosen.values())

    def undecided(self, waiting: Waiting) -> None:
        """Send one that could not be decided to the end."""
        if waiting.name in self._places:
            self._places[waiting.name] = replace(waiting, looks=waiting.looks + 1)
            self._places.move_to_end(waiting.name)

    def remove(self, waiting: Waiting) -> None:
        """Take a document out."""
        if self._places.pop(waiting.name, None) is not None:
            self._bytes -= len(waiting.document)

    def _make_place(self) -> None:
        worst = max(self._places.values(), key=lambda waiting: waiting.looks, default=None)
        if worst is None or worst.looks == 0:
            raise Refused(Reason.TIMEOUT, "too many newcomers wait", got=len(self._places))
        self.remove(worst)
