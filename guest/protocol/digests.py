"""Every digest of the protocol, one function each, and nothing but digests.

The Solidity twin is `contracts/src/libraries/Digests.sol`; `tests/vectors/digests.json` ties the two.
All signatures are EIP-712 over {name, version, chainId, verifyingContract}. Fields have fixed widths
or are hashed one by one, so no two messages share an encoding.
"""

from dataclasses import dataclass, fields

from guest.protocol.messages import (
    AppData,
    Bootstrap,
    Confirm,
    Handover,
    Leave,
    Onboard,
    OnboardBatch,
    OnboardEntry,
    Register,
    RegisterTx,
    Reject,
    Renew,
    Signed,
    Witness,
)
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import Address, Bytes32

_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_WITNESS_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId)"
_ENTRY_TYPE = "OnboardEntry(address node,uint8 attempt,bytes32 commitment,bytes32 ciphertextHash)"
_TYPES: dict[type[Signed | OnboardEntry | Witness], str] = {
    Register: "Register(address node,bytes32 encPub,bytes32 measurementId,"
    "uint64 anchorNumber,bytes32 anchorHash)",
    RegisterTx: "RegisterTx(bytes32 registerDigest,bytes32 documentHash)",
    Bootstrap: "Bootstrap(address node,bytes32 encPub,bytes32 measurementId,"
    "uint64 anchorNumber,bytes32 anchorHash,address xPub,address appRoot)",
    Handover: "Handover(address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment)",
    Onboard: "Onboard(address node,address by,uint32 epoch,uint8 attempt,bytes32 commitment,"
    "uint64 viewNumber,bytes32 viewHash,bytes32 ciphertextHash)",
    OnboardBatch: "OnboardBatch(address by,uint32 epoch,uint64 viewNumber,bytes32 viewHash,"
    "OnboardEntry[] entries)" + _ENTRY_TYPE,
    OnboardEntry: _ENTRY_TYPE,
    Confirm: "Confirm(address node,bytes32 handover)",
    Reject: "Reject(address node,bytes32 handover,uint8 reason,uint64 viewNumber,bytes32 viewHash)",
    Renew: "Renew(address node,uint64 viewNumber,bytes32 viewHash)",
    Leave: "Leave(address node,bytes32 commitment)",
    AppData: "AppData(bytes32 appData)",
    Witness: "Witness(uint64 number,bytes32 hash,uint64 finalizedNumber,bytes32 finalizedHash)",
}
_TYPE_HASHES = {kind: keccak256(text.encode()) for kind, text in _TYPES.items()}
_FIELDS: dict[type, tuple[tuple[str, str], ...]] = {
    kind: tuple(
        zip(
            [field.name for field in fields(kind)],
            [
                member.split(" ")[0]
                for member in text[text.index("(") + 1 : text.index(")")].split(",")
            ],
            strict=True,
        )
    )
    for kind, text in _TYPES.items()
}
"""Per message: our name and Solidity's type of each field, in order."""

_BYTE_SIZES = {"address": 20, "bytes32": 32}

REGISTER_TAG = keccak256(b"replicatoor/register/1")
BOOTSTRAP_TAG = keccak256(b"replicatoor/bootstrap/1")
RESERVED_TAGS = frozenset({REGISTER_TAG, BOOTSTRAP_TAG})
"""Second halves of report data that no app may ask for."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One deployment. A test network has another name, so its signatures verify nowhere else."""

    chain_id: int
    contract: Address
    test: bool

    @property
    def separator(self) -> bytes:
        """The EIP-712 domain separator."""
        name = "Replicatoor TEST" if self.test else "Replicatoor"
        return keccak256(
            keccak256(_DOMAIN_TYPE.encode())
            + keccak256(name.encode())
            + keccak256(b"1")
            + _word("uint256", self.chain_id)
            + _word("address", self.contract)
        )


def struct_hash(message: Signed | OnboardEntry | Witness) -> bytes:
    """EIP-712 hashStruct of a message; raises ValueError for a value that its field's type has not."""
    kind = type(message)
    words = [_word(of, getattr(message, name)) for name, of in _FIELDS[kind]]
    return keccak256(_TYPE_HASHES[kind] + b"".join(words))


def digest(domain: Domain, message: Signed) -> bytes:
    """Return the 32 bytes that are signed for `message` on `domain`."""
    return keccak256(b"\x19\x01" + domain.separator + struct_hash(message))


def commitment(message: RegisterTx | Bootstrap) -> bytes:
    """C: what a node's slot keeps (its low 160 bits) from registration on."""
    return struct_hash(message)


def handover_id(domain: Domain, handover: Handover, ciphertext_hash: Bytes32) -> bytes:
    """H names one hand-over. It holds no view, so a Confirm survives a re-signed Onboard."""
    return keccak256(digest(domain, handover) + _word("bytes32", ciphertext_hash))


def report_data(domain: Domain, message: Register | Bootstrap) -> bytes:
    """All 64 bytes that the quote of a registration or bootstrap carries."""
    tag = REGISTER_TAG if isinstance(message, Register) else BOOTSTRAP_TAG
    return digest(domain, message) + tag


def measurement_id(tee_type: int, mrtd: bytes, rtmr0: bytes, rtmr1: bytes, rtmr2: bytes) -> bytes:
    """keccak(abi.encode(uint16(1), uint32 teeType, bytes mrtd, bytes rtmr0, rtmr1, rtmr2)).

    Each register is 48 bytes, so every `bytes` tail is one length word and two data words.
    """
    registers = (mrtd, rtmr0, rtmr1, rtmr2)
    if any(len(register) != 48 for register in registers):
        raise ValueError("a TDX register has 48 bytes")
    head = _word("uint16", 1) + _word("uint32", tee_type)
    offsets = b"".join(_word("uint256", 6 * 32 + 96 * i) for i in range(4))
    tails = b"".join(_word("uint256", 48) + register + bytes(16) for register in registers)
    return keccak256(head + offsets + tails)


def app_id(network_id: Bytes32) -> bytes:
    """Return the 20-byte app id of a network; also the contract's `appId()`."""
    return keccak256(b"replicatoor/app" + _word("bytes32", network_id))[12:]


def document_hash(document: bytes) -> bytes:
    """Return the address of a document: the keccak of its exact bytes."""
    return keccak256(document)


def turn(seed: int, attempt: int, member: Address) -> bytes:
    """Rank key of a member for one attempt: lower goes first (economics only; relied on by no one)."""
    return keccak256(_word("uint256", seed) + _word("uint256", attempt) + _word("address", member))


def witness_digest(chain_id: int, statement: Witness) -> bytes:
    """Return the 32 bytes that a test network's witness signs; its own domain, no contract."""
    separator = keccak256(
        keccak256(_WITNESS_DOMAIN_TYPE.encode())
        + keccak256(b"Replicatoor witness")
        + keccak256(b"1")
        + _word("uint256", chain_id)
    )
    return keccak256(b"\x19\x01" + separator + struct_hash(statement))


def _word(of: str, value: int | bytes | tuple[OnboardEntry, ...]) -> bytes:
    """One 32-byte word of Solidity type `of`; raises ValueError, so that nothing is padded to fit."""
    if isinstance(value, tuple):
        if of == "OnboardEntry[]":
            return keccak256(b"".join([struct_hash(entry) for entry in value]))
    elif isinstance(value, int):
        if of.startswith("uint") and 0 <= value < 1 << int(of[4:]):
            return value.to_bytes(32, "big")
    elif len(value) == _BYTE_SIZES.get(of):
        return value.rjust(32, b"\0")
    raise ValueError(f"the value does not fit its type, {of}")
