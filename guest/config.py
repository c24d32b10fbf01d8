"""The guest's command line: where its files and sockets are. Nothing here decides anything of security.

The network file is measured with the image; the addresses only say where to find a host and a platform
that are then believed for nothing. The environment is not read.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from guest.protocol import network as network_format
from guest.protocol.errors import Misconfigured, Reason
from guest.protocol.network import Network


@dataclass(frozen=True, slots=True)
class Config:
    """What one guest process is started with."""

    network: Network
    host: str
    platform: str
    app_socket: Path
    history: Path | None


def parse(arguments: list[str]) -> Config:
    """Parse argv (without the program); raises `Misconfigured`, or SystemExit(2) as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m guest", description="One guest of a Replicatoor network."
    )
    parser.add_argument("--network", required=True, type=Path, help="the measured network file")
    parser.add_argument("--host", required=True, help="the host link: unix:PATH or tcp:HOST:PORT")
    parser.add_argument("--platform", required=True, help="the quoting service: unix:PATH")
    parser.add_argument("--app-socket", required=True, type=Path, help="where apps find their keys")
    parser.add_argument("--history", type=Path, help="append every event to this file (JSON lines)")
    known = parser.parse_args(arguments)
    try:
        with known.network.open("rb") as file:
            text = file.read(network_format.MAX_NETWORK_FILE + 1)
    except OSError as error:
        raise Misconfigured(
            "the network file cannot be read",
            reason=Reason.NETWORK_FILE,
            got=f"{known.network}: {error.strerror}",
            mend="Give its path with --network.",
        ) from None
    network = network_format.parse(text)
    return Config(network, known.host, known.platform, known.app_socket, known.history)
