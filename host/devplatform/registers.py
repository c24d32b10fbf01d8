"""The boot registers of a simulated machine: a file of four hex values in JSON.

Owns the file's form. The values are what a network's measurement ids are made from.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from guest.protocol.digests import measurement_id
from guest.protocol.errors import Misconfigured

_NAMES = ("mrtd", "rtmr0", "rtmr1", "rtmr2")
_TEE_TDX = 0x81
_MAX_FILE = 4096


@dataclass(frozen=True, slots=True)
class BootRegisters:
    """MRTD and RTMR0 to RTMR2 at boot, 48 bytes each."""

    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes

    @property
    def measurement_id(self) -> bytes:
        """The 32 bytes by which the contract knows this image."""
        return measurement_id(_TEE_TDX, self.mrtd, self.rtmr0, self.rtmr1, self.rtmr2)


def registers_for(label: str) -> BootRegisters:
    """Return made-up registers that depend on `label` alone, as a build depends on its source."""
    return BootRegisters(
        *[hashlib.sha384(f"Replicatoor TEST {name} {label}".encode()).digest() for name in _NAMES]
    )


def write_registers(path: Path, registers: BootRegisters) -> None:
    """Write the file."""
    table = {name: getattr(registers, name).hex() for name in _NAMES}
    path.write_text(json.dumps(table, indent=1) + "\n")


def read_registers(path: Path) -> BootRegisters:
    """Read the file; raises `Misconfigured`."""
    try:
        with path.open("rb") as file:
            table = json.loads(file.read(_MAX_FILE))
        values = [bytes.fromhex(table[name]) for name in _NAMES]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise Misconfigured(
            f"cannot read registers from {path.name}",
            got=error,
            mend=f"Give a JSON object with {', '.join(_NAMES)}, each 48 bytes in hex.",
        ) from None
    if any(len(value) != 48 for value in values):
        raise Misconfigured(f"registers in {path.name} do not have 48 bytes each")
    return BootRegisters(*values)
