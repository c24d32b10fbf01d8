"""Small contracts in raw code and a sender process, for tests on a real node."""

import asyncio
import sys
from pathlib import Path

from guest.protocol.primitives import keccak256
from host.chain.actions import Action
from host.chain.hexdata import fixed, quantity, to_data
from host.chain.ledger import Identity, Ledger
from host.chain.rpc import RpcClient
from host.chain.sender import Sender
from host.chain.wallet import from_text

ONCE = b"\x0c" * 20
"""Takes any calldata once; the same again reverts: slot[keccak(calldata)] = 1."""
ONCE_CODE = bytes.fromhex("365f5f37365f20805460115760019055005b5f5ffd")
KNOWN_BLOCK = b"\x0b" * 20
"""Reverts unless it knows the hash of the block whose number is its calldata."""
KNOWN_BLOCK_CODE = bytes.fromhex("5f35406009575f5ffd5b00")
CHAIN_ID = 31337


async def install(rpc: RpcClient) -> None:
    """Put the contracts onto the chain."""
    await rpc.call("anvil_setCode", to_data(ONCE), to_data(ONCE_CODE))
    await rpc.call("anvil_setCode", to_data(KNOWN_BLOCK), to_data(KNOWN_BLOCK_CODE))


async def was_done(rpc: RpcClient, calldata: bytes) -> bool:
    """Whether the contract `ONCE` took this calldata."""
    slot = to_data(keccak256(calldata))
    return any(fixed(await rpc.call("eth_getStorageAt", to_data(ONCE), slot, "latest"), "slot", 32))


async def transactions(rpc: RpcClient, sender: bytes) -> int:
    """How many transactions of `sender` stand on the chain."""
    return quantity(
        await rpc.call("eth_getTransactionCount", to_data(sender), "latest"), "the count"
    )


def make_sender(rpc: RpcClient, path: Path, key: str) -> tuple[Sender, Ledger]:
    """A sender of actions to `ONCE`."""
    wallet = from_text(key)
    ledger = Ledger(path, Identity(CHAIN_ID, bytes(32), ONCE, wallet.address))

    async def is_done(action: Action) -> bool:
        return action.target == ONCE and await was_done(rpc, action.calldata)

    return Sender(rpc, wallet, ledger, CHAIN_ID, is_done), ledger


async def send_all(url: str, path: Path, key: str, count: int) -> None:
    """Submit `count` actions and go on until all are final."""
    async with RpcClient(url, chain_id=CHAIN_ID, timeout=5) as rpc:
        sender, ledger = make_sender(rpc, path, key)
        with ledger:
            for n in range(count):
                sender.submit(f"a{n}", "test", ONCE, b"action %d" % n)
            sys.stdout.write("submitted\n")
            sys.stdout.flush()
            working = asyncio.ensure_future(sender.run())
            while sender.open_actions():
                await asyncio.sleep(0.1)
                sender.new_head()
            working.cancel()


if __name__ == "__main__":
    asyncio.run(send_all(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
