"""A real anvil, pinned to our hard fork. Its absence is a failure, never a skip."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ANVIL = Path(__file__).parents[2] / "contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
CHAIN_ID = 31337
RICH_KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""Anvil's first account, known to everyone."""


class Anvil:
    """One process; `url` is where it answers."""

    def __init__(self, *options: str, port: int = 0, chain_id: int = CHAIN_ID) -> None:
        command = [
            *(str(ANVIL), "--host", "127.0.0.1", "--port", str(port)),
            *("--chain-id", str(chain_id), "--hardfork", "osaka", *options),
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.url = self._listening()
        self.port = int(self.url.rpartition(":")[2])
        self._drain = threading.Thread(target=self._read_on, daemon=True)
        self._drain.start()

    def _listening(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Listening on "):
                return "http://" + line.removeprefix("Listening on ").strip()
        raise AssertionError("anvil did not start")

    def _read_on(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            pass

    def pause(self) -> None:
        """Hang: the port stays open and nothing answers."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # until every thread stands still

    def resume(self) -> None:
        """End a pause."""
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait(timeout=20)
        self._drain.join(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()


StartAnvil = Callable[..., Anvil]


@pytest.fixture
def anvils() -> Iterator[StartAnvil]:
    """Start nodes of the test's own; all are killed afterwards."""
    started: list[Anvil] = []

    def start(*options: str, port: int = 0, chain_id: int = CHAIN_ID) -> Anvil:
        anvil = Anvil(*options, port=port, chain_id=chain_id)
        started.append(anvil)
        return anvil

    yield start
    for anvil in started:
        anvil.stop()
