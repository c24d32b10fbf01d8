"""The guard of tests/conftest.py refuses what it says it refuses."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CASE = """
import socket, contextlib

def test_case():
    with contextlib.suppress(Exception):
        socket.create_connection(({host!r}, 9), timeout=0.2)
"""


def outcome_in(folder: Path, tier: str, host: str) -> int:
    """Run one test that connects to `host`, in a project whose tests have our conftest."""
    place = folder / "tests" / tier
    place.mkdir(parents=True)
    (folder / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (place / "test_case.py").write_text(CASE.format(host=host))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", str(place)]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    return done.returncode


@pytest.mark.parametrize(
    ("tier", "host", "code"),
    [
        ("unit", "127.0.0.1", 1),
        ("model", "::1", 1),
        ("unit", "192.0.2.1", 1),
        ("chain", "192.0.2.1", 1),
        ("faults", "name.invalid", 1),
        ("chain", "127.0.0.1", 0),
        ("chain", "localhost", 0),
    ],
)
def test_a_connection_fails_the_test_even_if_its_error_is_swallowed(
    tmp_path: Path, tier: str, host: str, code: int
) -> None:
    assert outcome_in(tmp_path, tier, host) == code


def test_unix_sockets_stay_open_to_unit_tests(tmp_path: Path) -> None:
    async def exchange() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(1))
            writer.close()

        path = str(tmp_path / "s")
        async with await asyncio.start_unix_server(answer, path), asyncio.timeout(5):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"x")
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(exchange()) == b"x"


def test_a_socket_pair_is_no_network() -> None:
    left, right = socket.socketpair()
    with contextlib.closing(left), contextlib.closing(right):
        left.sendall(b"x")
        assert right.recv(1) == b"x"
