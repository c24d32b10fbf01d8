"""Weaknesses of the system that this one replaces, attacked from end to end; each is named."""

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from guest.protocol import document as document_format
from guest.protocol.digests import commitment, digest, document_hash
from guest.protocol.link import (
    FromGuest,
    FromHost,
    HandedOver,
    NeedView,
    Newcomer,
    PostConfirm,
    PostOnboards,
    PostRegister,
    PostReject,
    Stored,
    View,
)
from guest.protocol.messages import Confirm, Handover, Onboard, RegisterTx
from guest.protocol.primitives import keccak256, require_signer, seal
from guest.protocol.secret import Secret
from host.chain.events import Confirmed, Onboarded, Registered, Status
from host.devnet import demonstration
from host.devnet.demonstration import Row
from host.devnet.network import LocalNetwork, LocalNode
from tests.chain.network import rig
from tests.faults import stories
from tests.faults.link_proxy import LinkProxy

# --- a host in the middle -----------------------------------------------------------------------


@asynccontextmanager
async def between(network: LocalNetwork, node: LocalNode) -> AsyncIterator[LinkProxy]:
    """Start a node with a host in the middle of its link."""
    front, back = node.directory / "link.sock", node.directory / "back.sock"
    settings = {**network.host_environment(node), "REPLICATOOR_GUEST_SOCKET": str(back)}
    network.processes.start_module(f"{node.name}-host", "host", "run", environment=settings)
    async with LinkProxy(front, back) as proxy:
        network.start_guest(node)
        yield proxy


def test_s5_s6_and_findings_1237_1306_a_host_cannot_slip_a_secret_of_its_own_in() -> None:
    asyncio.run(_slipped())


async def _slipped() -> None:
    """Anyone can seal to a newcomer's public key. Only what the chain names is ever opened."""
    async with rig.running() as network:
        member, newcomer = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        async with between(network, newcomer) as host:
            await _heard(network, host, PostRegister)
            (post,) = [m for m in host.said if isinstance(m, PostRegister)]
            false = _sealed_by_the_host(network, post, rig.address(member))
            await host.tell(false)
            await rig.active(network)
            await host.tell(false)
            assert not [m for m in host.said if isinstance(m, PostReject)]
            await demonstration.prove(network, [Row(node) for node in network.nodes])
            _signatures_are_typed(network, host.said, rig.address(newcomer))
        await stories.joined_once(network, rig.address(newcomer))


def _sealed_by_the_host(network: LocalNetwork, post: PostRegister, by: bytes) -> HandedOver:
    domain = network.network.domain
    signed = RegisterTx(digest(domain, post.message), document_hash(post.document))
    handover = Handover(post.message.node, by, 1, 0, commitment(signed))
    key = document_format.decode(post.document).encryption_key
    ciphertext = seal(Secret(os.urandom(32)), key, digest(domain, handover))
    return HandedOver(by, 1, 0, ciphertext)


def _signatures_are_typed(network: LocalNetwork, said: list[FromGuest], node: bytes) -> None:
    """Everything signed is a typed message of the network file's domain, built by the guest itself."""
    domain = network.network.domain
    for message in said:
        if isinstance(message, PostRegister):
            hashed = document_hash(message.document)
            signed = RegisterTx(digest(domain, message.message), hashed)
            require_signer(digest(domain, signed), message.signature, node)
        if isinstance(message, PostConfirm):
            confirm = Confirm(message.node, message.handover)
            require_signer(digest(domain, confirm), message.node_signature, node)
    assert {PostRegister, PostConfirm} <= {type(message) for message in said}


def test_g6_and_finding_114_a_genuine_quote_without_a_registration_is_given_nothing() -> None:
    asyncio.run(_unregistered())


async def _unregistered() -> None:
    """The newcomer is genuine, its host posts nothing, and shows the document to the member."""
    async with rig.running() as network:
        member, newcomer = network.nodes
        async with between(network, member) as giver:
            await rig.active(network, member)
            async with between(network, newcomer) as taker:
                taker.passes = lambda message: not isinstance(message, PostRegister)
                await _heard(network, taker, PostRegister)
                (post,) = [m for m in taker.said if isinstance(m, PostRegister)]
                await taker.tell(Stored(post.key))
                await giver.tell(Newcomer(post.document))
                await _views(network, giver, 4)
                assert not [m for m in giver.said if isinstance(m, PostOnboards)]
                assert await rig.status_of(network, post.message.node) is Status.NONE
                assert await rig.events(network, Registered, Onboarded) == []
                await _register(network, post)
                await _heard(network, giver, PostOnboards)
                (answer,) = [m for m in giver.said if isinstance(m, PostOnboards)]
                _onboard_is_typed(network, answer)
                await rig.active(network)


async def _register(network: LocalNetwork, post: PostRegister) -> None:
    """Post it after all, by anyone's hand."""
    sender = b"\x52" * 20
    await network.rpc.call("anvil_setBalance", "0x" + sender.hex(), hex(10**18))
    message = post.message
    await rig.send_as(
        network,
        sender,
        "register",
        message.node,
        message.encryption_key_hash,
        message.measurement_id,
        message.anchor_number,
        message.anchor_hash,
        document_hash(post.document),
        post.signature,
    )


