"""The client and its breaker: when Capillary is away no call is made and no attempt is spent."""

from dataclasses import replace

import httpx
import pytest

from tests.contract.capillary_kit import APPLIED, NEVER, Line, line
from tiersync.capillary import Breaks, Limits, NotTried, State
from tiersync.fanout import Move
from tiersync.retry import Applied, TryAgain

BREAKS = Breaks(failures_max=3, pause_s=5, pause_s_max=60, probe_s_max=10)
LIMITS = Limits(call_s_max=5, attempt_s_max=10, burst_tries_max=1, breaks=BREAKS)
HTML = "<html>we will be back</html>"


async def adjusted(to: Line) -> object:
    """Upgrade one customer."""
    return await to.capillary.adjust(876, 973, Move.UPGRADE, "Gold", None, "why", to.until)


@pytest.mark.parametrize(
    "away",
    [httpx.Response(503), httpx.Response(200, html=HTML), httpx.ConnectError("no"), httpx.ReadTimeout("late")],
    ids=["503", "a page", "no connection", "no answer"],
)
async def test_a_run_of_failures_ends_the_calls(away: httpx.Response | Exception) -> None:
    """After so many failures in a row no call is made and no attempt is spent, until a reading finds an answer."""
    async with line(limits=LIMITS) as to:
        route = to.router.route().mock(side_effect=[away] * 4 + [httpx.Response(200, json={"programTiers": []})] * 9)

        tried = [await adjusted(to) for _ in range(3)]
        not_tried = [await adjusted(to), await to.capillary.tier(876, 973, to.until)]
        away_s = to.capillary.away_s
        to.clock.now += 5
        not_tried += [await adjusted(to), await to.capillary.members(876, to.until)]  # the second one probes, in vain
        later_s = to.capillary.away_s
        to.clock.now += 10
        held = await to.capillary.tier(876, 973, to.until)

        assert all(isinstance(result, TryAgain) for result in tried)
        assert [NotTried()] * 4 == not_tried
        assert (5, 10, 0) == (away_s, later_s, to.capillary.away_s)
        assert 5 == route.call_count
        assert not isinstance(held, NotTried)


async def test_refusals_and_rate_limits_do_not_open_it() -> None:
    """Who answers is there: whatever the answer is, and however often."""
    async with line(limits=replace(LIMITS, breaks=replace(BREAKS, failures_max=1))) as to:
        for status, content in ((400, {}), (200, {"errors": [{"code": 3045}]}), (429, {})):
            to.answer(status, json=content)
            await adjusted(to)
            to.clock.now += 100

        assert State.CLOSED is to.capillary.breaker.state


async def test_a_pause_ends_the_calls_at_once() -> None:
    """While the org is paused not one call is made, not even one that waited in the gate."""
    async with line(limits=replace(LIMITS, breaks=NEVER)) as to:
        route = to.answer(json=APPLIED)

        to.capillary.paused = True
        paused = await adjusted(to)
        to.capillary.paused = False
        resumed = await adjusted(to)

        assert (NotTried(), Applied("Gold")) == (paused, resumed)
        assert 1 == route.call_count
