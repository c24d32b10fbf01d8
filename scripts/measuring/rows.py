"""What a benchmark says: one row a figure, medians and percentiles, and whether the machine was quiet."""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

QUIET_LOAD = 1.5
"""A 1-minute load above this makes every time a guess."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `budget` is what it may be at most (at least, where `floor`), None where none is set.

    `timed`: the figure depends on how busy the machine is, so a miss on a busy one is no failure.
    """

    name: str
    figure: float
    unit: str
    how: str
    budget: float | None = None
    floor: bool = False
    timed: bool = False

    @property
    def ok(self) -> bool:
        """Whether the budget holds."""
        if self.budget is None:
            return True
        return self.figure >= self.budget if self.floor else self.figure <= self.budget

    @property
    def limit(self) -> str:
        """The budget as people read it."""
        if self.budget is None:
            return "-"
        return f"{'>=' if self.floor else '<='} {self.budget:g}"

    def content(self) -> dict[str, object]:
        """Return the row as the command's JSON has it."""
        return {
            "name": self.name,
            "figure": rounded(self.figure),
            "unit": self.unit,
            "budget": self.budget,
            "ok": self.ok,
            "how": self.how,
        }


def rounded(value: float) -> float:
    """Return three significant digits, and of a large number every one before the point."""
    return round(value) if abs(value) >= 1000 else float(f"{value:.3g}")


def as_json(rows: Sequence[Row]) -> str:
    """Return the list that `--json` prints."""
    return json.dumps([row.content() for row in rows], indent=1)


def as_table(rows: Sequence[Row]) -> str:
    """Return one line a row, for people."""
    name = max((len(row.name) for row in rows), default=4)
    lines = [f"{'name':<{name}} {'figure':>10} {'unit':<8} {'budget':>10}       how"]
    for row in rows:
        mark = "    " if row.budget is None else ("ok  " if row.ok else "MISS")
        lines.append(
            f"{row.name:<{name}} {rounded(row.figure):>10.12g} {row.unit:<8} {row.limit:>10} {mark}"
            f"  {row.how}"
        )
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    """Return the median; there must be values."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    at = max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)
    return ordered[at]


def spread(values: Sequence[float]) -> str:
    """Return the range and number of values, for a row's `how`."""
    return f"[{rounded(min(values)):.12g}-{rounded(max(values)):.12g}] n={len(values)}"


def load() -> float:
    """Return the machine's 1-minute load."""
    return os.getloadavg()[0]


def machine() -> str:
    """Return what this machine is, in a few words."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    name = models[0] if models else "unknown processor"
    return f"{os.cpu_count()} x {name}, Linux {os.uname().release}"
