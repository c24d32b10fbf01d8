"""Headers and proofs of a real node, of storage that the real contract wrote."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from guest.chain.layout import EpochRecord, GenesisRecord, MeasurementState, Status, Wanted
from guest.chain.trust import trust_for
from guest.chain.view import ChainReader, ChainView
from guest.protocol.digests import (
    commitment,
    digest,
    handover_id,
)
from guest.protocol.errors import Reason, Refused
from guest.protocol.link import NeedView, UnverifiedView
from guest.protocol.messages import (
    Bootstrap,
    Handover,
    Onboard,
    Register,
    RegisterTx,
    Reject,
)
from guest.protocol.network import Trust
from guest.protocol.primitives import keccak256, secp256k1_address, sign_digest
from guest.protocol.secret import Secret
from host.chain.blocks import parse_block
from host.chain.proofs import ViewFetcher, header_rlp
from host.chain.rpc import RpcClient
from host.chain.statements import WitnessClient
from tests.chain.proofs.conftest import CHAIN_ID, LiveContract, Start

FIRST, SECOND, EPOCH_KEY = (Secret(bytes([i]) * 32) for i in (1, 2, 3))
NODE, NEWCOMER, X_PUB = map(secp256k1_address, (FIRST, SECOND, EPOCH_KEY))
APP_ROOT = b"\x0a" * 20
IMAGE, GONE, UNKNOWN = (keccak256(name) for name in (b"image", b"gone", b"unknown"))
DOCUMENT = b"the genesis document"
ENC_PUB = keccak256(b"an encryption key")
WANTED = Wanted(
    nodes=(NODE, NEWCOMER, b"\x99" * 20),
    measurements=(IMAGE, GONE, UNKNOWN),
    epochs=(1, 2),
    allowed_words=(0, 1),
    rejected=((NEWCOMER, NODE), (NODE, NEWCOMER)),
    genesis=True,
)


@dataclass
class Lived:
    """What the contract went through."""

    genesis_block: int
    bootstrap: Bootstrap
    registration: RegisterTx


def live(url: str, story: Callable[[LiveContract], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), RpcClient(url, chain_id=CHAIN_ID) as rpc:
            accounts = await rpc.call("eth_accounts")
            assert isinstance(accounts, list)
            await story(LiveContract(rpc, str(accounts[0])))

    asyncio.run(run())


async def live_a_life(contract: LiveContract) -> Lived:
    """Deploy, allow two images, bootstrap, remove one, register, answer, reject."""
    await contract.deploy()
    await contract.send("proposeMeasurement", IMAGE, bytes(32))
    await contract.send("proposeMeasurement", GONE, bytes(32))
    anchor = await contract.block()
    bootstrap = Bootstrap(NODE, ENC_PUB, IMAGE, *anchor, X_PUB, APP_ROOT)
    signed = digest(contract.domain, bootstrap)
    receipt = await contract.send(
        "bootstrap",
        *(NODE, ENC_PUB, IMAGE, *anchor, X_PUB, APP_ROOT),
        sign_digest(FIRST, signed),
        sign_digest(EPOCH_KEY, signed),
        DOCUMENT,
    )
    await contract.send("removeMeasurement", GONE)
    anchor = await contract.block()
    register = Register(NEWCOMER, ENC_PUB, IMAGE, *anchor)
    registration = RegisterTx(digest(contract.domain, register), keccak256(b"a document"))
    await contract.send(
        "register",
        *(NEWCOMER, ENC_PUB, IMAGE, *anchor, registration.document_hash),
        sign_digest(SECOND, digest(contract.domain, registration)),
    )
    await answer_wrongly(contract, commitment(registration))
    return Lived(int(str(receipt["blockNumber"]), 16), bootstrap, registration)


async def answer_wrongly(contract: LiveContract, committed: bytes) -> None:
    ciphertext = bytes(1168)
    view = await contract.block()
    onboard = Onboard(NEWCOMER, NODE, 1, 0, committed, *view, keccak256(ciphertext))
    await contract.send(
        "onboard",
        *(NEWCOMER, NODE, 1, 0, committed, *view, ciphertext),
        sign_digest(FIRST, digest(contract.domain, onboard)),
    )
    handover = Handover(NEWCOMER, NODE, 1, 0, committed)
    named = handover_id(contract.domain, handover, keccak256(ciphertext))
    view = await contract.block()
    reject = Reject(NEWCOMER, named, 1, *view)
    await contract.send(
        "reject",
        *(NEWCOMER, NODE, committed, keccak256(ciphertext), 1, *view),
        sign_digest(SECOND, digest(contract.domain, reject)),
    )


async def fetch(
    contract: LiveContract, witness: WitnessClient | None = None, ancestors: int = 8
) -> UnverifiedView:
    fetcher = ViewFetcher(contract.rpc, contract.address, witness=witness)
    slots = WANTED.slots()
    return await fetcher.fetch(NeedView(1, slots, slots, ancestors))


async def read(
    contract: LiveContract, view: UnverifiedView, reader: ChainReader | None = None
) -> ChainView:
    network = await contract.network(Trust.UNVERIFIED)
    reader = reader or ChainReader(network, trust_for(network))
    ancestors = len(view.ancestors) or 8
    return reader.read(view, newest=WANTED, finalised=WANTED, ancestors=ancestors, at=0.0)


def test_every_fact_that_the_contract_wrote_is_proven_as_it_says_itself(start_anvil: Start) -> None:
    async def story(contract: LiveContract) -> None:
        lived = await live_a_life(contract)
        await contract.mine(3)
        view = await read(contract, await fetch(contract))
        state = view.newest
        assert view.require_finalised().node(NODE) == state.node(NODE)
        for node in WANTED.nodes:
            record = state.node(node)
            told = (await contract.read("nodes", node))[0]
            shown = (int.from_bytes(record.commitment, "big"), record.status, record.attempt)
            shown += (record.epoch, record.until, record.measurement_index, record.seed)
            assert shown == told
        for measurement in WANTED.measurements:
            image = state.measurement(measurement)
            told = (await contract.read("measurements", measurement))[0]
            shown = (image.index, image.state, image.genesis, image.active_from, image.removed_at)
            assert shown == told
        epoch = state.epoch(1)
        assert (epoch.x_pub, epoch.app_root, epoch.since) == await contract.read("epochs", 1)
        assert state.epoch(2) == EpochRecord(bytes(20), bytes(20), 0)
        head = state.head()
        assert (head.x_pub, head.epoch, head.app_epoch) == (X_PUB, 1, 1)
        assert (head.members, head.pending, head.rotation_due) == (1, 1, False)
        assert state.node(NODE).commitment == commitment(lived.bootstrap)[12:]
        newcomer = state.node(NEWCOMER)
        assert newcomer.commitment == commitment(lived.registration)[12:]
        assert (newcomer.status, newcomer.attempt) == (Status.PENDING, 1)
        assert state.rejected(NEWCOMER, NODE)
        assert not state.rejected(NODE, NEWCOMER)
        assert state.measurement(GONE).state is MeasurementState.REMOVED
        assert state.measurement(GONE).genesis
        assert state.allowed(state.measurement(IMAGE).index)
        assert not state.allowed(state.measurement(GONE).index)
        (time,) = await contract.read("genesisTime")
        assert isinstance(time, int)
        expected = GenesisRecord(keccak256(DOCUMENT), NODE, lived.genesis_block, time)
        assert state.genesis() == expected

    live(start_anvil("--hardfork", "osaka", "--slots-in-an-epoch", "1"), story)


def test_a_fact_that_was_written_and_taken_back_is_proven_absent(start_anvil: Start) -> None:
    async def story(contract: LiveContract) -> None:
        await contract.deploy()
        await contract.send("proposeMeasurement", IMAGE, bytes(32))
        index = (await read(contract, await fetch(contract))).newest.measurement(IMAGE).index
        assert (await read(contract, await fetch(contract))).newest.allowed(index)
        await contract.send("removeMeasurement", IMAGE)
        assert not (await read(contract, await fetch(contract))).newest.allowed(index)

    live(start_anvil("--hardfork", "osaka", "--slots-in-an-epoch", "1"), story)


@pytest.mark.parametrize("fork", ["shanghai", "cancun", "prague", "osaka"])
def test_the_headers_of_a_node_of_any_fork_hash_to_their_hashes(
    start_anvil: Start, fork: str
) -> None:
    async def story(contract: LiveContract) -> None:
        await contract.mine(2)
        for number in ("0x0", "0x1", "0x2"):
            block = await contract.rpc.call("eth_getBlockByNumber", number, False)
            header_rlp(parse_block(block))

    live(start_anvil("--hardfork", fork), story)


def test_the_genesis_trap_a_final_block_0_or_one_before_the_contract_is_not_yet(
    start_anvil: Start,
) -> None:
    async def story(contract: LiveContract) -> None:
        await contract.mine(1)
        await contract.deploy()
        lacking = []
        for _ in range(4):
            view = await read(contract, await fetch(contract))
            lacking.append(view.lacking)
            await contract.mine()
        assert "block 0" in lacking[0]
        assert "does not exist" in lacking[1]
        assert lacking[2:] == ["", ""]

    live(start_anvil("--hardfork", "osaka", "--slots-in-an-epoch", "1"), story)


def test_a_real_reorg_is_followed_and_the_forks_before_it_are_not_mixed(start_anvil: Start) -> None:
    async def story(contract: LiveContract) -> None:
        await contract.deploy()
        await contract.mine(12)
        network = await contract.network(Trust.UNVERIFIED)
        reader = ChainReader(network, trust_for(network))
        before = await fetch(contract)
        await read(contract, before, reader)
        await contract.rpc.call("anvil_reorg", 8, [])
        after = await fetch(contract)
        assert after.newest.header != before.newest.header
        await read(contract, after, reader)
        assert reader.trust.contradictions == 0  # final is 10 behind the head here
        mixed = UnverifiedView(after.newest, before.ancestors, after.finalised, None)
        with pytest.raises(Refused) as caught:
            await read(contract, mixed, reader)
        assert caught.value.reason is Reason.HEADER_CHAIN

    live(start_anvil("--hardfork", "osaka", "--slots-in-an-epoch", "5"), story)


def test_a_witness_process_vouches_ticks_and_stops(start_anvil: Start, tmp_path: Path) -> None:
    url = start_anvil("--hardfork", "osaka", "--slots-in-an-epoch", "1")
    key = tmp_path / "witness.key"
    key.write_text("42" * 32)
    key.chmod(0o600)

    async def story(contract: LiveContract) -> None:
        await live_a_life(contract)
        ready = json.loads(await asyncio.to_thread(process.stdout.readline))
        network = await contract.network(Trust.WITNESSED, bytes.fromhex(ready["witness"][2:]))
        reader = ChainReader(network, trust_for(network))
        async with WitnessClient(ready["url"]) as witness:
            seen = set()
            while len(seen) < 3:  # the chain is idle: only ticks make new blocks
                view = await read(contract, await fetch(contract, witness), reader)
                assert view.require_finalised().node(NODE).status is Status.ACTIVE
                seen.add(view.newest.header.number)
            alone = await fetch(contract)
        with pytest.raises(Refused) as caught:
            await read(contract, alone, reader)
        assert caught.value.reason is Reason.HEADER_UNVOUCHED

    command = [sys.executable, "-m", "host.devplatform.witness", "--rpc", url]
    command += ["--key-file", str(key), "--listen", "127.0.0.1:0", "--tick", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            live(url, story)
        finally:
            process.terminate()
        assert process.wait(timeout=20) == 0


def test_a_witness_with_a_readable_key_or_a_wrong_chain_does_not_start(
    start_anvil: Start, tmp_path: Path
) -> None:
    url = start_anvil()
    key = tmp_path / "witness.key"
    key.write_text("42" * 32)
    for mode, chain in ((0o644, CHAIN_ID), (0o600, CHAIN_ID + 1)):
        key.chmod(mode)
        command = [sys.executable, "-m", "host.devplatform.witness", "--rpc", url]
        command += ["--key-file", str(key), "--chain-id", str(chain)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "4242" not in done.stderr
