"""A replica is frozen at a named point of its work and goes on after its keys were taken over: its fence holds.

The short form freezes it at three points, `TIERSYNC_CHAOS=long` at every one.
"""

import signal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.chaos.judge import wrongs
from tests.chaos.kit import LONG, QUIET_S_MAX, city_with_lines
from tests.chaos.progress import Progress
from tests.postgres import Postgres

FAMILIES: Final = 4
CALLS_MAX: Final = 200
MINUTE_S: Final = 2.0
POINTS: Final = (
    ("before call", 2),
    ("after call", 9),
    ("before release", 1),
    ("before plan", 1),
    ("before settle", 1),
    *((f"{when} commit: {verb}", 1) for when in ("before", "after") for verb in ("claim", "plan", "settle", "release")),
)
SETTINGS: Final[dict[str, Any]] = {
    "call_s_max": 0.75, "connect_s_max": 0.75, "attempt_s_max": 1, "lease_s": 2, "calls_per_minute_max": CALLS_MAX,
    "database_statement_s_max": 1, "settle_batch_max": 2,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800 if LONG else 300)
async def test_who_was_frozen_adjusts_nobody_when_it_wakes(tmp_path: Path, own_postgres: Postgres) -> None:
    """While it is frozen another finishes its work; awake, it makes no call for keys it holds no longer, and serves."""
    async with city_with_lines(tmp_path, own_postgres, replicas=2, **SETTINGS) as here:
        frozen, other = here.replicas
        assert here.sender is not None
        assert here.fence is not None
        here.fence.strict = True
        points = POINTS if LONG else POINTS[:3]
        frozen_at = Progress("frozen replicas", len(points))
        for point in points:
            await here.town.clear()
            families = [here.town.newcomers() for _ in range(FAMILIES)]
            await here.town.seed(*(people.seed("Silver") for people in families))
            await here.town.switch(adjust={"latency": {"ms": 20}})
            await frozen.begin(stop=list(point), minute_s=MINUTE_S)
            try:
                for people in families:
                    await here.town.decide(people.primary, "Gold")
                await here.town.until(frozen.stopped)
                await other.begin(minute_s=MINUTE_S)
                here.sender.lead(("127.0.0.1", other.port))
                await here.town.quiet(QUIET_S_MAX)
                taken_over = await here.differing()
                frozen.send(signal.SIGCONT)
                here.sender.lead(("127.0.0.1", frozen.port), ("127.0.0.1", other.port))
                await here.town.decide(families[0].primary, "Diamond")
                await here.town.quiet(QUIET_S_MAX)
                followers = {member for people in families for member in people.secondaries}

                assert [] == taken_over
                assert [] == await wrongs(here, followers, CALLS_MAX, MINUTE_S)
                assert 0 == await frozen.end()
            except BaseException as error:
                error.add_note(f"frozen at {point}\n{here.tail()}")
                raise
            finally:
                await here.end(signal.SIGKILL)
            frozen_at.one_more()
