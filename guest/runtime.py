"""The guest's one loop: events in, machine, effects out. The only place where I/O meets the protocol.

One event at a time, in the order in which it came. What a peer does wrong is one log line; what cannot
be mended is one exit code. Nothing that arrives can end the loop by an exception of its own.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Protocol, TextIO

from guest.core import history
from guest.core.effects import (
    SEAL_EVENT,
    CloseApps,
    Effect,
    Exit,
    MakeQuote,
    OpenApps,
    Refusing,
    Say,
    Seal,
    WakeAt,
)
from guest.core.events import (
    Event,
    HostSaid,
    LinkDown,
    LinkUp,
    Quoted,
    QuoteFailed,
    Sealed,
    Ticked,
)
from guest.core.node import TICK, Node
from guest.evidence import eventlog
from guest.link import HostLink, Pauses, dial, require_address
from guest.platform.platform import Platform, PlatformLost
from guest.protocol.errors import (
    MalformedInput,
    Misconfigured,
    ProtocolViolation,
    Reason,
    Refused,
    ReplicatoorError,
    Unavailable,
)
from guest.protocol.keys import EpochKeys

REJOIN_EXIT = 75
"""EX_TEMPFAIL: the host starts the guest again, which joins as new."""
FAILURE_EXIT = 1
QUEUE_SIZE = 1024
QUOTE_LIMIT = 45.0
LINGER = 2.0
"""Seconds for the last frames to leave before the process ends."""


def _opened(record: Path | None) -> TextIO | None:
    try:
        return record.open("a") if record else None
    except OSError as error:
        raise Misconfigured(
            "the history file cannot be written",
            got=f"{record}: {error.strerror}",
            mend="Give another path with --history.",
        ) from None


def boot_time() -> float:
    """Seconds of a clock that goes on while the machine is suspended.

    A host that stops the machine for a while must not find an old view of the chain still fresh.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Apps(Protocol):
    """Where apps find their keys."""

    async def open(self, keys: EpochKeys) -> None:
        """Start serving."""

    async def close(self) -> None:
        """Stop serving."""


