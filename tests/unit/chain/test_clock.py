import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest.chain.clock import GuestClock
from guest.evidence.header import Header
from guest.protocol.errors import Reason, Refused

W = 60.0


def header(timestamp: int) -> Header:
    return Header(7, b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, timestamp)


def test_before_the_first_header_nothing_is_known_and_nothing_is_refused() -> None:
    clock = GuestClock()
    assert clock.lower_bound(1e6) == 0.0
    clock.require_fresh(header(0), 1e6, W)


def test_a_frozen_header_dies_after_w() -> None:
    clock = GuestClock()
    clock.accept(1000, at=5.0)
    clock.require_fresh(header(1000), 5.0 + W, W)
    with pytest.raises(Refused) as caught:
        clock.require_fresh(header(1000), 5.0 + W + 0.5, W)
    assert caught.value.reason is Reason.STALE_VIEW
    assert not caught.value.fatal


def test_a_warp_of_days_forward_is_no_reason_to_refuse() -> None:
    clock = GuestClock()
    clock.accept(1000, at=0.0)
    clock.require_fresh(header(1000 + 3 * 86400), 1.0, W)
    clock.accept(1000 + 3 * 86400, at=1.0)
    with pytest.raises(Refused):
        clock.require_fresh(header(1002), 2.0, W)


@given(st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**30)), min_size=1))
def test_the_lower_bound_is_the_best_of_all_headers_whatever_their_order(
    seen: list[tuple[int, int]],
) -> None:
    clock = GuestClock()
    for time, at in seen:
        clock.accept(time, at)
    now = max(at for _, at in seen) + 10
    assert clock.lower_bound(now) == max(time + now - at for time, at in seen)


@given(
    st.integers(0, 2**40),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100)), min_size=1),
)
def test_the_bound_never_passes_real_time_when_headers_are_honest(
    start: int, steps: list[tuple[int, int]]
) -> None:
    """Real time is `start` + monotonic; a header arrives `late` seconds after its own time."""
    clock, now = GuestClock(), 0
    for late, pause in steps:
        now += pause
        clock.accept(max(0, start + now - late), now)
        assert clock.lower_bound(now) <= start + now + max(0, late - start - now)