def _onboard_is_typed(network: LocalNetwork, post: PostOnboards) -> None:
    (item,) = post.items
    message = Onboard(
        item.node,
        post.by,
        post.epoch,
        item.attempt,
        item.commitment,
        post.view_number,
        post.view_hash,
        keccak256(item.ciphertext),
    )
    require_signer(digest(network.network.domain, message), post.signature, post.by)


async def _heard(network: LocalNetwork, proxy: LinkProxy, kind: type[FromGuest]) -> None:
    await rig.until(
        network, lambda: any(isinstance(m, kind) for m in proxy.said), f"a {kind.__name__}"
    )


async def _views(network: LocalNetwork, proxy: LinkProxy, count: int) -> None:
    """Wait until the guest has asked for so many more views and got them."""

    def shown(messages: list[FromHost], kind: type[FromHost]) -> int:
        return sum(isinstance(message, kind) for message in messages)

    asked = sum(isinstance(message, NeedView) for message in proxy.said)
    got = shown(proxy.told, View)
    await rig.until(
        network,
        lambda: (
            shown(proxy.told, View) >= got + count
            and sum(isinstance(message, NeedView) for message in proxy.said) >= asked + count
        ),
        f"{count} more views",
    )


# --- ports, shells and payers -------------------------------------------------------------------


def test_s3_s4_l4_l6_no_port_no_shell_and_one_payer() -> None:
    asyncio.run(_three_members_and_a_newcomer())


async def _three_members_and_a_newcomer() -> None:
    shape = dataclasses.replace(rig.QUICK, nodes=4)
    async with stories.scene(shape) as scene:
        network = scene.network
        *members, newcomer = network.nodes
        rig.start(network, members[0])
        await rig.active(network, members[0])
        rig.start(network, *members[1:])
        await rig.active(network, *members)
        before = len(scene.proxy.sent)
        rig.start(network, newcomer)
        await rig.active(network)
        answers = [s for s in scene.proxy.sent[before:] if s.calls("onboard", "onboardBatch")]
        assert len({(answer.sender, answer.calldata) for answer in answers}) == 1
        await stories.joined_once(network, rig.address(newcomer))
        await stories.nothing_went_twice(scene)
        for node in network.nodes:
            _listens_on(network, node, "guest", {str(node.app_socket)})
            _listens_on(network, node, "host", {str(node.directory / "link.sock")})


def _listens_on(network: LocalNetwork, node: LocalNode, part: str, wanted: set[str]) -> None:
    """A process listens on these unix sockets and on no port, and has started no other process."""
    pid = network.processes.child(f"{node.name}-{part}").pid
    folder = Path("/proc", str(pid))
    assert (folder / "task" / str(pid) / "children").read_text() == ""
    inodes = {
        target.removeprefix("socket:[").rstrip("]")
        for target in (str(path.readlink()) for path in (folder / "fd").iterdir())
        if target.startswith("socket:[")
    }
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in (folder / "net" / table).read_text().splitlines()[1:]]
        assert [row for row in rows if row[9] in inodes and row[3] == "0A"] == []
    for table in ("udp", "udp6", "raw", "raw6"):
        rows = [line.split() for line in (folder / "net" / table).read_text().splitlines()[1:]]
        assert [row for row in rows if row[9] in inodes] == []
    rows = [line.split() for line in (folder / "net" / "unix").read_text().splitlines()[1:]]
    listening = {row[7] for row in rows if row[6] in inodes and row[3] == "00010000"}
    assert {name.removesuffix(".new") for name in listening} == wanted


# --- a chain that is out of reach ---------------------------------------------------------------


def test_l3_an_outage_that_hides_the_answer_delays_a_join_and_no_more() -> None:
    asyncio.run(_outage())


async def _outage() -> None:
    """The old newcomer looked for its answer in twenty blocks and then waited for ever."""
    async with stories.scene(rig.QUICK) as scene:
        network = scene.network
        member, newcomer = network.nodes
        rig.start(network, member)
        await rig.active(network, member)
        rig.start(network, newcomer)
        await rig.until(network, lambda: rig.state(newcomer) == "pending", "Pending")
        scene.proxy.down.add(newcomer.name)
        node = rig.address(newcomer)
        answered = 0
        while not answered:
            for seen in await rig.seen_events(network):
                if isinstance(seen.event, Onboarded) and seen.event.node == node:
                    answered = seen.block.number
            await _next_block(network)
        while await _head(network) < answered + 30:
            await _next_block(network)
        assert await rig.events(network, Confirmed) == []
        scene.proxy.down.clear()
        await rig.active(network)
        assert rig.address(newcomer) == node
        await stories.joined_once(network, node)
        await stories.nothing_went_twice(scene)
        assert not rig.tracebacks(network)


async def _head(network: LocalNetwork) -> int:
    return int(str(await network.rpc.call("eth_blockNumber")), 16)


async def _next_block(network: LocalNetwork) -> None:
    deadline = time.monotonic() + rig.LIMIT
    before = head = await _head(network)
    while head == before:
        assert time.monotonic() < deadline, "the chain stands still"
        await asyncio.sleep(rig.POLL)
        head = await _head(network)
