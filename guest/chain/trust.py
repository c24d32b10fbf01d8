"""Chain trusts: what makes a guest take a block header for one of the chain.

Owns the one interface that everything above sees, and the two trusts of test networks. A light client
fills the same interface. A trust judges first and remembers only when the whole view was verified
(`judge`, then `accept`), so that a refused view leaves no trace.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from guest.evidence.header import Header
from guest.protocol.digests import witness_digest
from guest.protocol.errors import Misconfigured, Reason, Refused
from guest.protocol.link import WitnessStatement
from guest.protocol.network import Kind, Network, Trust
from guest.protocol.primitives import require_signer
from guest.protocol.sizes import ZERO_ADDRESS, Address, Bytes32

_REMEMBERED = 64

Point: TypeAlias = tuple[int, bytes]
"""Number and hash of a block."""


@dataclass(frozen=True, slots=True)
class ShownHeaders:
    """The headers of one view. `ancestors`, newest first, are known to lie below `newest`."""

    newest: Header
    ancestors: tuple[Header, ...]
    finalised: Header | None
    witness: WitnessStatement | None

    def points(self) -> tuple[Point, ...]:
        """Return number and hash of every header."""
        headers = [self.newest, *self.ancestors, *([self.finalised] if self.finalised else [])]
        return tuple((header.number, header.hash) for header in headers)


class ChainTrust(Protocol):
    """What vouches for headers."""

    @property
    def contradictions(self) -> int:
        """How often finality was seen to change its mind without stopping this guest."""

    def judge(self, shown: ShownHeaders) -> None:
        """Vouch for these headers or raise `Refused`; changes nothing."""

    def accept(self, shown: ShownHeaders) -> None:
        """Remember headers that were judged and whose view was verified."""

    def claim(self) -> str:
        """Say in words, for people and for attestations, who vouches."""


class UnverifiedTrust:
    """Nothing vouches: the host may invent a chain. Test networks only, and every claim says so."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._finality = _Finality()
        self._contradictions = 0

    @property
    def contradictions(self) -> int:
        """Views in which finality went back or changed: a chain that was reset, or a host's lie."""
        return self._contradictions

    def judge(self, shown: ShownHeaders) -> None:
        """Vouch for anything."""

    def accept(self, shown: ShownHeaders) -> None:
        """Count contradictions, for the log; the newer word replaces the older."""
        final = shown.finalised
        broken = self._finality.denied_by(*shown.points())
        if broken or (final is not None and final.number < self._finality.highest):
            self._contradictions += 1
            self._finality = _Finality()
        if final is not None:
            self._finality.remember((final.number, final.hash))

    def claim(self) -> str:
        """Say that nobody vouches."""
        return "block headers are vouched for by nobody (test network)"


class WitnessedTrust:
    """One key of the network file signs which block is newest and which is final.

    A statement that contradicts an earlier final block is fatal; one that is older than what was
    accepted is refused as stale.
    """

    def __init__(self, chain_id: int, witness: Address) -> None:
        """Trust `witness`, 20 bytes and not zero, for the chain `chain_id`."""
        if witness == ZERO_ADDRESS:
            raise Misconfigured("a witnessed network needs a witness", reason=Reason.KIND_ROW)
        self._chain_id = chain_id
        self._witness = witness
        self._finality = _Finality()

    @property
    def contradictions(self) -> int:
        """Always 0: the first contradiction is fatal."""
        return 0

    def judge(self, shown: ShownHeaders) -> None:
        """Refuse: HEADER_UNVOUCHED, FINALITY_BROKEN (fatal), STALE_VIEW."""
        said = shown.witness
        if said is None:
            raise Refused(Reason.HEADER_UNVOUCHED, "the view has no witness statement")
        self._require_signed(said)
        word = said.statement
        if word.finalized_number > word.number:
            raise Refused(
                Reason.HEADER_UNVOUCHED, "the witness calls a block final that is to come"
            )
        _require_named("newest", shown.newest, word.number, word.hash)
        if shown.finalised is not None:
            _require_named("finalised", shown.finalised, word.finalized_number, word.finalized_hash)
        self._require_same_finality(shown, (word.finalized_number, word.finalized_hash))

    def accept(self, shown: ShownHeaders) -> None:
        """Remember the final block that the statement names."""
        if shown.witness is not None:
            word = shown.witness.statement
            self._finality.remember((word.finalized_number, word.finalized_hash))

    def claim(self) -> str:
        """Say whose word it is."""
        return f"block headers are vouched for by one key, 0x{self._witness.hex()} (test network)"

    def _require_same_finality(self, shown: ShownHeaders, final: Point) -> None:
        broken = self._finality.denied_by(final)
        if not broken and final[0] < self._finality.highest:
            # Only old, so its newest block may lie on a fork that lost: that contradicts nothing.
            raise Refused(
                Reason.STALE_VIEW,
                "the witness statement is older than one before",
                got=f"finalised {final[0]}",
                expected=f">= {self._finality.highest}",
            )
        broken = broken or self._finality.denied_by(*shown.points())
        if broken:
            raise Refused(
                Reason.FINALITY_BROKEN,
                f"the witness contradicts a block that was final: {broken}",
                mend="The chain or its witness cannot be trusted any more; ask the network's owner",
            )

    def _require_signed(self, said: WitnessStatement) -> None:
        try:
            require_signer(
                witness_digest(self._chain_id, said.statement), said.signature, self._witness
            )
        except Refused as e:
            raise Refused(Reason.HEADER_UNVOUCHED, f"not the witness's signature: {e}") from None


class _Finality:
    """The final blocks accepted so far, as many as a view's ancestors could contradict."""

    def __init__(self) -> None:
        self._hashes: dict[int, bytes] = {}
        self.highest = 0

    def denied_by(self, *points: Point) -> str:
        """Say which remembered block these points deny; empty when none."""
        for number, digest in points:
            known = self._hashes.get(number)
            if known is not None and known != digest:
                return f"block {number} was 0x{known.hex()} and is now 0x{digest.hex()}"
        return ""

    def remember(self, point: Point) -> None:
        """Keep one final block; the oldest makes room."""
        number, digest = point
        self._hashes[number] = digest
        self.highest = max(self.highest, number)
        if len(self._hashes) > _REMEMBERED:
            del self._hashes[min(self._hashes)]


def trust_for(network: Network) -> UnverifiedTrust | WitnessedTrust:
    """Return the trust of a network file's row; raises `Misconfigured` where none may start."""
    if network.trust is Trust.LIGHT_CLIENT:
        raise Misconfigured(
            "this network reads the chain by a light client, which this image does not have",
            reason=Reason.NO_LIGHT_CLIENT,
            got=f"{network.kind} network on chain {network.chain_id}",
            mend="Only test networks with trust unverified or witnessed can start",
        )
    if network.kind is not Kind.TEST:
        raise Misconfigured(
            "a real network reads the chain by light client only",
            reason=Reason.KIND_ROW,
            got=network.trust,
            expected=Trust.LIGHT_CLIENT,
        )
    if network.trust is Trust.WITNESSED:
        return WitnessedTrust(network.chain_id, network.witness)
    return UnverifiedTrust()


def _require_named(which: str, header: Header, number: int, digest: Bytes32) -> None:
    if header.number != number or header.hash != digest:
        raise Refused(
            Reason.HEADER_UNVOUCHED,
            f"the witness names another {which} block",
            got=f"{header.number} 0x{header.hash.hex()}",
            expected=f"{number} 0x{digest.hex()}",
        )
