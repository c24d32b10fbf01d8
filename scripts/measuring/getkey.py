"""GetKey at an active node's socket: distinct paths, one connection a request, the guest on one core.

The guest is pinned to one core and the callers to another. Latency is counted from the moment at which
a request was due, so that a server that falls behind cannot hide it.
"""

import asyncio
import json
import os
import selectors
import socket
import time
from collections import deque
from itertools import count
from pathlib import Path

from guest.protocol.errors import Unavailable
from host.devnet.network import Shape
from scripts.measuring import processfacts
from scripts.measuring.rows import Row, median, percentile, spread
from scripts.measuring.stage import on_stage

LIMIT = 60.0
RUN_SECONDS = 4.0
RUNS = 3
AT_ONCE = 16
RATE = 750
_MAX_ANSWER = 4096
_paths = count()


def measure() -> list[Row]:
    """Return the rate and the 99th percentile."""
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    async with on_stage(Shape(nodes=1, block_time=1.0, history=True)) as stage:
        stage.network.start_host(stage.member)
        stage.start_guest(stage.member)
        await stage.until_active(stage.member, LIMIT)
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(stage.pid(stage.member, "guest"), {cores[0]})
        path = stage.member.app_socket
        await asyncio.to_thread(_pinned, cores[-1], path)
        pid = stage.pid(stage.member, "guest")
        spent = processfacts.cpu_seconds(pid)
        runs = [await asyncio.to_thread(_rate, cores[-1], path) for _ in range(RUNS)]
        spent = processfacts.cpu_seconds(pid) - spent
        waits = [await asyncio.to_thread(_paced, cores[-1], path) for _ in range(RUNS)]
    tails = [1000 * percentile(wait, 0.99) for wait in waits]
    middle = 1000 * median([one for wait in waits for one in wait])
    rates = [answers / RUN_SECONDS for answers in runs]
    each = 1e6 * spent / sum(runs)
    how = f"{AT_ONCE} callers at once; {each:.0f} us of the guest's CPU each; {spread(rates)}"
    paced = f"at {RATE}/s, open loop; median {middle:.2f} ms; {spread(tails)}"
    return [
        Row("getkey-rate", median(rates), "/s", how, budget=2500, floor=True, timed=True),
        Row("getkey-p99", median(tails), "ms", paced, budget=5.0, timed=True),
    ]


def _request() -> bytes:
    body = json.dumps({"path": f"bench/{next(_paths)}", "purpose": "bench"}).encode()
    head = f"POST /GetKey HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + body


class _Caller:
    """Non-blocking callers of one socket; `done` holds the seconds that each request took."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._selector = selectors.SelectSelector()  # epoll rounds waits up to 1 ms
        self.open = 0
        self.done: list[float] = []

    def start(self, due: float) -> None:
        """Send one request that was due at `due`."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        connection.setblocking(False)
        connection.send(_request())
        self._selector.register(connection, selectors.EVENT_READ, (due, bytearray()))
        self.open += 1

    def take(self, wait: float) -> None:
        """Take the answers that are there within `wait` seconds."""
        for key, _ in self._selector.select(wait):
            due, answer = key.data
            connection = key.fileobj
            if not isinstance(connection, socket.socket):
                raise TypeError("only sockets are registered")
            piece = connection.recv(_MAX_ANSWER)
            answer += piece
            if piece:
                continue
            self.done.append(time.monotonic() - due)
            self._selector.unregister(connection)
            connection.close()
            self.open -= 1
            if b" 200 " not in answer[:20] or b"signature_chain" not in answer:
                raise Unavailable("GetKey failed", got=bytes(answer[:80]))

    def drain(self) -> None:
        """Wait for all answers."""
        deadline = time.monotonic() + LIMIT
        while self.open and time.monotonic() < deadline:
            self.take(0.1)


def _pinned(core: int, path: Path) -> None:
    """Warm both sides up."""
    os.sched_setaffinity(0, {core})
    caller = _Caller(path)
    caller.start(time.monotonic())
    caller.drain()


def _rate(core: int, path: Path) -> int:
    """Return how many answers the guest gives in `RUN_SECONDS` when it never has to wait."""
    os.sched_setaffinity(0, {core})
    caller = _Caller(path)
    began = time.monotonic()
    while time.monotonic() - began < RUN_SECONDS:
        while caller.open < AT_ONCE:
            caller.start(time.monotonic())
        caller.take(0.1)
    answers = len(caller.done)
    caller.drain()
    return answers


def _paced(core: int, path: Path) -> list[float]:
    """Return the seconds of each request at the fixed rate."""
    os.sched_setaffinity(0, {core})
    caller = _Caller(path)
    began = time.monotonic()
    due = deque(began + at / RATE for at in range(int(RATE * RUN_SECONDS)))
    while due:
        now = time.monotonic()
        while due and due[0] <= now:
            caller.start(due.popleft())
        caller.take(max(0.0, min(0.01, due[0] - time.monotonic())) if due else 0.0)
    caller.drain()
    return caller.done
