"""Every newcomer's check of the first node, before it registers; failure is fatal.

A network whose first member was not an attested one could have its secret in anybody's hands. So the
genesis document is fetched by the hash in storage and verified under our own root.
"""

from guest.chain.view import ChainView
from guest.core.effects import Effect, Say
from guest.core.phase import Context
from guest.evidence.attestation import verify_bootstrap
from guest.protocol import document as document_format
from guest.protocol.errors import MalformedInput, ProtocolViolation, Reason, Refused
from guest.protocol.link import GenesisFound, NeedGenesis
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import Bytes32

ANSWER_LIMIT = 30.0
"""Seconds before the document is asked for again."""


class GenesisCheck:
    """States: wanted -> asked -> claimed -> done."""

    def __init__(self, context: Context) -> None:
        """Start at `wanted`."""
        self._context = context
        self._request = 0
        self._asked_at: float | None = None
        self._claim: bytes | None = None
        self._measurement: Bytes32 | None = None
        self.done = False

    def measurements(self) -> tuple[Bytes32, ...]:
        """The measurement that the claimed document names, to be proven with the next view."""
        return () if self._measurement is None else (self._measurement,)

    def on_view(self, view: ChainView) -> list[Effect]:
        """Ask for the document, or judge the one that came; raises `Refused(GENESIS_INVALID)`."""
        genesis = view.newest.genesis()
        if self._claim is None:
            if self._request:
                return []
            self._request = next(self._context.requests)
            return [Say(NeedGenesis(self._request, genesis.document_hash))]
        if keccak256(self._claim) != genesis.document_hash:
            self._forget()
            raise Refused(Reason.DOCUMENT_HASH, "the host sent another genesis document")
        self._judge(view, self._claim)
        self.done = True
        self._claim = None
        return []

    def on_found(self, found: GenesisFound) -> list[Effect]:
        """Take the host's claim; it is judged at the next view, which proves its measurement."""
        if self.done or found.request != self._request or self._claim is not None:
            raise ProtocolViolation("a genesis document that nobody asked for", got=found.request)
        try:
            document = document_format.decode(found.document)
        except MalformedInput:
            self._forget()
            raise
        if document.bootstrap is None:
            self._forget()
            raise MalformedInput("the genesis document holds no bootstrap")
        self._claim = found.document
        self._measurement = document.bootstrap.measurement_id
        return []

    def on_tick(self, at: float) -> None:
        """Forget a request that got no answer, so that it is asked again."""
        if self.done or not self._request or self._claim is not None:
            self._asked_at = None
        elif self._asked_at is None:
            self._asked_at = at
        elif at - self._asked_at > ANSWER_LIMIT:
            self._forget()

    def _forget(self) -> None:
        self._request, self._claim, self._measurement, self._asked_at = 0, None, None, None

    def _judge(self, view: ChainView, claim: bytes) -> None:
        genesis, first = view.newest.genesis(), view.newest.epoch(1)
        try:
            attested = verify_bootstrap(claim, network=self._context.network, now=genesis.time)
        except (Refused, MalformedInput) as error:
            raise Refused(Reason.GENESIS_INVALID, f"the first node's document: {error}") from None
        message = attested.message
        image = view.newest.measurement(message.measurement_id)
        if message.node != genesis.node:
            raise Refused(Reason.GENESIS_INVALID, "its node is not the genesis node")
        if (message.x_pub, message.app_root) != (first.x_pub, first.app_root):
            raise Refused(Reason.GENESIS_INVALID, "its epoch keys are not those of epoch 1")
        if not image.genesis:
            raise Refused(Reason.GENESIS_INVALID, "its image was not allowed from the start")
