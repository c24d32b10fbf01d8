"""The network file: everything a guest takes for granted, measured with the image.

Strict JSON with exactly these members. Nothing in it may come from the chain, the environment or the
host; what the contract says about the same facts is compared with it, never used instead.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from guest.protocol.digests import Domain
from guest.protocol.errors import Misconfigured, Reason
from guest.protocol.sizes import ZERO_ADDRESS, Address, Bytes32

MAX_NETWORK_FILE = 16 * 1024
_VERSION = 1
_ETHEREUM_MAINNET = 1
_Choice = TypeVar("_Choice", bound=StrEnum)
_MAX_VIEW_AGE = 3600


class Kind(StrEnum):
    """What hardware a network demands."""

    TEST = "test"
    REAL = "real"


class Trust(StrEnum):
    """What vouches for a block header."""

    UNVERIFIED = "unverified"
    WITNESSED = "witnessed"
    LIGHT_CLIENT = "light-client"


@dataclass(frozen=True, slots=True)
class TcbPolicy:
    """Which platforms may register: TCB statuses and the lowest evaluation data number."""

    statuses: tuple[str, ...]
    advisories: tuple[str, ...]
    evaluation_floor: int


@dataclass(frozen=True, slots=True)
class Network:
    """One network, as the image knows it.

    `notice_floor` is the shortest notice (seconds) that the contract may give before an image is
    allowed; `max_view_age` is W of the protocol, in seconds. `attestation_root` is DER.
    """

    network_id: Bytes32
    kind: Kind
    chain_id: int
    contract: Address
    code_hash: Bytes32
    attestation_root: bytes
    trust: Trust
    witness: Address
    notice_floor: int
    notice: int
    max_view_age: int
    tcb: TcbPolicy

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of this deployment."""
        return Domain(self.chain_id, self.contract, test=self.kind is Kind.TEST)


_ADVISORY = re.compile(r"INTEL-SA-[0-9]{5}")
_MEMBERS = {
    "version",
    "networkId",
    "kind",
    "chainId",
    "contract",
    "codeHash",
    "attestationRoot",
    "trust",
    "witness",
    "noticeFloor",
    "notice",
    "maxViewAge",
    "tcb",
}
_TCB_MEMBERS = {"statuses", "advisories", "evaluationFloor"}
_KNOWN_STATUSES = {
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
}


def parse(text: bytes) -> Network:
    """Parse a network file; raises `Misconfigured` with the member at fault."""
    if len(text) > MAX_NETWORK_FILE:
        raise _bad("is too large", len(text), f"<= {MAX_NETWORK_FILE} bytes")
    try:
        content = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _bad("is not JSON", None, "one JSON object with unique members") from None
    members = _object(content, "the file", _MEMBERS)
    _integer(members, "version", _VERSION, _VERSION + 1)
    tcb = _object(members["tcb"], "tcb", _TCB_MEMBERS)
    network = Network(
        network_id=_hex(members, "networkId", 32),
        kind=_choice(members, "kind", Kind),
        chain_id=_integer(members, "chainId", 1, 2**63),
        contract=_hex(members, "contract", 20),
        code_hash=_hex(members, "codeHash", 32),
        attestation_root=_hex(members, "attestationRoot", None),
        trust=_choice(members, "trust", Trust),
        witness=_hex(members, "witness", 20),
        notice_floor=_integer(members, "noticeFloor", 0, 2**32),
        notice=_integer(members, "notice", 0, 2**32),
        max_view_age=_integer(members, "maxViewAge", 1, _MAX_VIEW_AGE + 1),
        tcb=TcbPolicy(
            statuses=_texts(tcb, "statuses"),
            advisories=_texts(tcb, "advisories"),
            evaluation_floor=_integer(tcb, "evaluationFloor", 0, 2**32),
        ),
    )
    _check_whole(network)
    return network


