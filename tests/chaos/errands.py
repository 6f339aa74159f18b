"""Work besides tier changes: how the stage is set for it, how it begins, and what must be true in the end.

A stage is set by the verbs of the store while no service runs: events that are dead, old, overtaken or still owe calls;
groups that are elsewhere than their primaries. Then a command or the service does the errand, and is killed.
"""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from tests.chaos.kit import City
from tests.chaos.stage import (
    Errand,
    Stage,
    arrival,
    audit,
    done,
    hand_in,
    membership,
    moved,
    stored,
    tried,
    unlike,
)
from tests.journey.kit import Family, Json
from tiersync import app
from tiersync.fanout import AdjustmentStatus
from tiersync.intake import Arrival

DONE, DEAD, DUE = AdjustmentStatus.DONE, AdjustmentStatus.DEAD, AdjustmentStatus.DUE
DAY_MS: Final = 86_400_000
OLD_MS: Final = 40 * DAY_MS
"""Older than a duplicate may be, younger than what retention takes by itself."""
RATE: Final = 60_000
"""Calls a minute of a reconcile: nobody waits for them here."""


# What is dead is replayed.


async def replay(here: City) -> Stage:
    """Events that could not be read, that were refused, that were overtaken since, and a join."""
    town, now = here.town, app.now()
    unread, half = [town.newcomers(2), town.newcomers(2)], town.newcomers(2)
    overtaken, joined = town.newcomers(2), town.newcomers(2)
    await town.seed(*(people.seed("Silver", "Gold") for people in (*unread, half)))
    await town.seed(overtaken.seed("Diamond"), joined.seed("Gold"))
    await moved(here, {half.secondaries[0]: "Gold", overtaken.secondaries[0]: "Gold", joined.secondaries[0]: "Silver"})
    by = hand_in(here)
    for people in unread:
        await by.received(without_program(town.tier_event(people.primary, 2), now))
    one, other = half.secondaries
    await tried(by, arrival(town.tier_event(half.primary, 2), now), {one: DONE, other: DEAD})
    await tried(by, arrival(town.tier_event(overtaken.primary, 2), now), dict.fromkeys(overtaken.secondaries, DEAD))
    await done(by, arrival(town.tier_event(overtaken.primary, 3), now), overtaken)
    joiner = joined.secondaries[0]
    await tried(by, arrival(membership(joined.primary, joiner, "join"), now), {joiner: DEAD})
    families = [*unread, half, overtaken, joined]
    generations = {people.primary: 1 for people in unread} | {half.primary: 2, overtaken.primary: 3, joined.primary: 0}

    async def wrongs() -> list[str]:
        # Each replay of a tier change is one more generation of its key: so twice would show.
        found = dict(await here.rows("SELECT customer, generation FROM syncs"))
        counted = {primary: found.get(primary) for primary in generations}
        return [*await audit(here, 5, {"due": 4, "converges": 1}), *unlike("generations", generations, counted)]

    return Stage(followers(families), wrongs, command={"verb": "replay", "status": "dead"})


def without_program(body: Json, at: int) -> Arrival:
    """A delivery that names no program, of an org without a default."""
    data = {name: value for name, value in body["data"].items() if not name.startswith("loyaltyProgram")}
    return arrival({**body, "data": data}, at, default_program=None)


def followers(families: Iterable[Family]) -> set[int]:
    """All active secondaries of these."""
    return {member for people in families for member in people.secondaries}


# What is over is purged.


async def purge(here: City) -> Stage:
    """Events that may go, and one of each kind that must not."""
    town, now = here.town, app.now()
    old = now - OLD_MS
    over, retrying, young, late = (town.newcomers(count) for count in (5, 2, 1, 1))
    await town.switch(events={"lost": True})  # an echo is an event too, and would be looked at
    await town.seed(over.seed("Gold"), retrying.seed("Silver", "Gold"), young.seed("Gold"), late.seed("Gold"))

    def change(people: Family, event_id: str, at: int) -> Arrival:
        return arrival(town.tier_event(people.primary, 2, event_id=event_id), at)

    by = hand_in(here)
    for event_id in ("over-1", "over-2", "newest"):
        await done(by, change(over, event_id, old), over)
    await by.received(
        arrival(b"not JSON", old),
        arrival({"eventName": "customerUpdated", "eventId": "ignored"}, old),
        without_program(town.tier_event(over.primary, 2, event_id="dead"), old),
        arrival({"eventName": "customerUpdated", "eventId": "young-ignored"}, now),
    )
    await tried(by, change(retrying, "retrying", old), dict.fromkeys(retrying.secondaries, DUE))
    for event_id in ("young", "young-newest"):
        await done(by, change(young, event_id, now), young)
    # It came long ago, and was tried a moment ago: its echo may come.
    await by.finished(await by.due(change(late, "late", old)), late.secondaries, now)
    await done(by, change(late, "late-newest", old), late)
    kept = {"newest", "retrying", "young-ignored", "young", "young-newest", "late", "late-newest"}
    going = await stored(here) - kept
    needed = "SELECT event_id, count(*) FROM events JOIN adjustments ON event = id GROUP BY event_id"
    owed_by = {name: count for name, count in await here.rows(needed) if name in kept}

    async def wrongs() -> list[str]:
        left = await stored(here)
        return [
            *await audit(here, len(going | kept), {"removed": len(going), "kept": len(kept)}),
            *unlike("needed and gone", set(), kept - left),
            *unlike("over and not gone", set(), going & left),
            *unlike("adjustments", owed_by, {name: n for name, n in await here.rows(needed) if name in kept}),
        ]

    assert {"over-1", "over-2", "ignored", "dead"} < going
    return Stage(set(retrying.secondaries), wrongs, command={"verb": "purge"}, settings={"purge_batch_max": 2})


