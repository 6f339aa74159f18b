"""What the page says, from rows alone: health, the picture, an event's trip, masked bodies, times."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersync.console import picture, times
from tiersync.console.masking import MASK, masked
from tiersync.console.reasons import REASONS, why
from tiersync.console.session import Brake
from tiersync.console.story import Follows, Mark, follows, outcome, timeline
from tiersync.console.words import Calls, Level, health
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus
from tiersync.store import OrgState
from tiersync.store.looking import Minute, Standing, Trip, Trouble, UnwellJob, Waiting

NOW = 1_795_328_000_000  # 2026-11-22 06:13:20 UTC
MIN = 60_000
EXAMPLES = Path(__file__).parents[1] / "journey" / "examples"
QUIET = Standing(newest_at=NOW, pending=0, oldest_at=None, groups=0, secondaries=0, more=False, waiting=(), trouble=())
OPEN = Calls(org=50_614, held_s=0, per_minute_max=0, concurrent_max=64, reconcile_per_minute_max=120)


def standing(**given: Any) -> Standing:
    """How things stand; what is not named is quiet."""
    return Standing(**{**{name: getattr(QUIET, name) for name in Standing.__dataclass_fields__}, **given})


SENTENCES: dict[str, tuple[Standing, Level, str]] = {
    "nothing to do": (QUIET, Level.WELL, "Every tier change that came has reached its secondaries."),
    "nothing ever came": (
        standing(newest_at=None),
        Level.WELL,
        "No event has come yet: see that the webhook is registered and switched on.",
    ),
    "work in hand": (
        standing(pending=1, oldest_at=NOW - 2000, groups=1, secondaries=1),
        Level.BUSY,
        "1 secondary of 1 group is being worked on.",
    ),
    "behind, and why": (
        standing(
            pending=2, oldest_at=NOW - 4 * MIN, groups=2, secondaries=3,
            waiting=[Waiting(50_614, "rate_limited", 429, 3, NOW - 4 * MIN)],
        ),
        Level.BEHIND,
        "3 secondaries of 2 groups are behind, oldest 4 min; Capillary answers 429 since 06:09 UTC.",
    ),
    "behind before the members are known": (
        standing(pending=1, oldest_at=NOW - 3 * 60 * MIN, groups=1),
        Level.BEHIND,
        "1 group is behind, oldest 3 h.",
    ),
    "more than are counted": (
        standing(pending=9, oldest_at=NOW - 2 * MIN, groups=5000, secondaries=20_000, more=True),
        Level.BEHIND,
        "At least 20,000 secondaries of 5,000 groups are behind, oldest 2 min.",
    ),
    "dead only": (
        standing(trouble=[Trouble(1, "dead", "customer_barred", 10, NOW), Trouble(2, "dead", "refused", 2, NOW)]),
        Level.TROUBLE,
        "12 events are dead; nothing else is waiting.",
    ),
    "an event without a key": (standing(pending=1, oldest_at=NOW), Level.BUSY, "1 event is being worked on."),
}  # fmt: skip


@pytest.mark.parametrize(("now", "level", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_health_is_one_sentence(now: Standing, level: Level, sentence: str) -> None:
    """How things stand is said in one sentence, and in one word that has a colour."""
    said = health(now, [], [OPEN], [], NOW)

    assert (level, sentence) == (said.level, said.sentence)


def test_the_most_frequent_trouble_stands_first_and_says_what_to_press() -> None:
    """Each reason of trouble is one finding over all orgs, with what to do, and buttons for exactly those events."""
    trouble = [
        Trouble(1, "dead", "refused", 3, NOW - MIN),
        Trouble(1, "dead", "customer_barred", 2, NOW - 60 * MIN),
        Trouble(2, "dead", "customer_barred", 2, NOW - 4 * MIN),
    ]

    first, second = health(standing(trouble=trouble), [], [OPEN], [], NOW).findings

    assert "4 events dead: the customer's status forbids adjustments; the newest came 4 min ago" == first.what
    assert "settle the fraud case, then replay" == first.do
    assert [
        "/console/events?status=dead&reason=customer_barred",
        "/console/replay?status=dead&reason=customer_barred",
    ] == [press.href for press in first.press]
    assert second.what.startswith("3 events dead")


def test_a_held_org_is_said() -> None:
    """While Capillary said later the finding names the org and for how long no call goes out."""
    held = Calls(org=50_614, held_s=12.7, per_minute_max=600, concurrent_max=64, reconcile_per_minute_max=120)

    said = health(QUIET, [], [held], [], NOW)

    assert Level.BEHIND == said.level
    assert ["Capillary said later: no call of org 50614 goes out for 12 s"] == [found.what for found in said.findings]


def test_a_pause_and_an_open_breaker_are_said() -> None:
    """Who paused an org, when and why, with the button that ends it; and since when and why its Capillary is away."""
    paused = OrgState(50_614, paused_at=NOW - 4 * MIN, paused_by="Ann", pause_reason="fraud case")
    away = OrgState(7, breaker="open", breaker_at=NOW - MIN, breaker_until=NOW + 9000, breaker_reason="no_answer")

    said = health(QUIET, [paused, away], [OPEN], [], NOW)

    assert said.sentence.startswith(
        "Org 50614 is paused since 06:09 UTC; Capillary is away for org 7, tried last at 06:12 UTC; "
    )
    assert [
        ("Ann paused org 50614 4 min ago: fraud case", ["/console/orgs/50614/resume"]),
        (
            "The breaker of org 7 is open: Capillary gives no answer in time",
            ["/console/events?status=pending&org=7"],
        ),
    ] == [(finding.what, [press.href for press in finding.press]) for finding in said.findings]
    assert (
        "look at network, address and TIERSYNC_CALL_S_MAX; one call probes in 9 s, and it closes by itself; nothing is "
        "lost meanwhile"
    ) == said.findings[1].do


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("not_authenticated", "correct the credentials"),
        ("server_error", "wait until Capillary is well"),
        (None, "wait"),
    ],
)
def test_an_open_breaker_says_what_mends_it(reason: str | None, remedy: str) -> None:
    """What to do about an outage is what its reason says, and never to replay: nothing has died of it."""
    away = OrgState(7, breaker="open", breaker_at=NOW, breaker_until=NOW, breaker_reason=reason)

    [finding] = health(QUIET, [away], [OPEN], [], NOW).findings

    assert finding.do.startswith(remedy)
    assert "replay" not in finding.do


def test_what_holds_everything_up_stands_before_what_is_dead() -> None:
    """An outage of this night comes before dead letters of last week, in the sentence and among the findings."""
    away = OrgState(7, breaker="open", breaker_at=NOW, breaker_reason="server_error")
    dead = standing(trouble=[Trouble(7, "dead", "customer_barred", 9, NOW)])

    said = health(dead, [away], [OPEN], [], NOW)

    assert (
        "Capillary is away for org 7, tried last at 06:13 UTC; 9 events are dead; nothing else is waiting."
        == said.sentence
    )
    assert Level.TROUBLE == said.level
    assert ["The breaker of org 7", "9 events dead"] == [
        finding.what.partition(" is open")[0].partition(":")[0] for finding in said.findings
    ]


def test_what_began_on_another_day_has_its_date() -> None:
    """A pause that was forgotten does not look like one of this morning."""
    forgotten = OrgState(7, paused_at=NOW - 3 * 86_400_000, paused_by="Ann")

    said = health(QUIET, [forgotten], [OPEN], [], NOW)

    assert said.sentence.startswith("Org 7 is paused since 19 Nov 06:13 UTC; ")


def test_jobs_that_ended_not_well_are_said() -> None:
    """A job that failed says of what, and a reconcile how much it could not read; both lead to their view."""
    failed = UnwellJob(3, "replay", failed=True, detail="a bug: KeyError", unread=0)
    unread = UnwellJob(5, "reconcile", failed=False, detail=None, unread=2)

    said = health(QUIET, [], [OPEN], [failed, unread], NOW)

    assert Level.BEHIND == said.level
    assert [
        ("Replay 3 failed: a bug: KeyError", "/console/jobs/3"),
        ("Reconcile 5 could not read 2 secondaries or groups", "/console/jobs/5"),
    ] == [(finding.what, finding.press[0].href) for finding in said.findings]


def test_the_picture_is_to_scale() -> None:
    """A bar stands in its minute, the peak is as high as the picture, and one of a thousand is still seen."""
    minutes = [Minute(), Minute(received=1000), Minute(received=1, dead=1), Minute(received=500)]

    drawn = picture.draw(minutes, NOW)

    received, adjusted, _, dead = drawn.rows
    assert [(11, picture.HEIGHT), (21, 2), (31, picture.HEIGHT / 2)] == [(bar.x, bar.height) for bar in received.bars]
    assert {float(picture.HEIGHT)} == {bar.y + bar.height for row in drawn.rows for bar in row.bars}
    assert (1501, 0, 1) == (received.total, adjusted.total, dead.total)
    assert "1,501 events received in the last hour, at most 1,000 in a minute, at 06:14 UTC" == received.said
    assert "0 adjustments made in the last hour" == adjusted.said


@given(st.lists(st.integers(0, 10**9), min_size=60, max_size=60))
def test_the_picture_keeps_within_its_frame(counts: list[int]) -> None:
    """Whatever is counted, no bar leaves the picture and none overlaps another."""
    drawn = picture.draw([Minute(received=count) for count in counts], NOW)

    bars = drawn.rows[0].bars
    assert all(0 <= bar.y <= bar.y + bar.height <= picture.HEIGHT + 0.05 and bar.x + 8 <= drawn.width for bar in bars)
    assert sum(count > 0 for count in counts) == len({bar.x for bar in bars})


def event(**given: Any) -> dict[str, Any]:
    """An event's row as it is shown."""
    usual = {"status": EventStatus.PENDING, "reason": None, "detail": None, "duplicates": 0, "received_at": NOW}
    return {**usual, "finished_at": None, "adjustment_counts": {}, **given}


