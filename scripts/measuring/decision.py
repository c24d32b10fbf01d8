"""What one hand-over costs a member's guest: decode, proofs, DCAP, policy, HPKE, signature, encode.

A real member runs here, in this process, against its real host; its machine is timed by processor
time, event by event. A decision is the newcomer's document, and the view that brings the answer.
"""

import asyncio
import os
import time

from guest.agent.server import AppServer
from guest.chain.trust import trust_for
from guest.chain.view import ChainReader
from guest.core.effects import Effect, Say
from guest.core.events import Event, HostSaid
from guest.core.node import Node
from guest.platform.quoting_service import QuotingService
from guest.protocol import link
from guest.protocol.digests import measurement_id
from guest.protocol.link import LENGTH_BYTES, Newcomer, PostOnboards, View
from guest.runtime import Runtime
from host.devnet.network import Shape
from scripts.measuring.crowddriver import TEE_TDX
from scripts.measuring.rows import Row, median, percentile, spread
from scripts.measuring.stage import Stage, on_stage

JOINS = 12
LIMIT = 60.0


class TimedNode(Node):
    """A node that keeps the processor time of each hand-over."""

    decisions: list[float]
    _document: float = 0.0

    def handle(self, event: Event) -> tuple[Effect, ...]:
        """Handle an event as ever, and time those that a hand-over is made of."""
        if not isinstance(event, HostSaid) or not isinstance(event.message, Newcomer | View):
            return super().handle(event)
        payload = link.frame(event.message)[LENGTH_BYTES:]
        began = time.thread_time()
        link.from_host(payload)  # once more: the link has done it before our clock ran
        effects = super().handle(event)
        posts = [e.message for e in effects if isinstance(e, Say)]
        answers = [post for post in posts if isinstance(post, PostOnboards)]
        for answer in answers:
            link.frame(answer)
        spent = time.thread_time() - began
        if isinstance(event.message, Newcomer):
            self._document = spent
        elif answers:
            self.decisions.append(self._document + spent)
        return effects


def measure() -> list[Row]:
    """Return the one row."""
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    async with on_stage(Shape(nodes=2, block_time=0.0, history=True)) as stage:
        network, newcomer = stage.network, stage.network.nodes[1]
        for node in network.nodes:
            network.start_host(node)
        decisions: list[float] = []
        running = await _member(stage, decisions)
        try:
            await stage.until(stage.member.app_socket.exists, LIMIT, "the member active")
            await stage.settle()
            await stage.take_ownership()
            for _ in range(JOINS):
                await stage.settle()
                stage.start_guest(newcomer)
                await stage.until_active(newcomer, LIMIT)
                await stage.retire(newcomer)
        finally:
            running.cancel()
    spent = [1000 * one for one in decisions]
    how = "document decoded -> answer encoded, in process, one newcomer a view; p95 {:.2f}; {}"
    how = how.format(percentile(spent, 0.95), spread(spent))
    return [Row("member-decision-cpu", median(spent), "ms", how, budget=8.0)]


async def _member(stage: Stage, decisions: list[float]) -> "asyncio.Task[int]":
    """Boot the first node's guest in this process."""
    network = stage.network.network
    platform = await QuotingService.connect(str(stage.network.directory / "platform.sock"))
    boot = await platform.registers()
    own = measurement_id(TEE_TDX, boot.mrtd, boot.rtmr0, boot.rtmr1, boot.rtmr2)
    node = TimedNode(network, ChainReader(network, trust_for(network)), os.urandom, own)
    node.decisions = decisions
    apps = AppServer(stage.member.app_socket, network.network_id)
    dialled = f"unix:{stage.member.directory / 'link.sock'}"
    return asyncio.ensure_future(Runtime(node, platform, apps, dialled, None).run())
