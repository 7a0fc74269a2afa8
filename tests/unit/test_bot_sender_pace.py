"""How fast the bot talks: laws of the pace, whatever the network does to single calls."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.pace import KEPT_FROM_LIVE, Bucket, Budget, Pace


class Clock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def most_within(span: float, times: Sequence[float]) -> int:
    """The most events in any `span` seconds; one that is exactly that long after another counts no more."""
    return max(sum(start <= time < start + span for time in times) for start in times)


@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(["ok", "limited"])), min_size=2, max_size=40)
)
def test_a_channel_never_receives_two_posts_within_a_second(calls: Sequence[tuple[float, float, str]]) -> None:
    """Each call takes its time and arrives somewhere in it; some are refused with Retry-After."""
    received = []
    pace = Pace(clock := Clock())
    for took, share, answer in calls:
        clock.now += pace.wait("chat.postMessage", "post C")
        pace.spend("chat.postMessage")
        received.append(clock.now + took * share)
        clock.now += took
        pace.done("post C")
        if answer == "limited":
            pace.close("chat.postMessage", 1)
    assert most_within(1.0, received) == 1


@given(st.lists(st.booleans(), min_size=60, max_size=200))
def test_edits_stay_within_fifty_a_minute_and_live_ones_within_forty_five(live: Sequence[bool]) -> None:
    pace = Pace(clock := Clock())
    made: list[tuple[float, bool]] = []
    for number, is_live in enumerate(live):
        clock.now += pace.wait("chat.update", f"edit C{number}", keep=KEPT_FROM_LIVE if is_live else 0.0)
        pace.spend("chat.update")
        made.append((clock.now, is_live))
    assert most_within(59.9, [at for at, _ in made]) <= 50
    assert most_within(59.9, [at for at, is_live in made if is_live] or [0.0]) <= 45


def test_a_final_state_is_written_although_live_messages_used_up_their_share() -> None:
    pace = Pace(clock := Clock())
    for number in range(10):
        clock.now += pace.wait("chat.update", f"edit C{number}", keep=KEPT_FROM_LIVE)
        pace.spend("chat.update")
    assert pace.wait("chat.update", "edit C99", keep=KEPT_FROM_LIVE) > 1
    for number in range(int(KEPT_FROM_LIVE)):
        assert pace.wait("chat.update", f"edit D{number}") == 0
        pace.spend("chat.update")
    assert pace.wait("chat.update", "edit D99") > 0


def test_posts_and_edits_in_a_channel_do_not_wait_for_each_other() -> None:
    pace = Pace(Clock())
    pace.done("edit C")
    assert pace.wait("chat.update", "edit C") > 1
    assert pace.wait("chat.postMessage", "post C") == 0


def test_retry_after_closes_one_method_everywhere() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.close("chat.postMessage", 7)
    pace.close("chat.postMessage", 2)
    assert pace.wait("chat.postMessage", "post D") == pytest.approx(7)
    assert pace.wait("chat.postEphemeral", "ephemeral U") == 0
    clock.now += 8
    assert pace.wait("chat.postMessage", "post D") == 0


def test_a_budget_may_come_at_once_and_refills_evenly() -> None:
    clock = Clock()
    bucket = Bucket(Budget(60, 2), clock)
    for _ in range(2):
        assert bucket.wait() == 0
        bucket.spend()
    assert bucket.wait() == pytest.approx(1)
    clock.now += 100
    assert bucket.wait(keep=1) == 0
    assert bucket.wait(keep=2) == pytest.approx(1)
