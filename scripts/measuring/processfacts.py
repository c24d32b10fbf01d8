"""What the kernel says of a process: memory, processor time, children. Reads /proc and nothing else."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and of the children it has waited for."""
    fields = _stat(pid)
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / _TICKS


def has_spawned(pid: int) -> bool:
    """Whether a process has a child, or has ever waited for one that touched memory."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    alive = any((task / "children").read_text().strip() for task in tasks)
    return alive or int(_stat(pid)[8]) > 0  # page faults of children that were waited for


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on: a program's name may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
