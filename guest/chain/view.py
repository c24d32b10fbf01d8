"""Views of the chain: what a host shows, turned into verified facts or refused.

Owns the order of the checks and the one place where a `ChainView` is made. A refused view leaves the
reader, its clock and its trust as they were.
"""

from dataclasses import dataclass

from guest.chain.clock import GuestClock
from guest.chain.layout import Wanted
from guest.chain.state import ContractState, from_proof
from guest.chain.trust import ChainTrust, ShownHeaders
from guest.evidence.header import Header, decode_header
from guest.evidence.state_proof import ProvenAccount, prove_account
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.link import StateProof, UnverifiedView
from guest.protocol.network import Network

__all__ = ["MAX_FINALITY_LAG", "ChainReader", "ChainView", "Header"]

MAX_FINALITY_LAG = 45 * 60
"""Seconds that the finalised block may be older than the newest; Ethereum's is 13 to 20 minutes."""


@dataclass(frozen=True, slots=True)
class ChainView:
    """Verified facts under the newest and, once there is one, the finalised header.

    `finalised` is None when it was not asked for and while the contract is not final yet: `lacking`
    then says why. `ancestors` lie below the newest header, newest first.
    """

    newest: ContractState
    finalised: ContractState | None
    ancestors: tuple[Header, ...]
    lacking: str

    def require_finalised(self) -> ContractState:
        """Return the finalised state; raises `Refused(NOT_YET_FINAL)` while there is none."""
        if self.finalised is None:
            raise Refused(Reason.NOT_YET_FINAL, self.lacking)
        return self.finalised

    def anchor(self, depth: int = 8) -> Header:
        """Return the header `depth` below the newest; block 0 while the chain is shorter.

        Raises `ProtocolViolation` when the view was not asked for that many ancestors.
        """
        depth = min(depth, self.newest.header.number)
        if depth > len(self.ancestors):
            raise ProtocolViolation(
                "this view did not ask for enough ancestors",
                got=len(self.ancestors),
                expected=depth,
            )
        return self.ancestors[depth - 1] if depth else self.newest.header


