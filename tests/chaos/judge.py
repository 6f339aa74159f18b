"""What must be true after whatever happened."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from datetime import datetime

from tests.chaos.kit import City
from tests.journey.kit import Json


async def wrongs(here: City, may_be_touched: Collection[int], calls_max: int, minute_s: float) -> list[str]:
    """Name every promise that was not kept; waits for the last releases, which follow the last event closely."""
    wrong = []

    async def at_rest() -> bool:
        return not any((await here.unfinished()).values())

    try:
        await here.town.until(at_rest)
    except AssertionError:
        wrong.append(f"not finished: {await here.unfinished()}")
    if lost := await here.lost():
        wrong.append(f"answered and lost: {sorted(lost)}")
    if differing := await here.differing():
        wrong.append(f"not in the primary's tier: {differing}")
    if others := await here.town.touched() - set(may_be_touched):
        wrong.append(f"touched, and not an active secondary: {sorted(others)}")
    if (most := busiest(await here.town.calls(), minute_s)) > calls_max:
        wrong.append(f"{most} calls within {minute_s:g} s, {calls_max} are allowed")
    if here.fence is not None:
        wrong += here.fence.wrong
    return wrong


def busiest(calls: Sequence[Json], seconds: float) -> int:
    """Count the calls of the window of so many seconds that has most of them."""
    times = sorted(datetime.fromisoformat(call["at"]).timestamp() for call in calls)
    return max((bisect_left(times, begin + seconds) - number for number, begin in enumerate(times)), default=0)
