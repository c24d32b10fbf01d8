"""What a node costs while nobody joins: memory, start, and calls of the chain; and the command's start."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from guest.protocol.errors import Unavailable
from host.devnet.network import LocalNode, Shape
from host.devnet.processes import ROOT
from scripts.measuring import processfacts
from scripts.measuring.rows import Row, median, spread
from scripts.measuring.stage import Stage, on_stage

STARTS = 7
HELPS = 10
LIMIT = 60.0
IDLE_BLOCKS = 40
GENTLE = 5.0


def measure() -> list[Row]:
    """Return memory, start-up, idle calls and `--help`."""
    return [*asyncio.run(_measure()), _help()]


async def _measure() -> list[Row]:
    async with on_stage(Shape(nodes=2, block_time=1.0, history=True)) as stage:
        network, newcomer = stage.network, stage.network.nodes[1]
        for node in network.nodes:
            network.start_host(node)
        stage.start_guest(stage.member)
        await stage.until_active(stage.member, LIMIT)
        guests = [await asyncio.to_thread(_guest_start, stage, newcomer) for _ in range(STARTS)]
        stage.start_guest(newcomer)
        await stage.until_active(newcomer, LIMIT)
        await stage.settle()
        idle = [await _idle(stage)]
        nodes = ((node, part) for node in network.nodes for part in ("guest", "host"))
        memory = {(n.index, p): processfacts.resident(stage.pid(n, p)) for n, p in nodes}
        for node in network.nodes:
            network.processes.end(f"{node.name}-guest")
            network.processes.end(f"{node.name}-host")
        hosts = [await asyncio.to_thread(_host_start, stage, newcomer) for _ in range(STARTS)]
    return [
        _memory("guest", memory, 48.0, 57.2),
        _start("guest-start", guests, "process started -> its first link frame", 0.4, 1.247),
        _memory("host", memory, 95.0, 52.2),
        _start("host-start", hosts, "process started -> its link answers", 2.0, 0.739),
        *_idle_rows(idle[0]),
    ]


def _memory(part: str, found: dict[tuple[int, str], float], budget: float, old: float) -> Row:
    sizes = [size for (_, of), size in found.items() if of == part]
    how = f"VmRSS of active members' {part}s, after {IDLE_BLOCKS} idle blocks; predecessor {old}"
    return Row(f"{part}-resident", max(sizes), "MB", f"{how}; {spread(sizes)}", budget=budget)


def _start(name: str, times: list[float], what: str, budget: float, old: float) -> Row:
    figure = median(times)
    how = f"{what}; predecessor {old} ({figure / old:.2f}x); {spread(times)}"
    return Row(name, figure, "s", how, budget=budget, timed=True)


async def _idle(stage: Stage) -> tuple[float, float]:
    """Return the calls a block of the member's host and of the other one's."""
    began = await stage.head()
    calls = [proxy.calls for proxy in stage.proxies]
    await stage.until_block(began + IDLE_BLOCKS, LIMIT + IDLE_BLOCKS)
    blocks = await stage.head() - began
    first, second = (
        (proxy.calls - before) / blocks for proxy, before in zip(stage.proxies, calls, strict=True)
    )
    return first, second


def _idle_rows(idle: tuple[float, float]) -> list[Row]:
    how = f"JSON-RPC calls of an active member's host over {IDLE_BLOCKS} blocks of 1 s"
    both = " and ".join(f"{one:.2f}" for one in idle)
    return [Row("idle-rpc-per-block", max(idle), "calls", f"{how}; {both}", budget=2.0)]


def _guest_start(stage: Stage, node: LocalNode) -> float:
    """Start a guest against a socket of our own; return the seconds until it says its first frame."""
    path = stage.network.directory / "first.sock"
    path.unlink(missing_ok=True)
    arguments = list(stage.network.guest_arguments(node))
    arguments[arguments.index("--host") + 1] = f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        listener.settimeout(LIMIT)
        with _child("guest", arguments, {}) as began:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LIMIT)
                if not connection.recv(1):
                    raise Unavailable("the guest hung up before its first frame")
                return time.monotonic() - began


def _host_start(stage: Stage, node: LocalNode) -> float:
    """Start a host; return the seconds until its guest link can be dialled."""
    path = node.directory / "link.sock"
    path.unlink(missing_ok=True)
    with _child("host", ["run"], stage.network.host_environment(node)) as began:
        while time.monotonic() - began < LIMIT:
            with socket.socket(socket.AF_UNIX) as dialled, contextlib.suppress(OSError):
                dialled.connect(str(path))
                return time.monotonic() - began
            time.sleep(0.002)
    raise Unavailable("the host does not listen")


@contextlib.contextmanager
def _child(module: str, arguments: list[str], environment: dict[str, str]) -> Iterator[float]:
    """Run `python -m module` while the context lasts; gives the moment of its start."""
    fixed = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**fixed, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield began
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=GENTLE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(timeout=GENTLE)


def _help() -> Row:
    times = []
    command = Path(sys.executable).with_name("replicatoor")
    words = [str(command)] if command.exists() else [sys.executable, "-m", "host"]
    for _ in range(HELPS):
        began = time.monotonic()
        subprocess.run(
            [*words, "--help"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=LIMIT
        )
        times.append(time.monotonic() - began)
    how = f"wall time of `replicatoor --help`; {spread(times)}"
    return Row("help", median(times), "s", how, budget=0.15, timed=True)
