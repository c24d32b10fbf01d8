"""One guest process: read the configuration, boot the platform, build the node, run it."""

import asyncio
import os
import resource
import signal
import sys

from guest import config as configuration
from guest.agent.server import AppServer
from guest.chain.trust import trust_for
from guest.chain.view import ChainReader
from guest.core.node import Node
from guest.evidence.attestation import root_of
from guest.platform.quoting_service import QuotingService
from guest.protocol.digests import measurement_id
from guest.protocol.errors import Misconfigured, ReplicatoorError
from guest.runtime import FAILURE_EXIT, Runtime

USAGE_EXIT = 2
TEE_TDX = 0x81


async def run(config: configuration.Config) -> int:
    """Boot and run one guest; return its exit code."""
    network = config.network
    root_of(network)
    trust = trust_for(network)
    kind, _, path = config.platform.partition(":")
    if kind != "unix" or not path:
        raise Misconfigured("the platform address is not usable", got=config.platform)
    platform = await QuotingService.connect(path)  # waits: it has a limit of its own
    try:
        registers = await platform.registers()
        own = measurement_id(
            TEE_TDX, registers.mrtd, registers.rtmr0, registers.rtmr1, registers.rtmr2
        )
        node = Node(network, ChainReader(network, trust), os.urandom, own)
        apps = AppServer(config.app_socket, network.network_id)
        runtime = Runtime(node, platform, apps, config.host, config.history)
        running = asyncio.ensure_future(runtime.run())
        for stop in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(stop, running.cancel)
        try:
            return await running  # waits: until the node's own end
        except asyncio.CancelledError:
            return 0
    finally:
        await platform.close()  # waits: it has a limit of its own


def main() -> int:
    """Run the guest named by argv; one line on failure, no traceback."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the secret
    try:
        return asyncio.run(run(configuration.parse(sys.argv[1:])))
    except Misconfigured as error:
        sys.stderr.write(f"guest: {error.reason}: {error}\n")
        return USAGE_EXIT
    except ReplicatoorError as error:
        sys.stderr.write(f"guest: {error}\n")
        return FAILURE_EXIT


if __name__ == "__main__":
    sys.exit(main())
