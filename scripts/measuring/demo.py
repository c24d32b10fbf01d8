"""The demo as a stranger runs it: five nodes, from nothing to agreement."""

import json
import subprocess
import time

from guest.protocol.errors import Unavailable
from host.devnet.processes import ROOT
from scripts.measuring.rows import Row

NODES = 5
LIMIT = 180.0
BUDGET = 60.0


def measure() -> list[Row]:
    """Run `scripts/demo --nodes 5 --json` once."""
    began = time.monotonic()
    done = subprocess.run(
        [str(ROOT / "scripts/demo"), "--nodes", str(NODES), "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise Unavailable("the demo failed", got=done.stderr.strip().splitlines()[-1:])
    said = json.loads(done.stdout)
    active = sum(node["status"] == "Active" for node in said["nodes"])
    slowest = max(node["join_seconds"] for node in said["nodes"])
    how = (
        f"scripts/demo --nodes {NODES} at 1 s blocks, after set-up: from nothing to agreement; "
        f"{active} Active; slowest join {slowest} s; wall time with set-up {seconds:.1f} s; n=1"
    )
    figure = float(said["total_seconds"])
    return [Row("demo-5-nodes", figure, "s", how, budget=BUDGET, timed=True)]
