"""What cannot work says so in one line and the right exit code; what may pass by itself is waited for."""

import asyncio
import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guest.evidence.roots import DEVELOPMENT, INTEL
from guest.protocol.network import Kind, Network, TcbPolicy, Trust, render
from guest.protocol.sizes import ZERO_ADDRESS
from host.devnet.processes import ROOT
from tests.chain.network import rig

TEST = Network(
    network_id=b"\x01" * 32,
    kind=Kind.TEST,
    chain_id=31337,
    contract=b"\x02" * 20,
    code_hash=b"\x03" * 32,
    attestation_root=DEVELOPMENT.der,
    trust=Trust.UNVERIFIED,
    witness=ZERO_ADDRESS,
    notice_floor=60,
    notice=60,
    max_view_age=60,
    tcb=TcbPolicy(("UpToDate",), (), 0),
)
REAL = dataclasses.replace(
    TEST, kind=Kind.REAL, trust=Trust.LIGHT_CLIENT, attestation_root=INTEL.der
)


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    lines: list[str]


@pytest.fixture
def network_file(tmp_path: Path) -> Path:
    path = tmp_path / "network.json"
    path.write_bytes(render(TEST))
    return path


def guest(network: Path, changes: dict[str, str] | None = None) -> Ended:
    """Run a guest that must end by itself."""
    folder = network.parent
    options = {
        "network": str(network),
        "host": f"unix:{folder / 'link.sock'}",
        "platform": f"unix:{folder / 'platform.sock'}",
        "app-socket": str(folder / "app.sock"),
        **(changes or {}),
    }
    return ended(
        "guest", *(word for name, value in options.items() for word in (f"--{name}", value))
    )


def ended(*words: str, environment: dict[str, str] | None = None) -> Ended:
    """Run a module that must end by itself, without an environment of its own."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        timeout=rig.LIMIT,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **(environment or {})},
        check=False,
    )
    assert done.stdout == b""
    return Ended(done.returncode, done.stderr.decode().splitlines())


# --- kinds and roots ----------------------------------------------------------------------------


def test_a_real_network_does_not_start_without_a_light_client(tmp_path: Path) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(render(REAL))
    refused = guest(path)
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert refused.lines[0].startswith("guest: no-light-client: ")


@pytest.mark.parametrize(
    "network",
    [
        dataclasses.replace(REAL, attestation_root=DEVELOPMENT.der),
        dataclasses.replace(TEST, attestation_root=INTEL.der),
        dataclasses.replace(TEST, attestation_root=b"\x30\x00"),
        dataclasses.replace(REAL, attestation_root=DEVELOPMENT.der[:-1] + b"\x00"),
    ],
    ids=["real kind, development root", "test kind, Intel's root", "no root", "home-made root"],
)
def test_s11_a_kind_with_the_other_kinds_root_does_not_start(
    tmp_path: Path, network: Network
) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(render(network))
    refused = guest(path)
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert refused.lines[0].startswith("guest: kind-row: ")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("trust", "unverified"),
        ("trust", "any"),
        ("trust", False),
        ("chainId", "31337"),
        ("kind", "dev"),
        ("noticeFloor", -1),
    ],
)
def test_finding_615_no_value_of_the_network_file_opens_a_real_network(
    tmp_path: Path, member: str, value: object
) -> None:
    content = json.loads(render(REAL))
    assert member in content
    path = tmp_path / "network.json"
    path.write_text(json.dumps({**content, member: value}))
    refused = guest(path)
    assert (refused.code, len(refused.lines)) == (2, 1)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b"{" + b" " * 2_000_000, b"null", b"0x"]
)
def test_a_broken_network_file_is_one_line_for_guest_and_host(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "network.json"
    path.write_bytes(content)
    refused = guest(path)
    assert (refused.code, len(refused.lines)) == (2, 1)
    refused = ended("host", "run", environment={"REPLICATOOR_NETWORK_FILE": str(path)})
    assert (refused.code, len(refused.lines)) == (2, 1)


def test_finding_615_the_guest_reads_nothing_from_its_environment(network_file: Path) -> None:
    settings = {
        "REPLICATOOR_NETWORK_FILE": "/nowhere",
        "REPLICATOOR_KIND": "real",
        "MOCK_VERIFY_URL": "http://127.0.0.1:1",
        "HOST_ADDR": "$(touch /nowhere)",
    }
    words = ("--network", str(network_file), "--host", "unix:/nowhere/link.sock")
    words += ("--platform", "unix:/nowhere/platform.sock", "--app-socket", "/nowhere/app.sock")
    assert ended("guest", *words, environment=settings) == ended("guest", *words)


# --- arguments ----------------------------------------------------------------------------------


UNUSABLE = (
    ("host", "here"),
    ("host", "unix:"),
    ("host", "tcp:localhost"),
    ("host", "tcp:localhost:99999"),
    ("host", "tcp:$(id):x"),
    ("history", "/nowhere/at/all"),
    ("platform", "tcp:localhost:1"),
    ("platform", ""),
)


def test_s9_an_unusable_argument_is_one_line_and_exit_2(network_file: Path) -> None:
    async def story() -> None:
        async with rig.running() as network:
            platform = f"unix:{network.directory / 'platform.sock'}"
            for option, value in UNUSABLE:
                changes = {"platform": platform, option: value}
                refused = await asyncio.to_thread(guest, network_file, changes)
                assert (refused.code, len(refused.lines)) == (2, 1), (option, value)
                assert refused.lines[0].startswith("guest: configuration: ")

    asyncio.run(story())


def test_a_network_file_that_is_not_there_is_one_line_and_exit_2(tmp_path: Path) -> None:
    refused = guest(tmp_path / "nothing.json")
    assert (refused.code, len(refused.lines)) == (2, 1)
    assert refused.lines[0].startswith("guest: network-file: ")


def test_unknown_words_are_bad_usage() -> None:
    assert ended("guest").code == 2
    assert ended("guest", "--fake").code == 2
    assert ended("host", "deploy-nothing").code == 2


def test_s11_without_a_platform_nothing_starts(network_file: Path) -> None:
    refused = guest(network_file)
    assert (refused.code, len(refused.lines)) == (1, 1)


# --- what may pass by itself --------------------------------------------------------------------


def test_without_a_host_the_guest_keeps_trying_and_ends_when_told() -> None:
    async def story() -> None:
        async with rig.running() as network:
            node = network.nodes[0]
            network.start_guest(node)
            await rig.said(network, "node0-guest", "the host does not answer")
            network.start_host(node)
            await rig.active(network, node)
            network.processes.end("node0-host")
            await rig.said(network, "node0-guest", "the host link is gone")
            child = network.processes.child("node0-guest")
            child.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(child.wait, rig.LIMIT) == 0
            assert not node.app_socket.exists()

    asyncio.run(story())