def call(member: int, status: str, **given: Any) -> dict[str, Any]:
    """An adjustment's row as it is shown."""
    usual = {"member": member, "status": status, "outcome": None, "reason": None, "code": None, "attempts": 1}
    return {**usual, "last_at": NOW + member, "due_at": None, **given}


def test_a_trip_is_told_in_order() -> None:
    """Received, planned, each call, the end: in the order in which it happened, each with how it went."""
    calls = [call(2, "dead", code=3045, reason="customer_barred"), call(1, "done", outcome="applied", attempts=3)]
    row = event(
        status=EventStatus.DEAD, reason="customer_barred", finished_at=NOW + 9, duplicates=2,
        adjustment_counts={"done": 1, "dead": 1},
    )  # fmt: skip

    steps = timeline(row, Trip(NOW + 1, NOW + 1, NOW + 2, None, 4), calls)

    assert [
        (Mark.GOOD, "Received", "stored on disk before the answer; came 2 more times"),
        (Mark.GOOD, "Planned", "2 secondaries to look after"),
        (Mark.GOOD, "Secondary 1", "adjusted after 3 attempts"),
        (Mark.BAD, "Secondary 2", "adjustments are not allowed for this customer, by its status"),
        (Mark.BAD, "Dead", "the customer's status forbids adjustments"),
    ] == [(step.mark, step.what, step.detail) for step in steps]


