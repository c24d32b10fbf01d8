"""One document in the making: quote, then collateral, then our own full verification of both.

States: quoting -> fetching -> done. A guest verifies its own document as a member would before it
signs anything, so that a bad quote or collateral costs no gas and names its reason here.
"""

from enum import Enum, auto

from guest.chain.view import Header
from guest.core.effects import Effect, MakeQuote, Say
from guest.core.identity import Identity
from guest.core.phase import Context
from guest.evidence.attestation import verify_bootstrap, verify_registration
from guest.evidence.dcap import platform_family
from guest.protocol import document as document_format
from guest.protocol.digests import report_data
from guest.protocol.document import VERSION, UnverifiedDocument
from guest.protocol.errors import ProtocolViolation, Reason, Refused
from guest.protocol.link import CollateralFound, NeedCollateral
from guest.protocol.messages import Bootstrap, Register

QUOTE_LIMIT = 60.0
"""Seconds for a quote: the slowest driver allows 30, and another request may be before ours."""
COLLATERAL_LIMIT = 60.0
"""Seconds for the host to find collateral."""


class _State(Enum):
    QUOTING = auto()
    FETCHING = auto()
    DONE = auto()


class Attesting:
    """Makes the document for one message of one identity."""

    def __init__(
        self,
        context: Context,
        identity: Identity,
        message: Register | Bootstrap,
        anchor: Header,
        at: float,
    ) -> None:
        """Start; the first effects come from `begin`."""
        self.identity = identity
        self.message = message
        self.anchor = anchor
        self._context = context
        self._state = _State.QUOTING
        self._request = next(context.requests)
        self._deadline = at + QUOTE_LIMIT
        self._quote = b""

    def begin(self) -> list[Effect]:
        """Ask for the quote."""
        wanted = report_data(self._context.network.domain, self.message)
        return [MakeQuote(self._request, wanted)]

    def on_quote(self, request: int, quote: bytes, at: float) -> list[Effect]:
        """Take the quote and ask for its platform's collateral."""
        self._expect(_State.QUOTING, request)
        fmspc, authority = platform_family(quote)
        self._quote = quote
        self._state = _State.FETCHING
        self._request = next(self._context.requests)
        self._deadline = at + COLLATERAL_LIMIT
        return [Say(NeedCollateral(self._request, fmspc, authority))]

    def on_collateral(self, found: CollateralFound, now: int) -> bytes:
        """Return the document, verified in full as of `now`; raises `Refused` or `MalformedInput`."""
        self._expect(_State.FETCHING, found.request)
        if not found.collateral:
            raise Refused(Reason.TIMEOUT, "the host could not fetch collateral for this platform")
        registers = isinstance(self.message, Register)
        data = document_format.encode(
            UnverifiedDocument(
                version=VERSION,
                register=self.message if isinstance(self.message, Register) else None,
                bootstrap=self.message if isinstance(self.message, Bootstrap) else None,
                encryption_key=self.identity.decryption_key.public,
                quote=self._quote,
                event_log=b"\xc0",  # the empty RLP list: RTMR3 is at its boot value
                collateral=found.collateral,
            )
        )
        verify = verify_registration if registers else verify_bootstrap
        verify(data, network=self._context.network, now=now)
        self._state = _State.DONE
        return data

    def expired(self, at: float) -> bool:
        """Whether the current wait is over without an answer."""
        return self._state is not _State.DONE and at > self._deadline

    def expects(self, request: int) -> bool:
        """Whether an answer with this number is awaited."""
        return self._state is not _State.DONE and request == self._request

    def _expect(self, state: _State, request: int) -> None:
        if self._state is not state or request != self._request:
            raise ProtocolViolation(
                "an answer that nobody asked for", got=request, expected=self._request
            )