def render(network: Network) -> bytes:
    """Return the one canonical text of a network file."""
    content = {
        "version": _VERSION,
        "networkId": "0x" + network.network_id.hex(),
        "kind": network.kind.value,
        "chainId": network.chain_id,
        "contract": "0x" + network.contract.hex(),
        "codeHash": "0x" + network.code_hash.hex(),
        "attestationRoot": "0x" + network.attestation_root.hex(),
        "trust": network.trust.value,
        "witness": "0x" + network.witness.hex(),
        "noticeFloor": network.notice_floor,
        "notice": network.notice,
        "maxViewAge": network.max_view_age,
        "tcb": {
            "statuses": list(network.tcb.statuses),
            "advisories": list(network.tcb.advisories),
            "evaluationFloor": network.tcb.evaluation_floor,
        },
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _check_whole(network: Network) -> None:
    """Refuse what no member alone can show to be wrong (design: the rows that may start)."""
    if network.kind is Kind.TEST and network.chain_id == _ETHEREUM_MAINNET:
        raise _row(
            "a test network cannot live on Ethereum mainnet", network.chain_id, "another chain"
        )
    if network.kind is Kind.REAL and network.trust is not Trust.LIGHT_CLIENT:
        raise _row(
            "a real network reads the chain by light client only", network.trust, "light-client"
        )
    if (network.trust is Trust.WITNESSED) != (network.witness != ZERO_ADDRESS):
        raise _row("trust and witness do not fit", network.trust, "a witness exactly if witnessed")
    if network.kind is Kind.REAL and not network.notice_floor:
        raise _bad("lets a real network allow code without notice", 0, "a noticeFloor above 0")
    if network.notice < network.notice_floor:
        raise _bad("has a notice below its floor", network.notice, f">= {network.notice_floor}")
    unknown = set(network.tcb.statuses) - _KNOWN_STATUSES
    if any(not _ADVISORY.fullmatch(advisory) for advisory in network.tcb.advisories):
        raise _bad("names unusable advisories", network.tcb.advisories, "INTEL-SA-00000")
    if unknown or not network.tcb.statuses:
        raise _bad("names unusable TCB statuses", sorted(unknown), sorted(_KNOWN_STATUSES))
    required = (network.contract, network.network_id, network.code_hash, network.attestation_root)
    if not all(any(value) for value in required):
        raise _bad("has a zero contract, networkId, codeHash or attestationRoot", None, None)


def _bad(what: str, got: object, expected: object) -> Misconfigured:
    return Misconfigured(
        f"the network file {what}", reason=Reason.NETWORK_FILE, got=got, expected=expected
    )


def _row(what: str, got: object, expected: object) -> Misconfigured:
    return Misconfigured(what, reason=Reason.KIND_ROW, got=got, expected=expected)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _object(value: object, name: str, expected: set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _bad(f"has no object at {name}", type(value).__name__, "an object")
    members = cast("dict[str, object]", value)
    wrong = set(members) ^ expected
    if wrong:
        raise _bad(f"has missing or unknown members in {name}", sorted(wrong), sorted(expected))
    return members


def _hex(members: dict[str, object], name: str, size: int | None) -> bytes:
    value = members[name]
    if not isinstance(value, str) or not value.startswith("0x"):
        raise _bad(f"has no 0x-hex at {name}", value, "0x...")
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError:
        raise _bad(f"has bad hex at {name}", value, "0x...") from None
    if (size is not None and len(raw) != size) or "0x" + raw.hex() != value:
        raise _bad(f"has a wrong {name}", value, f"{size or 'some'} bytes in lower-case hex")
    return raw


def _integer(members: dict[str, object], name: str, low: int, end: int) -> int:
    value = members[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < end:
        raise _bad(f"has a wrong {name}", value, f"an integer from {low} to {end - 1}")
    return value


def _choice(members: dict[str, object], name: str, kind: type[_Choice]) -> _Choice:
    value = members[name]
    try:
        return kind(cast("str", value))
    except ValueError:
        raise _bad(f"has a wrong {name}", value, [str(choice) for choice in kind]) from None


def _texts(members: dict[str, object], name: str) -> tuple[str, ...]:
    value = members[name]
    if not isinstance(value, list) or len(value) > 64:
        raise _bad(f"has no list at {name}", value, "a list of at most 64 texts")
    texts = cast("list[object]", value)
    if any(not isinstance(text, str) or len(text) > 64 for text in texts):
        raise _bad(f"has something else than short texts at {name}", value, "texts")
    return tuple(cast("list[str]", texts))