@pytest.mark.parametrize("next_at", [None, NOW + 3])
def test_a_trip_that_waits_says_what_it_waits_for(next_at: int | None) -> None:
    """While no call goes out for its org, the last step of an unfinished event says so, and why."""
    held = ["Capillary is away for org 7 since 06:13 UTC"]

    last = timeline(event(), Trip(None, None, None, next_at, 0), [], held)[-1]

    assert (Mark.WAITING, next_at) == (last.mark, last.at)
    assert "no call goes out: Capillary is away for org 7 since 06:13 UTC" == last.detail


def test_a_large_trip_is_told_in_short() -> None:
    """The calls of a group of thousands are two steps, with what they came to."""
    row = event(adjustment_counts={"done": 29_999, "due": 1})

    steps = timeline(row, Trip(NOW, NOW + 1, NOW + 2, NOW + 3, 30_010), [call(1, "done")])

    assert ["Received", "Planned", "First call", "Last call", "Next try"] == [step.what for step in steps]
    assert "30,010 attempts: 29,999 done, 1 due" == steps[3].detail
    assert (Mark.WAITING, NOW + 3) == (steps[4].mark, steps[4].at)


@pytest.mark.parametrize("status", EventStatus)
def test_every_end_of_a_trip_has_a_name(status: EventStatus) -> None:
    """Whatever became of an event, the last step says so."""
    last = timeline(event(status=status, finished_at=NOW), Trip(None, None, None, None, 0), [])[-1]

    assert last.what in {"Waiting", "Done", "Dead", "Quarantined", "Superseded", "Ignored"}


