"""Block headers: RLP bytes to the few facts that a guest reads from them.

Owns the layout of a header through every fork so far (Yellow Paper 4.4.2; EIP-1559, 4895, 4844, 4788,
7685, 7928, 7843). It says what the bytes hold and what their hash is; whether that hash belongs to
the chain is for `guest.chain.trust` to say.
"""

from dataclasses import dataclass

from guest.protocol import rlp
from guest.protocol.errors import MalformedInput
from guest.protocol.primitives import keccak256
from guest.protocol.sizes import AtMost, Bits, Bytes32, Exactly, Uint64

MAX_HEADER = 2048
"""Bytes. The largest known shape has about 850, the bloom 256 of them."""

_HASH = Exactly(32)
_FIELDS: tuple[tuple[str, Exactly | AtMost | Bits], ...] = (
    ("parentHash", _HASH),
    ("ommersHash", _HASH),
    ("beneficiary", Exactly(20)),
    ("stateRoot", _HASH),
    ("transactionsRoot", _HASH),
    ("receiptsRoot", _HASH),
    ("logsBloom", Exactly(256)),
    ("difficulty", Bits(256)),
    ("number", Bits(64)),
    ("gasLimit", Bits(64)),
    ("gasUsed", Bits(64)),
    ("timestamp", Bits(64)),
    ("extraData", AtMost(32)),
    ("prevRandao", _HASH),
    ("nonce", Exactly(8)),
    ("baseFeePerGas", Bits(256)),  # London
    ("withdrawalsRoot", _HASH),  # Shanghai
    ("blobGasUsed", Bits(64)),  # Cancun, three fields
    ("excessBlobGas", Bits(64)),
    ("parentBeaconBlockRoot", _HASH),
    ("requestsHash", _HASH),  # Prague
    ("blockAccessListHash", _HASH),  # Amsterdam, two fields
    ("slotNumber", Bits(64)),
    # Forks append. Two fields of a fork to come do not move those that we read, and the hash covers
    # them; more than two is a header that we do not know.
    ("the 24th field", AtMost(32)),
    ("the 25th field", AtMost(32)),
)
_FEWEST = 15
_MOST = len(_FIELDS)


@dataclass(frozen=True, slots=True)
class Header:
    """A block header. `timestamp` is in Unix seconds; `hash` is the keccak of its bytes."""

    number: Uint64
    hash: Bytes32
    parent_hash: Bytes32
    state_root: Bytes32
    timestamp: Uint64


def decode_header(data: bytes) -> Header:
    """Decode the RLP of one header; raises `MalformedInput` and nothing else.

    The hash is not compared with anything: it is what these bytes hash to.
    """
    fields = rlp.decode(data, max_size=MAX_HEADER, max_items=_MOST + 1)
    if not isinstance(fields, list) or not _FEWEST <= len(fields) <= _MOST:
        count = len(fields) if isinstance(fields, list) else "bytes"
        raise MalformedInput("not a header", got=count, expected=f"{_FEWEST} to {_MOST} fields")
    values: list[bytes] = []
    for (name, bound), field in zip(_FIELDS, fields, strict=False):
        if not isinstance(field, bytes):
            raise MalformedInput(f"the header's {name} is a list", expected="bytes")
        _check(name, bound, field)
        values.append(field)
    return Header(
        number=int.from_bytes(values[8], "big"),
        hash=keccak256(data),
        parent_hash=values[0],
        state_root=values[3],
        timestamp=int.from_bytes(values[11], "big"),
    )


def _check(name: str, bound: Exactly | AtMost | Bits, field: bytes) -> None:
    match bound:
        case Exactly(size):
            if len(field) != size:
                raise MalformedInput(f"the header's {name} is no {size} bytes", got=len(field))
        case AtMost(size):
            if len(field) > size:
                raise MalformedInput(
                    f"the header's {name} is too large", got=len(field), expected=f"<= {size}"
                )
        case Bits(bits):
            if len(field) * 8 > bits or field[:1] == b"\0":
                raise MalformedInput(
                    f"the header's {name} is no minimal integer below 2**{bits}", got=field
                )
