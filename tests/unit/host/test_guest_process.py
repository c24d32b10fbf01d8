"""A guest that has to join as new is started again, within limits; any other end is reported."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest

from guest.protocol.errors import Misconfigured, Unavailable
from host.guest_process import RESTARTS, GuestProcess


def command(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_rejoin_exit_boots_again_until_the_limit_and_says_why(tmp_path: Path) -> None:
    words = command('import sys; print("guest: exit: expired"); sys.exit(75)')
    guest = GuestProcess(words, tmp_path / "log", lambda: False, pause=0.0, dial_wait=0.0)
    with pytest.raises(Unavailable, match=r"gave up 8 times.*expired"):
        asyncio.run(guest.run())
    assert guest.boots == RESTARTS


def test_a_fatal_exit_is_not_repeated(tmp_path: Path) -> None:
    words = command('import sys; print("guest: exit: revoked"); sys.exit(1)')
    guest = GuestProcess(words, tmp_path / "log", lambda: False, dial_wait=0.0)
    with pytest.raises(Unavailable, match=r"code 1.*revoked"):
        asyncio.run(guest.run())
    assert guest.boots == 1


def test_the_guest_inherits_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATOOR_PRIVKEY", "ab" * 32)
    words = command("import os; print(sorted(os.environ))")
    guest = GuestProcess(words, tmp_path / "log", lambda: False, dial_wait=0.0)
    with pytest.raises(Unavailable):
        asyncio.run(guest.run())
    assert "REPLICATOOR" not in (tmp_path / "log").read_text()


def test_a_host_that_ends_leaves_the_guest_with_the_secret_running(tmp_path: Path) -> None:
    up, end = tmp_path / "up", tmp_path / "end"
    os.mkfifo(up)
    os.mkfifo(end)
    words = command(f'import os; open("{up}", "w").write(str(os.getpid())); open("{end}").read()')

    async def scenario() -> int:
        guest = GuestProcess(words, tmp_path / "log", lambda: False, dial_wait=0.0)
        running = asyncio.ensure_future(guest.run())
        async with asyncio.timeout(20):
            pid = int(await asyncio.to_thread(up.read_text))  # returns once the guest runs
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid

    pid = asyncio.run(scenario())
    assert Path(f"/proc/{pid}").exists()
    end.write_text("")  # the guest ends, and nobody is left to be told
    os.waitpid(pid, 0)


def test_a_command_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    guest = GuestProcess("/does/not/exist", tmp_path / "log", lambda: False, dial_wait=0.0)
    with pytest.raises(Misconfigured, match="cannot be started"):
        asyncio.run(guest.run())
