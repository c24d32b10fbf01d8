"""Views under a witness that is behind the host's node: the guest is told the head once more.

A guest asks when it hears of a head. If the witness does not vouch for that head yet, the guest gets an
older view and would wait for the next block to ask again: a block lost at every step of a join, and on
a chain without traffic much more.
"""

import asyncio
from collections.abc import Awaitable, Callable

from guest.protocol.link import NeedView, UnverifiedView
from host.guest_desk import Views

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds until the head is told again; doubled while the witness stays behind."""


class LateViews:
    """Passes views on; after one that is behind the head, tells the guest the head again, later."""

    def __init__(
        self,
        views: Views,
        head: Callable[[], int | None],
        tell: Callable[[int], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Fetch by `views`; `head` is the newest block known, `tell` sends it to the guest."""
        self._views = views
        self._head = head
        self._tell = tell
        self._sleep = sleep
        self._pause = FIRST_PAUSE
        self._telling: asyncio.Task[None] | None = None

    async def fetch(self, need: NeedView) -> UnverifiedView:
        """Return what was asked for; raises `ReplicatoorError`."""
        view = await self._views.fetch(need)  # waits: whoever fetches has limits
        head = self._head()
        if view.witness is None or head is None or view.witness.statement.number >= head:
            self._pause = FIRST_PAUSE
        elif self._telling is None or self._telling.done():
            work = self._tell_again(head, self._pause)
            self._telling = asyncio.get_running_loop().create_task(work)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return view

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._telling is not None:
            self._telling.cancel()

    async def _tell_again(self, head: int, pause: float) -> None:
        await self._sleep(pause)  # waits: LONGEST_PAUSE at most
        await self._tell(head)  # waits: the link has a limit
