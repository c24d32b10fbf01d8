"""Measures what the budgets name, and says which hold: scripts/bench [NAME...] [--json].

Owns the list of families, the order in which they run (the quiet ones first) and the exit code. A
machine that others use as well makes times worthless: then it says "noisy", and missed times are no
failure; gas, memory, processor time, counts of calls and of transactions are compared even so.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from guest.protocol.errors import ReplicatoorError
from scripts.measuring import crowd, decision, demo, footprint, gas, getkey, joins
from scripts.measuring.rows import QUIET_LOAD, Row, as_json, as_table, load, machine


@dataclass(frozen=True, slots=True)
class Family:
    """Benchmarks that share a set-up."""

    name: str
    what: str
    measure: Callable[[], list[Row]]


FAMILIES = (
    Family("gas", "gas of each step, and its projection", gas.measure),
    Family("footprint", "memory, start, idle calls, --help", footprint.measure),
    Family("decision", "a member's processor time for a hand-over", decision.measure),
    Family("joins", "joins at 1 s blocks", lambda: asyncio.run(joins.at_one_second())),
    Family("joins-instant", "joins at instant blocks", lambda: asyncio.run(joins.instant())),
    Family("joins-slow", "joins at 12 s blocks", lambda: asyncio.run(joins.slow())),
    Family("getkey", "rate and latency of GetKey", getkey.measure),
    Family("demo", "the demo, five nodes", demo.measure),
    Family("crowd", "50 newcomers at once", lambda: asyncio.run(crowd.measure_driven())),
    Family(
        "crowd-forked", "the same, as real processes", lambda: asyncio.run(crowd.measure_forked())
    ),
)


def parse(arguments: list[str]) -> argparse.Namespace:
    names = "\n".join(f"  {family.name:<14} {family.what}" for family in FAMILIES)
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=f"Measure what the budgets name. All, or by NAME:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="families or rows to measure")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    known = parser.parse_args(arguments)
    unknown = set(known.names) - {family.name for family in FAMILIES}
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return known


def run(names: list[str]) -> tuple[list[Row], bool, bool]:
    """Return the rows, whether some family failed, and whether the machine was busy."""
    rows: list[Row] = []
    failed = busy = False
    for family in FAMILIES:
        if names and family.name not in names:
            continue
        busy = busy or load() > QUIET_LOAD
        say(f"{family.name}: {family.what} (load {load():.1f})")
        try:
            rows += family.measure()
        except (ReplicatoorError, OSError, TimeoutError) as error:
            say(f"{family.name} failed: {error}")
            failed = True
    return rows, failed, busy


def say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def main() -> int:
    known = parse(sys.argv[1:])
    say(machine())
    try:
        rows, failed, busy = run(known.names)
    except KeyboardInterrupt:
        say("stopped")
        return 130
    sys.stdout.write((as_json(rows) if known.json else as_table(rows)) + "\n")
    sys.stdout.flush()
    if busy:
        say(f"noisy: the load was above {QUIET_LOAD}; times say little")
    missed = [row.name for row in rows if not row.ok and not (row.timed and busy)]
    if missed:
        say(f"over budget: {', '.join(missed)}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
