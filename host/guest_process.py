"""Starts the guest and starts it again when it has to join as new.

Exit code 75 (`rejoin`) means a new boot: the guest says why in its last line. Any other end is the
operator's to look at. A host that ends, in whatever way, leaves its guest running, for the secret may
live there alone; the next host waits for it to dial before it starts another.
"""

import asyncio
import contextlib
import logging
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from guest.protocol.errors import Misconfigured, Unavailable

_LOG = logging.getLogger(__name__)
REJOIN_EXIT = 75
RESTARTS = 8
"""Boots in a row, each shorter than `SETTLED` seconds, before it is given up."""
SETTLED = 600.0
PAUSE = 2.0
"""Seconds before another boot; doubled each time in a row."""
DIAL_WAIT = 8.0
"""Seconds for a guest that is already there to dial: its longest pause, and some."""
POLL = 0.2


class GuestProcess:
    """One guest, booted as often as it asks for it."""

    def __init__(
        self,
        command: str,
        log: Path,
        is_up: Callable[[], bool],
        *,
        pause: float = PAUSE,
        dial_wait: float = DIAL_WAIT,
    ) -> None:
        """Run `command` (words, no shell); its output goes to `log`. `is_up`: a guest is linked."""
        self._words = shlex.split(command)
        if not self._words:
            raise Misconfigured(
                "the guest command is empty", mend="Set GUEST_COMMAND, or leave it out."
            )
        self._log = log
        self._is_up = is_up
        self._pause = pause
        self._dial_wait = dial_wait
        self.boots = 0

    async def run(self) -> None:
        """Keep the guest running; raises `Unavailable` when it cannot be."""
        await self._wait_for_old_one()
        short = 0
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._boot()
            lasted = asyncio.get_running_loop().time() - began
            if code != REJOIN_EXIT:
                raise Unavailable(
                    f"the guest ended with code {code}",
                    got=self._last_line(),
                    mend=f"See {self._log}.",
                )
            short = short + 1 if lasted < SETTLED else 0
            if short >= RESTARTS:
                raise Unavailable(
                    f"the guest gave up {short} times in a row", got=self._last_line()
                )
            _LOG.warning("the guest joins as new: %s", self._last_line())
            await asyncio.sleep(self._pause * 2 ** min(short, 6))

    async def _wait_for_old_one(self) -> None:
        """A guest that an earlier host left running is ours until it hangs up."""
        if not self._log.exists():
            return  # no guest was ever started from here
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._dial_wait
        while loop.time() < deadline:
            await asyncio.sleep(min(1.0, self._dial_wait / 8))
            if self._is_up():
                deadline = loop.time() + self._dial_wait

    async def _boot(self) -> int:
        child = self._start()
        try:
            while (code := child.poll()) is None:  # noqa: ASYNC110 - it may outlive us: no event
                await asyncio.sleep(POLL)
        except asyncio.CancelledError:
            # The guest holds what the network lives by: it outlives us, and dials the next host.
            _LOG.warning("the guest (pid %d) goes on without this host", child.pid)
            child.returncode = 0  # ours no more: nobody waits for it
            raise
        return code

    def _start(self) -> "subprocess.Popen[bytes]":
        self.boots += 1
        with self._log.open("ab") as log:
            try:
                return subprocess.Popen(  # noqa: S603 - the operator's own words, no shell
                    self._words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                raise Misconfigured("the guest cannot be started", got=error.strerror) from None

    def _last_line(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log.read_bytes()[-4096:].decode(errors="backslashreplace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), "silence")
        return "silence"
