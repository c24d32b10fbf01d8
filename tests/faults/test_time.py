"""Time passes for a guest whatever its host does: each wait ends although frames keep coming."""

import asyncio
from itertools import count, pairwise
from typing import cast

from guest.core.events import HostSaid, Ticked
from guest.core.node import TICK, Node
from guest.platform.platform import Platform
from guest.protocol.link import HeadSeen
from guest.runtime import Apps, Runtime


def test_a_host_that_never_falls_silent_does_not_stop_the_guests_clock() -> None:
    async def story() -> None:
        seconds = count()
        nothing = cast("Platform", None), cast("Apps", None)
        runtime = Runtime(
            cast("Node", None), *nothing, "unix:none", None, clock=lambda: float(next(seconds))
        )
        for number in range(100):
            await runtime._put(HostSaid(0.0, HeadSeen(number)))
        events = [await runtime._next_event() for _ in range(60)]
        ticks = [event.at for event in events if isinstance(event, Ticked)]
        assert len(ticks) > 5
        assert all(later - earlier >= TICK for earlier, later in pairwise(ticks))
        assert sum(isinstance(event, HostSaid) for event in events) > 30

    asyncio.run(story())