class ChainReader:
    """Reads the contract of one network through whatever host there is."""

    def __init__(self, network: Network, trust: ChainTrust) -> None:
        """Read `network`'s contract; `trust` says which headers count."""
        self._network = network
        self._trust = trust
        self._clock = GuestClock()
        self._newest = 0

    @property
    def trust(self) -> ChainTrust:
        """What vouches for headers; for claims and reports."""
        return self._trust

    def slots(self, wanted: Wanted) -> tuple[bytes, ...]:
        """Return the slots that a host has to prove for `wanted`, for `NeedView`."""
        return wanted.slots()

    def lower_bound(self, at: float) -> float:
        """Return the Unix time that has passed for sure at monotonic `at`."""
        return self._clock.lower_bound(at)

    def require_fresh(self, view: ChainView, at: float) -> None:
        """Refuse (`STALE_VIEW`) to act at `at` on a view that has become too old."""
        self._clock.require_fresh(view.newest.header, at, self._network.max_view_age)

    def read(
        self,
        unverified: UnverifiedView,
        *,
        newest: Wanted,
        finalised: Wanted | None,
        ancestors: int,
        at: float,
    ) -> ChainView:
        """Verify what a host shows; `at` is the monotonic time at which it arrived.

        Raises `Refused` (HEADER_CHAIN, HEADER_UNVOUCHED, PROOF_INVALID, STALE_VIEW,
        FINALITY_STALLED; fatal: FINALITY_BROKEN, CODE_HASH) or `MalformedInput`. A finalised block 0,
        or one without the contract, is no error: the view then has no finalised state.
        """
        shown = self._headers(unverified, finalised is not None, ancestors)
        self._require_coherent(shown)
        self._trust.judge(shown)
        self._require_recent(shown, at)
        state = self._state(shown.newest, unverified.newest, newest)
        if state is None:
            # Not fatal: a node that lags shows blocks from before the deployment.
            raise Refused(
                Reason.NO_CONTRACT,
                f"there is no contract at block {shown.newest.number}",
                mend="Wait until the host's node is in step; check the network file if it lasts",
            )
        final, lacking = self._finalised(shown.finalised, unverified.finalised, finalised)
        view = ChainView(state, final, shown.ancestors, lacking)
        # Nothing above changed anything, nothing below can refuse.
        self._trust.accept(shown)
        self._clock.accept(shown.newest.timestamp, at)
        self._newest = max(self._newest, shown.newest.number)
        return view

    # --- headers --------------------------------------------------------------------------------

    def _headers(
        self, unverified: UnverifiedView, with_final: bool, ancestors: int
    ) -> ShownHeaders:
        newest = decode_header(unverified.newest.header)
        expected = min(ancestors, newest.number)
        if len(unverified.ancestors) != expected:
            raise Refused(
                Reason.HEADER_CHAIN,
                "the view has another number of ancestors than was asked for",
                got=len(unverified.ancestors),
                expected=expected,
            )
        if unverified.finalised is not None and not with_final:
            raise Refused(Reason.PROOF_INVALID, "the view has a finalised state nobody asked for")
        chain = [newest]
        for raw in unverified.ancestors:
            parent, child = decode_header(raw), chain[-1]
            if parent.hash != child.parent_hash or parent.number + 1 != child.number:
                raise Refused(
                    Reason.HEADER_CHAIN,
                    f"a header is not the parent of block {child.number}",
                    got=parent.hash,
                    expected=child.parent_hash,
                )
            chain.append(parent)
        final = None
        if unverified.finalised is not None:
            final = decode_header(unverified.finalised.header)
        return ShownHeaders(newest, tuple(chain[1:]), final, unverified.witness)

    def _require_coherent(self, shown: ShownHeaders) -> None:
        """Refuse a finalised block that cannot lie on the newest block's own chain."""
        newest, final = shown.newest, shown.finalised
        if final is None:
            return
        chain = {header.number: header.hash for header in (newest, *shown.ancestors)}
        if (
            final.number > newest.number
            or final.timestamp > newest.timestamp
            or chain.get(final.number, final.hash) != final.hash
        ):
            raise Refused(
                Reason.HEADER_CHAIN,
                "the finalised block is not below the newest one",
                got=f"{final.number} 0x{final.hash.hex()}",
                expected=f"an ancestor of {newest.number}",
            )

    def _require_recent(self, shown: ShownHeaders, at: float) -> None:
        newest, final = shown.newest, shown.finalised
        if newest.number < self._newest:
            # After a reorg the chain may be shorter for a while; until it has grown again, what was
            # shown before is the better knowledge.
            raise Refused(
                Reason.STALE_VIEW,
                "the newest block lies below one shown before",
                got=newest.number,
                expected=f">= {self._newest}",
            )
        self._clock.require_fresh(newest, at, self._network.max_view_age)
        if final is None or final.number == 0:
            return
        lag = newest.timestamp - final.timestamp
        if lag > MAX_FINALITY_LAG:
            raise Refused(
                Reason.FINALITY_STALLED,
                f"the finalised block {final.number} is too far behind the newest",
                got=f"{lag} s",
                expected=f"<= {MAX_FINALITY_LAG} s",
                mend="Wait until the chain finalises again",
            )

    # --- states ---------------------------------------------------------------------------------

    def _finalised(
        self, header: Header | None, proof: StateProof | None, wanted: Wanted | None
    ) -> tuple[ContractState | None, str]:
        if wanted is None:
            return None, "no finalised state was asked for"
        if header is None or proof is None:
            return None, "the host shows no finalised block"
        if header.number == 0:
            # Local chains call their genesis final, and give it a state root that is not its state's.
            return None, "only block 0 is final yet"
        state = self._state(header, proof, wanted)
        if state is None:
            return None, f"the contract does not exist at the finalised block {header.number} yet"
        return state, ""

    def _state(self, header: Header, proof: StateProof, wanted: Wanted) -> ContractState | None:
        """Return the proven state under `header`, None when no contract exists there."""
        account = prove_account(header, proof.nodes, self._network.contract, wanted.slots())
        if not account.has_code:
            return None
        if account.code_hash != self._network.code_hash:
            raise self._other_code(header, account.code_hash)
        return _decoded(account, wanted)

    def _other_code(self, header: Header, got: object) -> Refused:
        return Refused(
            Reason.CODE_HASH,
            f"the contract's code at block {header.number} is not the network file's",
            got=got,
            expected=self._network.code_hash,
            mend="The network file belongs to another deployment or chain",
        )


def _decoded(account: ProvenAccount, wanted: Wanted) -> ContractState:
    try:
        return from_proof(account, wanted)
    except MalformedInput as e:
        raise Refused(
            Reason.PROOF_INVALID, f"storage that the contract cannot write: {e}"
        ) from None
