"""Error families and reason codes: whose fault it is, what happened, what mends it.

Owns every exception that may leave trusted code. A decoder raises `MalformedInput`, nothing else; a
judgement about a peer, a proof or a quote raises `Refused` with one `Reason`; what may pass by
itself raises `Unavailable`. Messages are one line, hold no secret and no unescaped foreign text.
"""

from enum import StrEnum

_MAX_SHOWN = 120
"""Foreign text in a message is cut here, so that a peer cannot flood a log line."""


def shown(value: object) -> str:
    """Return foreign `value` as short, escaped, single-line text (bytes as hex)."""
    if isinstance(value, bytes | bytearray):
        text = "0x" + value[:_MAX_SHOWN].hex()
    elif isinstance(value, int) and value.bit_length() > 8 * _MAX_SHOWN:
        text = f"an integer of {value.bit_length()} bits"  # str() of a huge one raises ValueError
    else:
        text = _one_line(str(value))
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _one_line(text: str) -> str:
    """Return printable ASCII: what could end a line or steer a terminal is escaped."""
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class Reason(StrEnum):
    """Why something was refused or failed. The value is what users, logs and JSON show."""

    # the quote and its collateral (evidence)
    QUOTE_NOT_TDX = "quote-not-tdx"
    QUOTE_INVALID = "quote-invalid"
    QUOTE_WRONG_ROOT = "quote-wrong-root"
    QUOTE_COLLATERAL_EXPIRED = "quote-collateral-expired"
    QUOTE_COLLATERAL_OLD = "quote-collateral-old"
    QUOTE_COLLATERAL_SIGNER = "quote-collateral-signer"
    QUOTE_REVOKED = "quote-revoked"
    QUOTE_TCB_STATUS = "quote-tcb-status"
    QUOTE_TCB_FLOOR = "quote-tcb-floor"
    QUOTE_ADVISORY = "quote-advisory"
    QUOTE_DEBUG = "quote-debug"
    QUOTE_ATTRIBUTES = "quote-attributes"
    QUOTE_XFAM = "quote-xfam"
    QUOTE_ZERO_FIELDS = "quote-zero-fields"
    QUOTE_RTMR3 = "quote-rtmr3"
    QUOTE_MEASUREMENT = "quote-measurement"
    QUOTE_REPORT_DATA = "quote-report-data"
    QUOTE_EVENT_LOG = "quote-event-log"
    # the document that carries it
    DOCUMENT_HASH = "document-hash"
    DOCUMENT_MESSAGE = "document-message"
    GENESIS_INVALID = "genesis-invalid"
    # headers, proofs, time
    HEADER_HASH = "header-hash"
    HEADER_UNVOUCHED = "header-unvouched"
    HEADER_CHAIN = "header-chain"
    PROOF_INVALID = "proof-invalid"
    STALE_VIEW = "stale-view"
    FINALITY_STALLED = "finality-stalled"
    FINALITY_BROKEN = "finality-broken"
    NOT_YET_FINAL = "not-yet-final"
    CODE_HASH = "code-hash"
    NO_CONTRACT = "no-contract"
    # what the contract's storage says
    NOT_BOOTSTRAPPED = "not-bootstrapped"
    ALREADY_BOOTSTRAPPED = "already-bootstrapped"
    MEASUREMENT_NOT_ALLOWED = "measurement-not-allowed"
    NOT_ACTIVE = "not-active"
    NOT_PENDING = "not-pending"
    COMMITMENT = "commitment"
    EPOCH = "epoch"
    ROTATION_DUE = "rotation-due"
    # signatures and hand-overs
    SIGNATURE = "signature"
    CIPHERTEXT = "ciphertext"
    WRONG_SECRET = "wrong-secret"  # noqa: S105 - a reason code, not a password
    # a node's own fate
    REGISTRATION_EXPIRED = "registration-expired"
    ANCHOR_DEAD = "anchor-dead"
    INCLUSION_LATE = "inclusion-late"
    TOO_MANY_REJECTS = "too-many-rejects"
    REVOKED = "revoked"
    EXPIRED = "expired"
    REJOIN = "rejoin"
    PLATFORM_LOST = "platform-lost"
    # set-up
    NETWORK_FILE = "network-file"
    KIND_ROW = "kind-row"
    NO_LIGHT_CLIENT = "no-light-client"
    CONFIGURATION = "configuration"
    PEER_PROTOCOL = "peer-protocol"
    TIMEOUT = "timeout"


FATAL = frozenset(
    {
        Reason.GENESIS_INVALID,
        Reason.FINALITY_BROKEN,
        Reason.CODE_HASH,
        Reason.ALREADY_BOOTSTRAPPED,
        Reason.TOO_MANY_REJECTS,
        Reason.REVOKED,
        Reason.PLATFORM_LOST,
        Reason.NETWORK_FILE,
        Reason.KIND_ROW,
        Reason.NO_LIGHT_CLIENT,
        Reason.CONFIGURATION,
    }
)
"""Reasons after which this process can never succeed. All others may pass: retry, with limits."""


class ReplicatoorError(Exception):
    """Base of all our errors; never raised itself."""

    reason: Reason | None = None

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, mend: str = ""
    ) -> None:
        """Build the one line: `what`; then got, expected and the mend, where they are given."""
        if type(self) is ReplicatoorError:
            raise TypeError("raise a family of ReplicatoorError, which says whose fault it is")
        line = what
        if got is not None:
            line += f"; got {shown(got)}"
        if expected is not None:
            line += f"; expected {shown(expected)}"
        if mend:
            line += f". {mend}"
        super().__init__(_one_line(line))

    @property
    def fatal(self) -> bool:
        """Whether retrying the same thing in this process can never help."""
        return self.reason in FATAL


class MalformedInput(ReplicatoorError):
    """Bytes from outside that do not parse. Their sender's fault."""


class ProtocolViolation(ReplicatoorError):
    """An event that is not legal in the present state. The state is unchanged."""


class Misconfigured(ReplicatoorError):
    """The operator's configuration or network file cannot work."""

    reason = Reason.CONFIGURATION

    def __init__(
        self,
        what: str,
        *,
        reason: Reason = Reason.CONFIGURATION,
        got: object = None,
        expected: object = None,
        mend: str = "",
    ) -> None:
        """Like every error, with the reason code beside it."""
        super().__init__(what, got=got, expected=expected, mend=mend)
        self.reason = reason


class Refused(ReplicatoorError):
    """A judgement: this evidence, peer or chain view is not good enough. `reason` says why."""

    reason: Reason

    def __init__(
        self,
        reason: Reason,
        what: str,
        *,
        got: object = None,
        expected: object = None,
        mend: str = "",
    ) -> None:
        """Like every error, with the reason code in front."""
        super().__init__(f"{reason}: {what}", got=got, expected=expected, mend=mend)
        self.reason = reason


class Unavailable(ReplicatoorError):
    """Something outside did not answer in time or in form; trying again may help."""

    reason = Reason.TIMEOUT
