"""Certificate chains of the evidence: they end in our root, and TCB data has the right signer.

Owns what the verification library leaves open about certificates. It checks names and roles only:
signatures, validity and revocation are the library's, which gets exactly what is judged here.
"""

from dataclasses import replace

from guest.evidence.certificates import decode_chain, encode_chain, read_certificate
from guest.evidence.collateral import Collateral
from guest.evidence.roots import AttestationRoot, RootName
from guest.protocol.errors import MalformedInput, Reason, Refused


def anchored(chain: tuple[bytes, ...], root: AttestationRoot, whose: str) -> tuple[bytes, ...]:
    """Return `chain` without its last certificate, which must be our root, byte for byte.

    The library would take any root here, or none: free bytes in the quote. Raises `Refused`.
    """
    if chain[-1] != root.der:
        raise Refused(
            Reason.QUOTE_WRONG_ROOT,
            f"the chain of {whose} does not end in the root that is asked for",
            expected=root.name,
        )
    if len(chain) == 1:
        raise MalformedInput(f"the chain of {whose} has no leaf")
    return chain[:-1]


def with_canonical_chains(collateral: Collateral, root: AttestationRoot) -> Collateral:
    """Re-encode both signers' chains, so that the library reads the certificates that we judge."""
    info = anchored(decode_chain(collateral.tcb_info_issuer_chain), root, "the TCB info")
    identity = anchored(decode_chain(collateral.qe_identity_issuer_chain), root, "the QE identity")
    return replace(
        collateral,
        tcb_info_issuer_chain=encode_chain(info),
        qe_identity_issuer_chain=encode_chain(identity),
    )


def check_signers(collateral: Collateral, root: AttestationRoot) -> None:
    """Demand the TCB signing role: the library takes any leaf below the root, a PCK key included.

    Called after the library found the chains valid, so only names and extensions are left to check.
    """
    anchor = read_certificate(root.der)
    chains = {collateral.tcb_info_issuer_chain, collateral.qe_identity_issuer_chain}
    for pem in chains:
        chain = decode_chain(pem)
        signer = read_certificate(chain[0])
        named = signer.common_name == root.signer or (
            root.name is RootName.OTHER and signer.common_name.endswith(root.signer)
        )
        direct = len(chain) == 1 and signer.issuer == anchor.subject
        if not named or not direct or signer.has_sgx_extension:
            raise Refused(
                Reason.QUOTE_COLLATERAL_SIGNER,
                "TCB data is signed by a certificate of another role",
                got=signer.common_name,
                expected=root.signer,
            )
