"""What a contract said when it reverted, by name and arguments.

Owns the map from error selectors to names. Foreign bytes never raise here: what does not decode is
shown as its selector.
"""

from dataclasses import dataclass
from functools import cache

from guest.protocol.errors import MalformedInput, shown
from host.chain import abi
from host.chain.events import Refusal, Status

_BUILT_IN = (
    abi.Entry("error", "Error", (abi.Parameter("reason", "string", indexed=False),), ()),
    abi.Entry("error", "Panic", (abi.Parameter("code", "uint256", indexed=False),), ()),
)
_MEANINGS: dict[tuple[str, str], type[Status | Refusal]] = {
    ("Refused", "reason"): Refusal,
    ("AlreadyRegistered", "status"): Status,
    ("NotActive", "status"): Status,
    ("WrongStatus", "status"): Status,
}


@dataclass(frozen=True, slots=True)
class Revert:
    """A custom error: its name ("" if none was given) and its arguments as text."""

    name: str
    arguments: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        inner = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{self.name}({inner})" if self.name else "reverted without a reason"


@cache
def _by_selector() -> dict[bytes, abi.Entry]:
    entries = (*_BUILT_IN, *abi.release().of_kind("error"))
    return {entry.selector: entry for entry in entries}


def decode_revert(raw: bytes) -> Revert:
    """Name the error that `raw` (revert data) encodes."""
    if len(raw) < 4:
        return Revert("", ())
    entry = _by_selector().get(raw[:4])
    if entry is None:
        return Revert(f"unknown error 0x{raw[:4].hex()}", ())
    try:
        values = abi.decode([p.type for p in entry.inputs], raw[4:])
    except MalformedInput:
        return Revert(entry.name, (("arguments", "malformed"),))
    return Revert(
        entry.name,
        tuple(
            (p.name, _text(entry.name, p.name, value))
            for p, value in zip(entry.inputs, values, strict=True)
        ),
    )


def _text(error: str, argument: str, value: abi.AbiValue) -> str:
    meaning = _MEANINGS.get((error, argument))
    if meaning is not None and value in set(meaning):
        return f"{value} {meaning(value).name}"
    return shown(value)
