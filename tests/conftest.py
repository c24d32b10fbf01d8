"""What holds for every test: no outside network, and deterministic examples where it counts.

An audit hook sees each connection that this process makes, from whichever library it comes. Loopback
and unix sockets are open to the tiers that run real processes; tests/unit, tests/model and
tests/architecture may use nothing but unix sockets.
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Verbosity, settings

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = tuple(str(ROOT / "tests" / name) + os.sep for name in ("unit", "model", "architecture"))

settings.register_profile("explore", deadline=None, print_blob=True)
settings.register_profile(
    "ci",
    deadline=None,  # a loaded machine is no defect
    derandomize=True,
    database=None,
    print_blob=True,
    verbosity=Verbosity.normal,
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "explore")
)


class NetworkReachedError(BaseException):
    """A test reached for the network; no `except Exception` of ours may hide it."""


class Guard:
    """What the running test may connect to, and what it tried."""

    def __init__(self) -> None:
        self.loopback_allowed = True
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
            connection, address = arguments[0], arguments[-1]
            if isinstance(connection, socket.socket) and connection.family == socket.AF_UNIX:
                return
            if isinstance(address, tuple):
                self.judge(str(address[0]), f"{event} {address!r}")
        elif event == "socket.getaddrinfo":
            self.judge(str(arguments[0] or "localhost"), f"{event} {arguments[0]!r}")

    def judge(self, host: str, what: str) -> None:
        """Refuse `host` unless it is loopback and the running tier may use that."""
        if self.loopback_allowed and is_loopback(host):
            return
        self.refused.append(what)
        raise NetworkReachedError(what)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name or by its address; nothing is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


guard = Guard()
sys.addaudithook(guard)


@pytest.fixture(autouse=True)
def _only_the_network_of_this_tier(request: pytest.FixtureRequest) -> Iterator[None]:
    guard.loopback_allowed = not str(request.path).startswith(OFFLINE)
    guard.refused.clear()
    yield
    refused = list(guard.refused)
    guard.refused.clear()
    guard.loopback_allowed = True
    assert not refused, f"this test reached for the network: {refused}"
