"""A witness behind the host's node: the guest hears of the head again, and not too often."""

import asyncio
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from guest.protocol.link import NeedView, StateProof, UnverifiedView, WitnessStatement
from guest.protocol.messages import Witness
from host import late_views
from host.late_views import LateViews

HEAD = 7
NEED = NeedView(1, (), (), 0)


class Shown:
    """Views under a witness that vouches for one block after the other; None: no witness."""

    def __init__(self, numbers: Iterator[int | None]) -> None:
        self._numbers = numbers

    async def fetch(self, need: NeedView) -> UnverifiedView:  # noqa: ARG002 - one interface
        number = next(self._numbers)
        said = None
        if number is not None:
            said = WitnessStatement(Witness(number, bytes(32), 0, bytes(32)), bytes(65))
        return UnverifiedView(StateProof(b"", ()), (), None, said)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_views, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(late_views, "LONGEST_PAUSE", 0.0)


def told_after(numbers: list[int | None], head: int | None = HEAD) -> list[int]:
    """Fetch a view for each number; return the heads that the guest was told."""

    async def story() -> list[int]:
        told: list[int] = []

        async def tell(number: int) -> None:
            told.append(number)

        views = LateViews(Shown(chain(numbers, repeat(HEAD))), lambda: head, tell)
        for _ in numbers:
            await views.fetch(NEED)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return told

    return asyncio.run(story())


def test_a_view_that_is_behind_has_the_head_told_again() -> None:
    assert told_after([HEAD - 1]) == [HEAD]


def test_a_view_of_the_head_needs_no_more_words() -> None:
    assert told_after([HEAD]) == []
    assert told_after([HEAD + 1]) == []


def test_without_a_witness_or_a_head_nothing_is_told() -> None:
    assert told_after([None]) == []
    assert told_after([HEAD - 1], head=None) == []


def test_late_views_in_a_row_are_told_of_once() -> None:
    assert told_after([HEAD - 1] * 5) == [HEAD]


def test_the_pause_doubles_up_to_its_longest_and_starts_anew_when_the_witness_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_views, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(late_views, "LONGEST_PAUSE", 0.3)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def story() -> None:
        async def tell(_: int) -> None:
            pass

        numbers = [HEAD - 1] * 4 + [HEAD, HEAD - 1]
        views = LateViews(Shown(iter(numbers)), lambda: HEAD, tell, sleep=sleep)
        for _ in numbers:
            await views.fetch(NEED)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    asyncio.run(story())
    assert slept == [0.1, 0.2, 0.3, 0.3, 0.1]
