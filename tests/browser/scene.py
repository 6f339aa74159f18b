"""A scene with something of everything: what the pictures show, and the browser tests look at."""

from dataclasses import dataclass

from tests.journey.kit import ORG, Family, Town

BARRED = 3045


@dataclass(frozen=True, slots=True)
class Scene:
    """The families, by what happens to them."""

    well: Family
    barred: Family
    waiting: Family
    dead_event: str


async def play(town: Town, families: int = 3) -> Scene:
    """Let families follow their primaries, one member be refused for good, and bodies come that are none of ours."""
    many = [town.newcomers() for _ in range(families)]
    waiting = town.newcomers(secondaries=2)
    await town.seed(*(one.seed("Silver") for one in (*many, waiting)))
    for number, one in enumerate(many):
        await town.decide(one.primary, ("Gold", "Diamond")[number % 2])
    barred, dead_event = await fall(town)
    await town.deliver(b'{"eventName": "tierUpgraded", "data": ')
    await town.deliver({"eventName": "pointsIssued", "eventId": "points-1", "orgId": ORG, "createdAt": 1, "data": {}})
    await town.quiet()
    return Scene(many[0], barred, waiting, dead_event)


async def fall(town: Town) -> tuple[Family, str]:
    """Have Capillary refuse a member of a new family for good; return the family and the id of its dead event."""
    barred = town.newcomers()
    await town.seed(barred.seed("Silver"))
    await town.switch(adjust={"refuse": {str(barred.secondaries[0]): BARRED}})
    [event_id] = await town.decide(barred.primary, "Gold")
    await town.quiet()
    return barred, event_id


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