class Runtime:
    """Drives one `Node` until it exits."""

    def __init__(
        self,
        node: Node,
        platform: Platform,
        apps: Apps,
        host: str,
        record: Path | None,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        """Wire the parts; `record` is where the history goes, if anywhere. Raises `Misconfigured`."""
        require_address(host)
        self._node = node
        self._platform = platform
        self._apps = apps
        self._host = host
        self._clock = clock
        self._events: asyncio.Queue[Event] = asyncio.Queue(QUEUE_SIZE)
        self._link: HostLink | None = None
        self._wake_at = clock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._record = _opened(record)
        self._last_line = ""
        self._unopened: EpochKeys | None = None

    async def run(self) -> int:
        """Run until the node exits; return the process's exit code."""
        self._spawn(self._keep_link())
        self._spawn(self._watch_platform())
        try:
            while True:
                code = await self._step(await self._next_event())
                if code is not None:
                    return code
        finally:
            for task in self._tasks:
                task.cancel()
            await self._apps.close()  # waits: it has a limit of its own
            if self._link is not None:
                self._link.close()
            if self._record is not None:
                self._record.close()

    async def _next_event(self) -> Event:
        pause = self._wake_at - self._clock()
        if pause <= 0:
            return self._tick()  # even while frames keep coming: time passes for waits all the same
        try:
            async with asyncio.timeout(pause):
                return await self._events.get()
        except TimeoutError:
            return self._tick()

    def _tick(self) -> Ticked:
        now = self._clock()
        self._wake_at = now + TICK
        return Ticked(now)

    async def _step(self, event: Event) -> int | None:
        if isinstance(event, QuoteFailed) and event.request < 0:
            return self._fail(Reason.PLATFORM_LOST, event.detail)
        self._write(history.event_line, event)
        try:
            effects = self._node.handle(event)
        except (ProtocolViolation, Refused, MalformedInput) as error:
            self._say(str(error))
            if isinstance(error, Refused) and error.fatal:
                return self._fail(error.reason, str(error))
            return None
        for effect in effects:
            code = await self._perform(effect)
            if code is not None:
                return code
        if isinstance(event, Ticked):
            await self._open_apps()
        return None

    async def _open_apps(self) -> None:
        """Open the apps' socket; a holder of the secret does not end for a path that is taken."""
        if self._unopened is None:
            return
        try:
            await self._apps.open(self._unopened)
        except (ReplicatoorError, OSError) as error:  # a TimeoutError is an OSError
            self._say(f"apps are not served yet: {str(error) or type(error).__name__}")
            return
        self._unopened = None
        self._say("apps are served")

    async def _perform(self, effect: Effect) -> int | None:
        if not isinstance(effect, WakeAt):
            self._write(history.effect_line, effect)
        match effect:
            case Say():
                await self._send(effect)
            case MakeQuote(request, report_data):
                self._spawn(self._quote(request, report_data))
            case Seal():
                self._spawn(self._seal())
            case OpenApps(keys):
                self._unopened = keys
                await self._open_apps()
            case CloseApps(reason):
                self._unopened = None
                await self._apps.close()  # waits: it has a limit of its own
                self._say(f"apps are not served: {reason}")
            case WakeAt(at):
                self._wake_at = min(self._wake_at, at)
            case Refusing(reason, detail):
                self._say(detail if detail.startswith(reason) else f"{reason}: {detail}")
            case Exit(reason, detail, rejoin):
                code = self._fail(reason, detail)
                return REJOIN_EXIT if rejoin else code
        return None

    # --- the link -------------------------------------------------------------------------------

    async def _keep_link(self) -> None:
        """Dial, read, and dial again, for as long as the process lives."""
        pauses = Pauses(lambda: int.from_bytes(os.urandom(2), "big") / 65535)
        while True:
            try:
                link = await dial(self._host)
                self._link = link
                await self._put(LinkUp(self._clock()))
                while True:
                    message = await link.receive()  # waits: it has a limit of its own
                    pauses.reset()
                    await self._put(HostSaid(self._clock(), message))
            except (Unavailable, MalformedInput) as error:
                self._say(str(error))
            if self._link is not None:
                self._link.close()
                self._link = None
                await self._put(LinkDown(self._clock()))
            await asyncio.sleep(pauses.next())

    async def _send(self, effect: Say) -> None:
        link = self._link
        if link is None:
            return  # said again, where it matters, when the link is up
        try:
            await link.send(effect.message)
        except (Unavailable, MalformedInput) as error:
            self._say(str(error))
            link.close()  # `_keep_link` may have noticed first, and dialled anew by now

    async def _put(self, event: Event) -> None:
        await self._events.put(event)  # waits: the loop always takes the next

    # --- the platform ---------------------------------------------------------------------------

    async def _quote(self, request: int, report_data: bytes) -> None:
        try:
            async with asyncio.timeout(QUOTE_LIMIT):
                quote = await self._platform.quote(report_data)
        except (ReplicatoorError, TimeoutError) as error:
            await self._put(QuoteFailed(self._clock(), request, str(error) or "timeout"))
            return
        await self._put(Quoted(self._clock(), request, quote))

    async def _seal(self) -> None:
        entry = eventlog.Event(SEAL_EVENT, b"")
        try:
            async with asyncio.timeout(QUOTE_LIMIT):
                await self._platform.extend(3, entry.digest())
        except (ReplicatoorError, TimeoutError) as error:
            await self._put(QuoteFailed(self._clock(), -1, f"RTMR3 could not be sealed: {error}"))
            return
        await self._put(Sealed(self._clock()))

    async def _watch_platform(self) -> None:
        """On the simulated platform a boot is one connection: whoever loses it has no place left."""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self._platform.registers()
            except PlatformLost as error:
                await self._put(QuoteFailed(self._clock(), -1, str(error)))
                return
            except Unavailable as error:
                self._say(str(error))

    # --- words ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, reason: Reason, detail: str) -> int:
        self._say(f"exit: {detail if detail.startswith(reason) else f'{reason}: {detail}'}")
        return FAILURE_EXIT

    def _say(self, line: str) -> None:
        if line != self._last_line:
            self._last_line = line
            sys.stderr.write(f"guest: {line}\n")
            sys.stderr.flush()

    def _write(self, render: Callable[..., str], what: Event | Effect) -> None:
        if self._record is not None:
            self._record.write(render("self", what) + "\n")
            self._record.flush()
