"""A scene with something of everything: what the pictures show, and the browser tests look at."""

import json
from dataclasses import dataclass

from tests.journey.kit import ORG, Family, Town

BARRED = 3045


@dataclass(frozen=True, slots=True)
class Scene:
    """The families, by what happens to them."""

    well: Family
    barred: Family
    waiting: Family
    drifted: Family
    dead_event: str
    dry_run: int
    repair: int


async def play(town: Town, families: int = 3) -> Scene:
    """Let families follow their primaries, one member be refused for good, and bodies come that are none of ours."""
    many = [town.newcomers() for _ in range(families)]
    waiting = town.newcomers(secondaries=2)
    await town.seed(*(one.seed("Silver") for one in (*many, waiting)))
    for number, one in enumerate(many):
        await town.decide(one.primary, ("Gold", "Diamond")[number % 2])
    barred, dead_event = await fall(town)
    drifted = await drift(town)
    await town.deliver(b'{"eventName": "tierUpgraded", "data": ')
    await town.deliver({"eventName": "pointsIssued", "eventId": "points-1", "orgId": ORG, "createdAt": 1, "data": {}})
    await town.quiet()
    repair = await compared(town, "--primary", str((await drift(town)).primary))
    dry_run = await compared(town, "--primary", str(drifted.primary), "--dry-run")
    return Scene(many[0], barred, waiting, drifted, dead_event, dry_run, repair)


async def fall(town: Town) -> tuple[Family, str]:
    """Have Capillary refuse a member of a new family for good; return the family and the id of its dead event."""
    barred = town.newcomers()
    await town.seed(barred.seed("Silver"))
    await town.switch(adjust={"refuse": {str(barred.secondaries[0]): BARRED}})
    [event_id] = await town.decide(barred.primary, "Gold")
    await town.quiet()
    return barred, event_id


async def drift(town: Town) -> Family:
    """Have a secondary of a new family changed by hand in Capillary, and no event tell of it; return the family."""
    people = town.newcomers()
    await town.seed(people.seed("Silver"))
    await town.decide(people.primary, "Gold")
    await town.quiet()
    await town.switch(events={"lost": True})
    await town.decide(people.secondaries[1], "Diamond")
    await town.switch(events={"lost": False})
    return people


async def compared(town: Town, *arguments: str) -> int:
    """Have the server reconcile something, fast; return the job's number when it is over."""
    environment = {"TIERSYNC_ORG": str(ORG)}
    [asked] = json.loads(
        await town.command("reconcile", "--background", "--json", "--rate", "60000", *arguments, **environment)
    )["jobs"]

    async def ended() -> bool:
        jobs = (await town.service.get("/api/jobs")).json()["jobs"]
        return [job["status"] for job in jobs if job["id"] == asked["job"]] == ["done"]

    await town.until(ended)
    return int(asked["job"])


async def forgive(town: Town) -> None:
    """Have Capillary take every adjustment again."""
    await town.switch(adjust={"refuse": {}})


async def stall(town: Town, scene: Scene) -> None:
    """Have Capillary say "too many" to a family's adjustments from now on, and change its tier."""
    await town.switch(adjust={"rate_limited": {"customers": [*scene.waiting.secondaries], "retry_after_s": 30}})
    await town.decide(scene.waiting.primary, "Gold")
    await town.until(lambda: _held(town))


async def _held(town: Town) -> bool:
    return "rate_limited" in (await town.service.get("/metrics")).text
