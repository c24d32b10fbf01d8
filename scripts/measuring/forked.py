"""Many real nodes, forked after the imports: every guest and every host a process of its own."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from guest import __main__ as guest_program
from host import config as host_configuration
from host import daemon
from scripts.measuring.crowddriver import DONE

HOSTS_FIRST = 30.0
POLL = 0.02


def fork(log: Path, work: Callable[[], int]) -> int:
    """Run `work` in a child whose output goes to `log`; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = work()
    finally:
        os._exit(code)


def start(
    plan: list[dict[str, list[str] | dict[str, str]]], folder: Path, pids: list[int]
) -> float:
    """Fork every host, then, once all of them listen, every guest; return when the guests began."""
    sockets = []
    for at, one in enumerate(plan):
        settings = host_configuration.parse(dict(one["host"]))  # type: ignore[arg-type]
        sockets.append(settings.guest_socket)
        pids.append(fork(folder / f"host{at}.log", lambda s=settings: daemon.main(s)))  # type: ignore[misc]
    deadline = time.monotonic() + HOSTS_FIRST
    while not all(socket.exists() for socket in sockets) and time.monotonic() < deadline:
        time.sleep(POLL)
    began = time.monotonic()
    for at, one in enumerate(plan):
        pids.append(fork(folder / f"guest{at}.log", lambda a=one["guest"]: _guest(list(a))))  # type: ignore[misc]
    return began


def _guest(arguments: list[str]) -> int:
    sys.argv = ["guest", *arguments]
    return guest_program.main()


def main() -> int:
    """Run a plan until every node serves apps; leave the seconds in a file and wait for the end."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    limit = float(sys.argv[2])
    pids: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        began = start(plan, Path(sys.argv[1]).parent, pids)
        sockets = [Path(one["guest"][one["guest"].index("--app-socket") + 1]) for one in plan]
        while not all(socket.exists() for socket in sockets):
            if time.monotonic() - began > limit:
                return 1
            time.sleep(POLL)
        done = Path(sys.argv[1]).with_name(DONE)
        done.with_suffix(".new").write_text(json.dumps({"seconds": time.monotonic() - began}))
        done.with_suffix(".new").rename(done)
        time.sleep(limit)  # until whoever started us has seen enough and ends us
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
