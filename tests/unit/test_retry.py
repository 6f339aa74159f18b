"""What follows an outcome, and when."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersync import retry
from tiersync.retry import Again, Already, Applied, Dead, Decision, Done, Outcome, Refused, Schedule, Skipped, TryAgain

NOW = 1_720_000_000_000
SCHEDULE = Schedule(delays_s=(2, 10, 60), attempts_max=5, delay_s_max=600, jitter_share=0.2)
BUSY = TryAgain("search_busy", 461)
MIDDLE = 0.5  # the throw of the dice that adds no jitter


@pytest.mark.parametrize(
    ("outcome", "attempt", "dice", "decision"),
    [
        pytest.param(Applied("Gold"), 1, MIDDLE, Done(), id="applied"),
        pytest.param(Applied(), 5, MIDDLE, Done(), id="applied at the last attempt"),
        pytest.param(Already(), 1, MIDDLE, Done(), id="already there"),
        pytest.param(Skipped("left"), 1, MIDDLE, Done(), id="skipped"),
        pytest.param(Refused("customer_barred", 3045), 1, MIDDLE, Dead("customer_barred"), id="refused at once"),
        pytest.param(BUSY, 1, MIDDLE, Again(NOW + 2_000), id="first delay"),
        pytest.param(BUSY, 2, MIDDLE, Again(NOW + 10_000), id="second delay"),
        pytest.param(BUSY, 3, MIDDLE, Again(NOW + 60_000), id="third delay"),
        pytest.param(BUSY, 4, MIDDLE, Again(NOW + 60_000), id="the last delay repeats"),
        pytest.param(BUSY, 5, MIDDLE, Dead("search_busy_attempts_spent"), id="attempts spent"),
        pytest.param(BUSY, 6, MIDDLE, Dead("search_busy_attempts_spent"), id="attempts_max was lowered meanwhile"),
        pytest.param(BUSY, 2, 0.0, Again(NOW + 8_000), id="least jitter"),
        pytest.param(BUSY, 2, 0.75, Again(NOW + 11_000), id="some jitter"),
        pytest.param(replace(BUSY, after_s=30), 1, 0.0, Again(NOW + 30_000), id="Retry-After, never earlier"),
        pytest.param(replace(BUSY, after_s=30), 1, MIDDLE, Again(NOW + 33_000), id="Retry-After, not all at once"),
        pytest.param(replace(BUSY, after_s=30), 3, MIDDLE, Again(NOW + 60_000), id="Retry-After, shorter than planned"),
        pytest.param(replace(BUSY, after_s=0), 1, MIDDLE, Again(NOW + 2_000), id="Retry-After of nothing"),
        pytest.param(
            replace(BUSY, after_s=86400), 1, MIDDLE, Again(NOW + 600_000), id="Retry-After beyond the longest"
        ),
    ],
)
def test_an_outcome_leads_to_its_decision(outcome: Outcome, attempt: int, dice: float, decision: Decision) -> None:
    """Done is done, refused is dead, and a passing fault comes back by the schedule until the attempts are spent."""
    assert decision == retry.decide(outcome, attempt, NOW, SCHEDULE, dice)


def test_the_longest_delay_bounds_the_schedule_too() -> None:
    """An operator who shortens the longest delay need not rewrite the schedule, and jitter does not pass it."""
    schedule = replace(SCHEDULE, delay_s_max=50)

    assert retry.decide(BUSY, 3, NOW, schedule, 0.999) == Again(NOW + 50_000)


durations = st.floats(0, 1e6)
schedules = st.builds(
    Schedule,
    delays_s=st.lists(durations, min_size=1, max_size=8),
    attempts_max=st.integers(1, 20),
    delay_s_max=st.floats(0.001, 1e6),
    jitter_share=st.floats(0, 1),
)
dice_throws = st.floats(0, 1, exclude_max=True)


@settings(deadline=None)
@given(schedules, st.integers(1, 30), st.none() | st.floats(0, 1e12), dice_throws)
def test_a_passing_fault_is_tried_again_within_its_bounds_or_is_dead(
    schedule: Schedule, attempt: int, after_s: float | None, dice: float
) -> None:
    """For any schedule: never beyond the longest delay, never before Retry-After, never outside the jitter."""
    decision = retry.decide(TryAgain("busy", after_s=after_s), attempt, NOW, schedule, dice)

    if attempt >= schedule.attempts_max:
        assert decision == Dead("busy_attempts_spent")
        return
    assert isinstance(decision, Again)
    waits_ms, longest_ms = decision.due_at - NOW, 1000 * schedule.delay_s_max
    planned_ms = 1000 * schedule.delays_s[min(attempt, len(schedule.delays_s)) - 1]
    spread_ms = planned_ms * schedule.jitter_share
    asked_ms = 1000 * (after_s or 0)
    assert waits_ms <= longest_ms
    assert waits_ms >= min(asked_ms, planned_ms - spread_ms, longest_ms) - 1
    assert waits_ms >= min(max(asked_ms, planned_ms - spread_ms), longest_ms) - 1
    assert waits_ms <= max(asked_ms * (1 + schedule.jitter_share), planned_ms + spread_ms) + 1


@settings(deadline=None)
@given(schedules, st.floats(0, 0.98))
def test_the_dice_spread_what_would_otherwise_come_back_together(schedule: Schedule, dice: float) -> None:
    """A later throw never comes back earlier, so that the whole width of the jitter is used."""
    schedule = replace(schedule, attempts_max=2)

    early, late = (retry.decide(BUSY, 1, NOW, schedule, throw) for throw in (dice, dice + 0.01))

    assert isinstance(early, Again)
    assert isinstance(late, Again)
    assert early.due_at <= late.due_at