# Groups are compared.


@dataclass(frozen=True, slots=True)
class Drift:
    """Groups of which some are elsewhere than their primary, and what a reconcile is to find."""

    drifted: Mapping[int, set[int]]
    counts: Mapping[str, int]
    keys: int
    groups: Mapping[int, str]

    @property
    def whom(self) -> set[int]:
        """Who is elsewhere."""
        return set().union(*self.drifted.values())

    async def wrongs(self, here: City) -> list[str]:
        """Compare the report, the events that were written and who was adjusted."""
        ordered = await here.rows("SELECT customer, count(*) FROM events WHERE kind = 'reconcile' GROUP BY customer")
        repairs = await here.rows(
            "SELECT owed.member, owed.status, count(*) FROM adjustments AS owed JOIN events ON events.id = owed.event "
            "WHERE kind = 'reconcile' GROUP BY owed.member, owed.status"
        )
        by = hand_in(here)
        shown = [dict(job.counts) for job in await by.store.jobs(10)]
        return [
            *await audit(here, self.keys, self.counts),
            *unlike("the report", [{**self.counts, "repaired": len(self.whom)}], shown),
            *unlike("events of the reconcile", dict.fromkeys(self.drifted, 1), dict(ordered)),
            *unlike("repairs", {(member, "done", 1) for member in self.whom}, set(repairs)),
        ]


async def drifted(here: City) -> Drift:
    """One group in step, one whose primary was moved, one with a secondary below and one above, one that is gone."""
    town, now = here.town, app.now()
    well, moved_on, torn, gone, left_behind = (town.newcomers(count) for count in (2, 2, 3, 1, 2))
    there = (well, moved_on, torn, left_behind)
    await town.seed(*(people.seed("Gold") for people in there))
    low, high, behind = torn.secondaries[0], torn.secondaries[1], left_behind.secondaries[0]
    await moved(here, {moved_on.primary: "Diamond", low: "Silver", high: "Diamond", behind: "Silver"})
    by = hand_in(here)
    for people in (well, moved_on, torn, gone, left_behind):
        await done(by, arrival(town.tier_event(people.primary, 2), now), people)
    whom = {moved_on.primary: set(moved_on.secondaries), torn.primary: {low, high}, left_behind.primary: {behind}}
    counts = {"in_step": 4, "drifted": 5, "without_group": 1}
    return Drift(whom, counts, 5, {people.primary: people.name for people in there})


async def reconcile(here: City) -> Stage:
    """Everybody is compared because somebody asks for it."""
    drift = await drifted(here)
    return Stage(
        set().union(*drift.drifted.values()), lambda: drift.wrongs(here), command={"verb": "reconcile", "rate": RATE}
    )


async def reconcile_by_schedule(here: City) -> Stage:
    """Everybody is compared because it is time; it is asked for once, whoever of the replicas sees it first."""
    drift = await drifted(here)
    settings = {"reconcile_every_h": 24, "reconcile_calls_per_minute_max": RATE}
    return Stage(drift.whom, lambda: drift.wrongs(here), settings=settings)


async def reconcile_a_group(here: City) -> Stage:
    """One group is compared, by its number."""
    drift = await drifted(here)
    primary, whom = next(iter(drift.drifted.items()))
    state = (await here.town.sandbox.get("/sandbox/state", params={"group": drift.groups[primary]})).json()
    others = set().union(*(members for other, members in drift.drifted.items() if other != primary))
    await moved(here, dict.fromkeys(others, "Gold"))
    alone = replace(drift, drifted={primary: whom}, counts={"drifted": len(whom)}, keys=1)
    command = {"verb": "reconcile", "rate": RATE, "group": state["groups"][0]["id"]}
    return Stage(whom, lambda: alone.wrongs(here), command=command)


# Events are imported.


