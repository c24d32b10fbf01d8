"""The contract's ABI, read from its release file, and the only calls into `eth_abi`.

Owns selectors, topics and the conversion between ABI words and Python values (addresses are 20
bytes here, never text). Functions, errors and events are looked up by name; overloads do not occur.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from guest.protocol.errors import MalformedInput, Misconfigured
from guest.protocol.primitives import keccak256
from host.chain.hexdata import Json, items, members

AbiValue: TypeAlias = int | bool | bytes | str | tuple["AbiValue", ...]

_RELEASE_FILE = Path(__file__).with_name("KeyManager.json")
_MAX_RELEASE_FILE = 4 * 1024 * 1024
_MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its name, its canonical ABI type ("(address,bytes)[]"), and if indexed."""

    name: str
    type: str
    indexed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, error, event or the constructor."""

    kind: str
    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]

    @property
    def signature(self) -> str:
        """Name and types as they are hashed for selectors and topics."""
        return f"{self.name}({','.join(p.type for p in self.inputs)})"

    @property
    def topic(self) -> bytes:
        """Keccak of the signature: an event's first topic."""
        return keccak256(self.signature.encode())

    @property
    def selector(self) -> bytes:
        """First 4 bytes of a call or of revert data."""
        return self.topic[:4]


@dataclass(frozen=True, slots=True)
class Release:
    """What `contracts/` released: the ABI and the creation code."""

    entries: tuple[Entry, ...]
    creation_code: bytes

    def entry(self, kind: str, name: str = "") -> Entry:
        """Return the entry of that kind and name; its absence is a broken installation."""
        for entry in self.entries:
            if entry.kind == kind and entry.name == name:
                return entry
        raise Misconfigured(f"the contract's release file has no {kind} {name}")

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """Return all entries of a kind ("function", "event", "error")."""
        return tuple(entry for entry in self.entries if entry.kind == kind)


@cache
def release() -> Release:
    """Read the release file beside this module, once; raises `Misconfigured` if it is broken."""
    mend = "Reinstall, or run the contracts' release script"
    try:
        text = _RELEASE_FILE.read_bytes()
        if len(text) > _MAX_RELEASE_FILE:
            raise Misconfigured("the contract's release file is too large", mend=mend)
        top: Json = json.loads(text)
        found = members(top, "the release file")
        entries = items(found.get("abi"), "the ABI", max_items=_MAX_ENTRIES)
        code = found.get("bytecode")
        return Release(
            tuple(_entry(members(entry, "an ABI entry")) for entry in entries),
            bytes.fromhex(code.removeprefix("0x") if isinstance(code, str) else ""),
        )
    except (OSError, ValueError, RecursionError, MalformedInput) as e:
        raise Misconfigured(
            "the contract's release file cannot be read", got=type(e).__name__, mend=mend
        ) from None


def encode_call(name: str, *values: AbiValue) -> bytes:
    """Return calldata for the function `name`."""
    entry = release().entry("function", name)
    return entry.selector + encode([p.type for p in entry.inputs], values)


def decode_call(name: str, calldata: bytes) -> tuple[AbiValue, ...]:
    """Decode the arguments of a call of the function `name`; raises `MalformedInput`."""
    entry = release().entry("function", name)
    if calldata[:4] != entry.selector:
        raise MalformedInput(f"this is no call of {name}", got=calldata[:4])
    return decode([p.type for p in entry.inputs], calldata[4:])


def decode_result(name: str, raw: bytes) -> tuple[AbiValue, ...]:
    """Decode what the view function `name` returned; raises `MalformedInput`."""
    entry = release().entry("function", name)
    return decode([p.type for p in entry.outputs], raw)


def encode(types: list[str], values: tuple[AbiValue, ...]) -> bytes:
    """ABI-encode values of our own; a value that does not fit raises `MalformedInput`."""
    from eth_abi.abi import encode as abi_encode  # 0.15 s that `--help` need not pay
    from eth_abi.exceptions import EncodingError

    try:
        return abi_encode(types, values)
    except (EncodingError, TypeError, ValueError) as e:
        raise MalformedInput("a value does not fit its ABI type", got=type(e).__name__) from None


def decode(types: list[str], raw: bytes) -> tuple[AbiValue, ...]:
    """ABI-decode foreign bytes, strictly padded; raises `MalformedInput`."""
    from eth_abi.abi import decode as abi_decode
    from eth_abi.exceptions import DecodingError

    try:
        values = abi_decode(types, raw)
    except (DecodingError, ValueError, OverflowError, RecursionError, MemoryError) as e:
        raise MalformedInput("not ABI-encoded as expected", got=type(e).__name__) from None
    return tuple(
        _plain(value, has_addresses=kind.startswith(("address", "(")))
        for kind, value in zip(types, values, strict=True)
    )


def _plain(value: object, *, has_addresses: bool) -> AbiValue:
    """Turn eth_abi's addresses (text) into bytes. No struct of ours holds a string (a test looks)."""
    if isinstance(value, list | tuple):
        return tuple(_plain(member, has_addresses=has_addresses) for member in value)
    if isinstance(value, str) and has_addresses:
        return bytes.fromhex(value.removeprefix("0x"))
    if isinstance(value, bool | int | bytes | str):
        return value
    raise MalformedInput("an ABI type that we do not use", got=type(value).__name__)


def _entry(raw: dict[str, Json]) -> Entry:
    kind, name = raw.get("type"), raw.get("name", "")
    return Entry(
        kind if isinstance(kind, str) else "",
        name if isinstance(name, str) else "",
        _parameters(raw.get("inputs", [])),
        _parameters(raw.get("outputs", [])),
    )


def _parameters(raw: Json) -> tuple[Parameter, ...]:
    return tuple(
        _parameter(members(parameter, "an ABI parameter"))
        for parameter in items(raw, "ABI parameters", max_items=_MAX_ENTRIES)
    )


def _parameter(raw: dict[str, Json]) -> Parameter:
    name, kind = raw.get("name", ""), raw.get("type")
    if not isinstance(name, str) or not isinstance(kind, str):
        raise MalformedInput("an ABI parameter without name or type")
    if kind.startswith("tuple"):
        inner = ",".join(p.type for p in _parameters(raw.get("components", [])))
        kind = f"({inner}){kind.removeprefix('tuple')}"
    return Parameter(name, kind, raw.get("indexed") is True)
