"""Secrets that a test knows, every form in which one could leak, and every place to look for them.

A guest's entropy is made known from outside: a launcher replaces `os.urandom` in that one process,
for the sizes that keys are drawn in. The product has no such switch.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guest.agent.appkeys import app_keys
from guest.protocol.keys import EpochKeys
from guest.protocol.primitives import hkdf_extract, scalar_from_uniform, sha256
from guest.protocol.secret import Secret
from host.chain.hexdata import quantity
from host.devnet.network import LocalNetwork

KNOWING_GUEST = """
import hashlib, os, runpy, sys
label, real, counts = sys.argv.pop(1), os.urandom, {}
def known(size):
    if size not in (32, 48, 96):
        return real(size)
    counts[size] = counts.get(size, -1) + 1
    return hashlib.shake_256(f"{label}/{size}/{counts[size]}".encode()).digest(size)
os.urandom = known
runpy.run_module("guest", run_name="__main__", alter_sys=True)
"""
TALKING_HOST = """
import logging, runpy, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
sys.argv = ["host", "run"]
runpy.run_module("host", run_name="__main__", alter_sys=True)
"""
LABELS = ("epoch", "root_k256", "root_ca", "tls", "disk", "wrap")
APP_PATH, APP_PURPOSE = "replicatoor/demo", "demo"
DRAWS = 3
"""Identities of one process to look for: the first one, and what a retry would have drawn."""


def drawn(label: str, size: int, count: int) -> bytes:
    """What the launcher's `os.urandom(size)` gave the `count`-th time."""
    return hashlib.shake_256(f"{label}/{size}/{count}".encode()).digest(size)


def node_secrets(label: str) -> dict[str, bytes]:
    """Return the secrets of one guest's own identities."""
    found: dict[str, bytes] = {}
    for count in range(DRAWS):
        uniform, seed = drawn(label, 48, count), drawn(label, 96, count)
        found[f"{label} node key entropy {count}"] = uniform
        found[f"{label} node key {count}"] = scalar_from_uniform(Secret(uniform)).expose()
        found[f"{label} ML-KEM seed {count}"] = seed[:64]
        found[f"{label} X25519 key {count}"] = seed[64:]
    return found


def network_secrets(network_id: bytes, epoch_secret: bytes) -> dict[str, bytes]:
    """Return the epoch's secret and every key that hangs below it."""
    keys = EpochKeys(network_id, 1, Secret(epoch_secret))
    apps = app_keys(keys, network_id)
    found = {
        "epoch secret": epoch_secret,
        "PRK": hkdf_extract(sha256(b"replicatoor/1" + network_id), Secret(epoch_secret)).expose(),
        "app root key": apps._root.expose(),
        "app key": apps.issue(APP_PATH, APP_PURPOSE).key.expose(),
    }
    for label in LABELS:
        found[f"{label} child"] = keys.child(label).expose()
        found[f"{label} uniform"] = keys.child(label, size=48).expose()
        found[f"{label} scalar"] = keys.scalar(label).expose()
    return found


# --- forms --------------------------------------------------------------------------------------


def forms(secret: bytes) -> dict[str, bytes]:
    """Every way of writing `secret`, or half of it, that a slip of the pen produces. Lower case."""
    half = len(secret) // 2
    found: dict[str, bytes] = {}
    for part, piece in (("whole", secret), ("first", secret[:half]), ("last", secret[half:])):
        for order, content in (("", piece), (" reversed", piece[::-1])):
            name = f"{part}{order}"
            found[f"{name} raw"] = content
            found[f"{name} hex"] = content.hex().encode()
            found[f"{name} repr"] = repr(content)[2:-1].encode()
            found[f"{name} list"] = ", ".join(map(str, content)).encode()
            found[f"{name} decimal"] = str(int.from_bytes(content, "big")).encode()
            for shift in range(3):
                found[f"{name} base64/{shift}"] = _base64_core(content, shift)
    return found


def _base64_core(content: bytes, shift: int) -> bytes:
    """The characters that base64 gives `content` behind `shift` other bytes, whatever they are."""
    text = base64.b64encode(bytes(shift) + content)
    return text[(0, 2, 3)[shift] : len(content + bytes(shift)) * 8 // 6]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look, and what is there."""

    name: str
    content: bytes


def leaks(place: Place, secrets: dict[str, bytes]) -> list[str]:
    """Name every secret that shows in a place, and its form."""
    lower = place.content.lower()
    plain = place.content.replace(b"-", b"+").replace(b"_", b"/")  # base64url is base64
    return [
        f"{name} ({form}) in {place.name}"
        for name, secret in secrets.items()
        for form, text in forms(secret).items()
        if text in place.content or text in (lower if form.endswith("hex") else plain)
    ]


# --- places -------------------------------------------------------------------------------------


def files(folder: Path) -> Iterator[Place]:
    """Every regular file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield Place(str(path.relative_to(folder)), path.read_bytes())


def process_words(network: LocalNetwork, names: list[str]) -> Iterator[Place]:
    """Command line and environment of every process."""
    for name in names:
        folder = Path("/proc", str(network.processes.child(name).pid))
        for what in ("cmdline", "environ"):
            yield Place(f"{what} of {name}", (folder / what).read_bytes())


async def chain(network: LocalNetwork) -> list[Place]:
    """All that the chain keeps: blocks with transactions, logs, and the whole state."""
    head = quantity(await network.rpc.call("eth_blockNumber"), "head")
    blocks = [
        await network.rpc.call("eth_getBlockByNumber", hex(number), True)
        for number in range(head + 1)
    ]
    logs = await network.rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    dumped = str(await network.rpc.call("anvil_dumpState"))
    return [
        Place("the chain's blocks", json.dumps(blocks).encode()),
        Place("the chain's logs", json.dumps(logs).encode()),
        Place("the chain's state", gzip.decompress(bytes.fromhex(dumped[2:]))),
    ]
