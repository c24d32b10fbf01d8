"""The simulated platform as real processes: sockets, signals, and a service that is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from guest.evidence.collateral import decode, issued_at
from guest.evidence.dcap import platform_family, verify_quote
from guest.evidence.roots import DEVELOPMENT
from guest.evidence.tcb import STRICT
from guest.platform.platform import PlatformLost
from guest.platform.quoting_service import QuotingService
from host.collateral import CollateralSource
from host.devplatform.registers import read_registers

PROGRAM = [sys.executable, "-m", "host.devplatform"]


@pytest.fixture
def registers(tmp_path: Path) -> Path:
    path = tmp_path / "registers.json"
    subprocess.run([*PROGRAM, "registers", "test", str(path)], check=True, timeout=60)
    return path


@pytest.fixture
def service(
    tmp_path: Path, registers: Path
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    words = ["serve", "--socket", str(tmp_path / "s"), "--registers", str(registers)]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
        if process.poll() is None:
            process.kill()


def test_a_guest_gets_a_quote_and_its_host_the_collateral_that_verify_together(
    service: tuple[subprocess.Popen[str], dict[str, str]], registers: Path
) -> None:
    process, ready = service

    async def run() -> None:
        guest = await QuotingService.connect(ready["socket"])
        quote = await guest.quote(b"\x2a" * 64)
        async with aiohttp.ClientSession() as session:
            source = CollateralSource(session, ready["collateral"])
            collateral = decode(await source.fetch(*platform_family(quote)))
        found = verify_quote(
            quote, collateral, now=int(time.time()), policy=STRICT, root=DEVELOPMENT
        )
        assert found.report_data == b"\x2a" * 64
        assert found.mrtd == read_registers(registers).mrtd
        await guest.close()

    asyncio.run(run())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_collateral_follows_a_clock_that_is_moved(
    service: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    _, ready = service

    async def issued(session: aiohttp.ClientSession) -> int:
        source = CollateralSource(session, ready["collateral"])
        fmspc = bytes.fromhex("00dead00beef")
        return issued_at(decode(await source.fetch(fmspc, "platform")).tcb_info)

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            before = await issued(session)
            async with session.put(ready["collateral"] + "/clock", data="86400") as answer:
                assert answer.status == 204
            assert 86_400 <= await issued(session) - before < 86_460
            async with session.put(ready["collateral"] + "/clock", data="soon") as answer:
                assert answer.status == 400
            for path in ("tdx/certification/v4/tcb?fmspc=00", "sgx/certification/v4/pckcrl?ca=x"):
                async with session.get(f"{ready['collateral']}/{path}") as answer:
                    assert answer.status == 404

    asyncio.run(run())


def test_a_guest_whose_platform_is_killed_has_lost_it_and_a_dead_socket_is_one_too(
    service: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    process, ready = service

    async def run() -> None:
        guest = await QuotingService.connect(ready["socket"])
        assert len((await guest.registers()).rtmr3) == 48
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.wait, 30)
        with pytest.raises(PlatformLost):
            await guest.quote(bytes(64))
        with pytest.raises(PlatformLost):
            await QuotingService.connect(ready["socket"])

    asyncio.run(run())


def test_the_socket_is_for_its_user_only(
    service: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    _, ready = service
    assert Path(ready["socket"]).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["collateral", "--listen", "nowhere"], 2),
        (["collateral", "--listen", "127.0.0.1:99999"], 2),
        (["quoting", "--socket", "s", "--registers", "missing.json"], 2),
        (["quoting"], 2),
        ([], 2),
    ],
)
def test_bad_usage_is_one_line(words: list[str], code: int, tmp_path: Path) -> None:
    environment = dict(os.environ, PYTHONPATH=str(Path.cwd()))
    done = subprocess.run(
        [*PROGRAM, *words],
        cwd=tmp_path,
        env=environment,
        timeout=60,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