@pytest.mark.parametrize("status", AdjustmentStatus)
def test_every_adjustment_is_put_in_words(status: AdjustmentStatus) -> None:
    """Whatever became of an adjustment, it is said in words, and where its secondary stands is known."""
    assert outcome(call(1, status))
    assert follows(call(1, status)) in Follows


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_masking_hides_persons_and_keeps_the_event(path: Path) -> None:
    """Of every example body the ids and tiers stay readable, and no value of a personal field is left."""
    body = path.read_bytes()

    shown = masked(body)

    assert json.loads(body)["eventName"] in shown
    personal = re.findall(
        rb'"(?:mobile|email|firstName|lastName|externalId\d?|username|groupName)": "([^"]{2,})"', body
    )
    assert [] == [value for value in personal if value.decode() in shown]


@given(st.text(min_size=12, alphabet="abcdefghij0123456789@."))
def test_what_is_not_known_is_masked(secret: str) -> None:
    """A field that nobody has heard of hides its value, however deep it stands, and so does a value used as a name."""
    body = {"data": [{"somethingNew": secret, "deeper": {"token": secret}}], f"{secret} ": 1, "mobile": int("9" * 12)}

    shown = masked(json.dumps(body).encode())

    assert secret not in shown
    assert "999999999999" not in shown


@pytest.mark.parametrize(
    "body", [b'{"mobile": "9198', b"\xff\xfe9198", b"[" * 100_000, b""], ids=["cut", "binary", "deep", "empty"]
)
def test_what_cannot_be_read_is_masked_as_a_whole(body: bytes) -> None:
    """Of a body that is not JSON nothing is shown but its length."""
    shown = masked(body)

    assert shown.startswith(MASK)
    assert "9198" not in shown


def test_a_reason_that_outlasted_its_attempts_is_explained() -> None:
    """A passing fault that became final is explained as the fault, and that every attempt was spent."""
    assert "Capillary gives no answer in time; every attempt was spent" == why("no_answer_attempts_spent").what
    assert "something new" == why("something_new").what


@pytest.mark.parametrize(
    ("at", "said"),
    [(NOW, "06:13:20"), (NOW - 86_400_000, "21 Nov 06:13"), (NOW - 400 * 86_400_000, "18 Oct 2025 06:13")],
)
def test_a_time_is_as_short_as_it_can_be(at: int, said: str) -> None:
    """Today's times have no date, this year's no year."""
    assert said == times.clock(at, NOW)


@pytest.mark.parametrize(
    ("at", "said"),
    [(NOW, "0 s ago"), (NOW - 59_999, "59 s ago"), (NOW - 90 * MIN, "1 h ago"), (NOW + 30_000, "in 30 s")],
)
def test_an_age_has_one_unit(at: int, said: str) -> None:
    """An age is said in its largest unit, and what is to come is said to come."""
    assert said == times.ago(at, NOW)


def test_the_brake_lets_go_and_holds_nobody_else() -> None:
    """After the wait an address may try again; another address was never held."""
    clock = [100.0]
    brake = Brake(2, 30, lambda: clock[0])
    for _ in range(2):
        brake.failed("a")

    held, other = brake.wait_s("a"), brake.wait_s("b")
    clock[0] += 30

    assert (30, 0, 0) == (held, other, brake.wait_s("a"))


def test_reasons_have_words_without_an_end() -> None:
    """Reasons are put into sentences by the views, so none of them ends one."""
    assert all(not text.endswith(".") for known in REASONS.values() for text in (known.what, known.do))