async def import_lines(here: City) -> Stage:
    """Exported events and bodies as they are: changes of a few primaries, some twice, one too old, and wrong lines."""
    town = here.town
    first, second, third = (town.newcomers(2) for _ in range(3))
    await town.seed(first.seed("Silver", "Gold"), second.seed("Silver", "Diamond"), third.seed("Diamond", "Silver"))
    changes = [
        town.tier_event(first.primary, 3),
        town.tier_event(second.primary, 2),
        town.tier_event(first.primary, 1, "tierDowngraded"),
        town.tier_event(third.primary, 1, "tierDowngraded"),
        town.tier_event(third.primary, 2, created_at=1_600_000_000_000),
        town.tier_event(second.primary, 3),
        town.tier_event(first.primary, 2),
    ]
    others = [{"eventName": "customerUpdated", "eventId": "ignored"}]
    bodies = [json.dumps(body).encode() for body in (*changes, *others)]
    exported = [exported_line(body, app.now() - number) for number, body in enumerate((*bodies[:4], b"not JSON"))]
    lines = [*exported, *bodies[4:], bodies[0], b"{", exported[1], b'{"body": "?"}']
    file = here.folder / "events.jsonl"
    file.write_bytes(b"\n".join(lines))
    expected = Counter(line for line in (*bodies, b"not JSON", bodies[0], bodies[1]))

    async def wrongs() -> list[str]:
        found = await here.rows("SELECT event_id, duplicates, body FROM events WHERE received_at < 9223372036854775807")
        kept = {bytes(body): 1 + duplicates for _, duplicates, body in found if bytes(body) in expected}
        told = Counter(json.loads(file.with_suffix(".counts").read_text()))
        return [
            *unlike("lost of the file", set(), expected.keys() - kept.keys()),
            *unlike("taken too often", {}, {b: n for b, n in kept.items() if not expected[b] <= n <= 2 * expected[b]}),
            *unlike("lines", (len(lines), 2), (told.total(), told["refused"])),
        ]

    command = {"verb": "import", "file": str(file)}
    return Stage(followers((first, second, third)), wrongs, command=command, jobs=0, repeats=True)


def exported_line(body: bytes, at: int) -> bytes:
    """A line as `tiersync export events --bodies` writes it."""
    return json.dumps({"received_at": at, "body": b64encode(body).decode()}).encode()


# Somebody joins, somebody leaves.


async def join(here: City) -> Stage:
    """Somebody below and somebody above join; of the one primary nothing was heard before."""
    town, now = here.town, app.now()
    unheard, known = town.newcomers(2), town.newcomers(2)
    low, high = town.newcomers(0).primary, town.newcomers(0).primary
    await town.seed(unheard.seed("Gold"), known.seed("Gold"), customers=[{"id": low}, {"id": high}])
    await moved(here, {high: "Diamond"})
    by = hand_in(here)
    await done(by, arrival(town.tier_event(known.primary, 2), now), known)

    async def happen() -> None:
        await town.join(unheard, low)
        await town.join(known, high)

    async def wrongs() -> list[str]:
        rows = await here.rows(f"SELECT member, status FROM adjustments WHERE member IN ({low}, {high})")  # noqa: S608 - ours
        return unlike("adjustments of who joined", [(low, "done"), (high, "done")], sorted(map(tuple, rows)))

    return Stage({low, high}, wrongs, happen, jobs=0)


async def leave(here: City) -> Stage:
    """Somebody leaves whose adjustment is tried in vain: it is dropped, and not tried any more."""
    town = here.town
    people = town.newcomers(3)
    leaver = people.secondaries[0]
    await town.seed(people.seed("Silver"), customers=[{"id": leaver, "externalId": "leaver"}])
    await town.switch(adjust={"server_error": {"customers": [leaver]}})

    async def was_called() -> bool:
        return leaver in await town.touched()

    async def happen() -> None:
        await town.decide(people.primary, "Gold")
        await town.until(was_called)
        await town.leave(people, "leaver")

    async def wrongs() -> list[str]:
        calls = await town.calls()
        left = next(call["sequence"] for call in calls if call["path"].endswith("/leave"))
        read = [call["sequence"] for call in calls if call["family"] == "groups" and call["method"] == "GET"]
        seen = min((number for number in read if number > left), default=left)
        tries = [call["sequence"] for call in calls if (call["customer"], call["family"]) == (leaver, "adjust")]
        rows = await here.rows(f"SELECT status, reason FROM adjustments WHERE member = {leaver}")  # noqa: S608 - ours
        return [
            *unlike("calls for who had left", [], [number for number in tries if number > seen]),
            *unlike("adjustments of who had left", [("skipped", "left")], [tuple(row) for row in rows]),
        ]

    return Stage(set(people.secondaries), wrongs, happen, jobs=0)


_JOB: Final = frozenset({"begin_job", "claim_job", "advance_job", "end_job"})
_STEP: Final = frozenset({"before step"})
_READING: Final = frozenset({"before reading", "after reading"})
_MEMBERSHIP: Final = frozenset({"receive", "claim", "settle", "release"})
ERRANDS: Final[Mapping[str, Errand]] = {
    "replay": Errand(replay, _JOB, _STEP),
    "purge": Errand(purge, _JOB, _STEP),
    "reconcile": Errand(reconcile, _JOB, _READING),
    "reconcile by schedule": Errand(reconcile_by_schedule, _JOB, _READING, by=("service",)),
    "reconcile a group": Errand(reconcile_a_group, _JOB, _READING, by=("command",)),
    "import": Errand(import_lines, frozenset({"receive"}), by=("command",)),
    "join": Errand(join, _MEMBERSHIP, by=("service",)),
    "leave": Errand(leave, _MEMBERSHIP, by=("service",)),
}
