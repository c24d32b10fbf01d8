"""Gas of each step, from the contract's own gas tests, and what the next fork's prices make of it.

forge runs the tests and compares with the committed figures, so a figure here is one that was measured.
Projection (Glamsterdam, as its proposals stand): a fresh storage slot costs 108,000 in place of 22,100,
and calldata at least 64 a byte in all: max(gas - 22,100 x slots, 21,000 + 64 x bytes) + 108,000 x slots.
"""

import json
import os
import subprocess
from dataclasses import dataclass

from guest.protocol.errors import Unavailable
from host.chain import abi
from host.devnet.processes import ROOT
from scripts.measuring.rows import Row

CONTRACTS = ROOT / "contracts"
FORGE = CONTRACTS / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
LIMIT = 400.0
SLOT_NOW, SLOT_THEN = 22_100, 108_000
BYTE_THEN, BASE = 64, 21_000
BATCH = 10
CIPHERTEXT = 1168
OLD_JOIN = 131_023
OLD_SLOTS, OLD_BYTES, OLD_STEPS = 3, (196, 420), (50_964, 80_059)
"""The predecessor's register and onboard. Slots: one and, by the price of a second call, two."""

_ADDRESS, _WORD, _SIGNATURE = bytes(20), bytes(32), bytes(65)
_ITEM = (_ADDRESS, 0, _WORD, bytes(CIPHERTEXT))


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction: its figure's name, a call of its size, fresh slots, nodes that it serves."""

    name: str
    snapshot: str
    calldata: bytes
    slots: int
    nodes: int
    budget: int


def steps() -> tuple[Step, ...]:
    """Return the four steps of a node, and the two batches."""
    call = abi.encode_call
    register = call("register", _ADDRESS, _WORD, _WORD, 0, _WORD, _WORD, _SIGNATURE)
    onboard = call(
        "onboard", _ADDRESS, _ADDRESS, 1, 0, _WORD, 0, _WORD, bytes(CIPHERTEXT), _SIGNATURE
    )
    confirm = call("confirm", _ADDRESS, _WORD, _SIGNATURE, _SIGNATURE)
    renew = call("renew", _ADDRESS, 0, _WORD, _SIGNATURE)
    onboards = call("onboardBatch", _ADDRESS, 1, 0, _WORD, (_ITEM,) * BATCH, _SIGNATURE)
    receipt = (_ADDRESS, _WORD, _SIGNATURE, _SIGNATURE)
    confirms = call("confirmBatch", (receipt,) * BATCH)
    return (
        Step("register", "register", register, 1, 1, 70_000),
        Step("onboard", "onboard", onboard, 0, 1, 80_000),
        Step("confirm", "confirm", confirm, 0, 1, 50_000),
        Step("renew", "renew", renew, 0, 1, 40_000),
        Step("onboard-in-10", "onboard, batch of 10", onboards, 0, BATCH, 56_000),
        Step("confirm-in-10", "confirm, batch of 10", confirms, 0, BATCH, 28_000),
    )


def measure() -> list[Row]:
    """Run the gas tests; return today's figures, the projection, and the predecessor's beside it."""
    figures = _figures()
    rows: list[Row] = []
    now: dict[str, float] = {}
    then: dict[str, float] = {}
    for step in steps():
        gas, size = figures[step.snapshot], len(step.calldata)
        now[step.name] = gas / step.nodes
        then[step.name] = projected(gas, step.slots, size) / step.nodes
        how = f"forge gas test, whole transaction, {size} bytes of calldata"
        rows.append(Row(f"gas-{step.name}", now[step.name], "gas", how, budget=step.budget))
    rows += [Row(f"gas-{name}-glamsterdam", gas, "gas", "projection") for name, gas in then.items()]
    return rows + _joins(now, then)


def projected(gas: int, slots: int, size: int) -> int:
    """Return what a transaction costs by the module's formula; `size` is its calldata in bytes."""
    return max(gas - SLOT_NOW * slots, BASE + BYTE_THEN * size) + SLOT_THEN * slots


def _joins(now: dict[str, float], then: dict[str, float]) -> list[Row]:
    old = sum(
        projected(gas, slots, size)
        for gas, slots, size in zip(OLD_STEPS, (1, OLD_SLOTS - 1), OLD_BYTES, strict=True)
    )
    two = ("register", "onboard")
    alone = (*two, "confirm")
    batched = ("register", "onboard-in-10", "confirm-in-10")
    found: list[Row] = []
    for name, parts in (("join", alone), ("join-unconfirmed", two), ("join-in-10", batched)):
        gas, later = sum(now[part] for part in parts), sum(then[part] for part in parts)
        found.append(
            Row(
                f"gas-{name}",
                gas,
                "gas",
                f"{' + '.join(parts)}; predecessor {OLD_JOIN} without a confirmation "
                f"({gas / OLD_JOIN:.2f}x); Glamsterdam {later:.0f}, predecessor {old} "
                f"({later / old:.2f}x)",
            )
        )
    return found


def _figures() -> dict[str, int]:
    path = f"{FORGE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [str(FORGE), "test", "--match-contract", "GasTest"],
        cwd=CONTRACTS,
        env={**os.environ, "PATH": path, "FORGE_SNAPSHOT_CHECK": "true", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise Unavailable("the contract's gas tests fail", got=last)
    committed = json.loads((CONTRACTS / "snapshots/gas.json").read_text())
    return {name: int(gas) for name, gas in committed.items()}
