"""SIGKILL at seeded random times during a burst, again and again: what was answered is stored, and all converge."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.kit import LONG, SEED, city

PRIMARIES: Final = 50
LIVES: Final = 40 if LONG else 6


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_again_and_again_during_a_burst(tmp_path: Path) -> None:
    """Fifty primaries change while the service dies and is started again: each group ends in step, nothing is lost."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    async with city(tmp_path) as here:
        families = [here.town.newcomers(secondaries=3) for _ in range(PRIMARIES)]
        await here.town.seed(*(people.seed("Silver") for people in families))
        await here.town.switch(adjust={"latency": {"ms": 5}, "applied_then_timeout": {"share": 0.05, "hold_ms": 5}})
        delays = [dice.uniform(0.02, 0.4) for _ in range(LIVES)]

        for life, delay in enumerate(delays):
            await here.begin()
            for people in families[life :: max(1, LIVES // 2)]:
                await here.town.decide(people.primary, dice.choice(["Gold", "Diamond"]))
            await asyncio.sleep(delay)
            assert -9 == await here.end(signal.SIGKILL)
        for people in families:
            await here.town.decide(people.primary, dice.choice(["Silver", "Gold", "Diamond"]))
        await here.begin()
        dead = await here.quiet_or_dead()
        await here.end(signal.SIGKILL)

        told = f"seed {SEED}, delays {delays}\n{here.tail()}"
        assert not dead, told
        assert set() == await here.lost(), told
        assert [] == await here.differing(), told
        assert not any((await here.unfinished()).values()), told
        followers = {member for people in families for member in people.secondaries}
        assert await here.town.touched() <= followers, told
