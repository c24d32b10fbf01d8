"""Child processes of a local network: started with a log each, ended by pid, never left behind."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from guest.protocol.errors import Unavailable

GENTLE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """The children of one network, by name. A context manager that ends them all."""

    def __init__(self, logs: Path) -> None:
        """Write each child's output to `logs`/NAME.log."""
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.end_all()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a child; its output is appended to its log. It gets only the environment given."""
        fixed = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
        with (self._logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**fixed, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which ends them in order
            )
        self._children[name] = child
        return child

    def start_module(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `python -m module` with this interpreter."""
        return self.start(name, [sys.executable, "-m", module, *arguments], environment)

    def child(self, name: str) -> subprocess.Popen[bytes]:
        """Return a child by name."""
        return self._children[name]

    def log(self, name: str) -> str:
        """Return what a child has said so far."""
        path = self._logs / f"{name}.log"
        return path.read_text(errors="backslashreplace") if path.exists() else ""

    def kill(self, name: str) -> None:
        """Kill -9 a child and wait for its end."""
        child = self._children[name]
        child.kill()
        child.wait(timeout=GENTLE)

    def require_alive(self) -> None:
        """Raise `Unavailable` with the last line of the first child that has ended."""
        for name, child in self._children.items():
            if child.poll() is not None:
                last = self.log(name).strip().splitlines()[-1:] or ["(it said nothing)"]
                raise Unavailable(f"{name} ended with code {child.returncode}", got=last[0])

    def end(self, name: str) -> None:
        """End one child gently, then not."""
        child = self._children.pop(name)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=GENTLE)
        if child.poll() is None:
            child.kill()
            child.wait(timeout=GENTLE)

    def end_all(self) -> None:
        """End every child: all are asked at once, then those that stay are killed."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GENTLE
        for child in self._children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
            if child.poll() is None:
                child.kill()
                child.wait(timeout=GENTLE)
        self._children.clear()


async def announced(processes: Processes, name: str, limit: float = 20.0) -> str:
    """Return the first line that a child prints; raises `Unavailable`."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        line, newline, _ = processes.log(name).partition("\n")
        if newline:
            return line
        if processes.child(name).poll() is not None:
            break
        await asyncio.sleep(0.02)
    last = processes.log(name).strip()[-300:]
    raise Unavailable(f"{name} did not start", got=last or "silence", expected="one line")
