"""From a document's bytes to an attested claim: the one function that believes a document.

Used by a newcomer for its own document before it signs, by a member before it hands anything over, by
every newcomer for the genesis document, and by auditors. Owns the order of checks, no I/O, no clock.
"""

from dataclasses import dataclass

from guest.evidence import collateral as collateral_format
from guest.evidence import eventlog
from guest.evidence.dcap import VerifiedQuote, verify_quote
from guest.evidence.policy import check_join_quote
from guest.evidence.roots import AttestationRoot, RootName, root_from_der
from guest.evidence.tcb import QuotePolicy, TcbStatus
from guest.protocol import document as document_format
from guest.protocol.digests import commitment, digest, document_hash, report_data
from guest.protocol.document import UnverifiedDocument
from guest.protocol.errors import MalformedInput, Misconfigured, Reason, Refused
from guest.protocol.messages import Bootstrap, Register, RegisterTx
from guest.protocol.network import Kind, Network
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import Bytes32, EncryptionKey


@dataclass(frozen=True, slots=True)
class AttestedRegistration:
    """A registration whose quote, collateral and report data were verified together."""

    message: Register
    commitment: Bytes32
    document_hash: Bytes32
    encryption_key: EncryptionKey
    quote: VerifiedQuote


@dataclass(frozen=True, slots=True)
class AttestedBootstrap:
    """A bootstrap whose quote, collateral and report data were verified together."""

    message: Bootstrap
    commitment: Bytes32
    document_hash: Bytes32
    quote: VerifiedQuote


def registration_policy(network: Network) -> QuotePolicy:
    """Return what a network demands of platforms that register."""
    return QuotePolicy(
        allowed_statuses=frozenset(network.tcb.statuses),
        allowed_advisories=frozenset(network.tcb.advisories),
        evaluation_floor=network.tcb.evaluation_floor,
    )


def genesis_policy(network: Network) -> QuotePolicy:
    """Return what is demanded of the first node: no TCB policy, since that may tighten after its day.

    Everything else holds: root, debug, attributes, zero fields. The first node's TCB is trusted as of
    its time; the threat model says so.
    """
    return QuotePolicy(
        allowed_statuses=frozenset(TcbStatus),
        allowed_advisories=frozenset(network.tcb.advisories),
        evaluation_floor=0,
    )


def root_of(network: Network) -> AttestationRoot:
    """Return the root that a network's kind demands; any other is `Misconfigured(KIND_ROW)`."""
    try:
        root = root_from_der(network.attestation_root)
    except (Refused, MalformedInput) as error:
        raise Misconfigured(
            f"the network's attestation root is not one that we know: {error}",
            reason=Reason.KIND_ROW,
        ) from None
    wanted = RootName.INTEL if network.kind is Kind.REAL else RootName.DEVELOPMENT
    if root.name is not wanted:
        raise Misconfigured(
            "the network's kind and its attestation root do not fit",
            reason=Reason.KIND_ROW,
            got=f"{network.kind} with {root.name}",
            expected=f"{network.kind} with {wanted}",
        )
    return root


def verify_registration(data: bytes, *, network: Network, now: int) -> AttestedRegistration:
    """Verify a Register document of at most 96 KiB as of `now` (unix seconds of a proven header).

    Raises `MalformedInput` or `Refused`.
    """
    document = document_format.decode(data)
    message = document.register
    if message is None:
        raise Refused(Reason.DOCUMENT_MESSAGE, "the document is not a registration")
    quote = _verify(document, message, network, registration_policy(network), now)
    signed = RegisterTx(digest(network.domain, message), document_hash(data))
    return AttestedRegistration(
        message, commitment(signed), signed.document_hash, document.encryption_key, quote
    )


def verify_bootstrap(data: bytes, *, network: Network, now: int) -> AttestedBootstrap:
    """Verify a Bootstrap document as of `now`, the genesis time; raises like the above."""
    document = document_format.decode(data)
    message = document.bootstrap
    if message is None:
        raise Refused(Reason.DOCUMENT_MESSAGE, "the document is not a bootstrap")
    quote = _verify(document, message, network, genesis_policy(network), now)
    return AttestedBootstrap(message, commitment(message), document_hash(data), quote)


def _verify(
    document: UnverifiedDocument,
    message: Register | Bootstrap,
    network: Network,
    policy: QuotePolicy,
    now: int,
) -> VerifiedQuote:
    if keccak256(document.encryption_key) != message.encryption_key_hash:
        raise Refused(Reason.DOCUMENT_MESSAGE, "the encryption key is not the one in the message")
    root = root_of(network)
    quote = verify_quote(
        document.quote,
        collateral_format.decode(document.collateral),
        now=now,
        policy=policy,
        root=root,
    )
    check_join_quote(
        quote,
        report_data=report_data(network.domain, message),
        measurement_id=message.measurement_id,
        event_log=eventlog.decode(document.event_log),
    )
    return quote
