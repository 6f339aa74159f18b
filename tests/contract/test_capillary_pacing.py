"""What becomes of calls that fail, hang or come too often: the short burst, the doubt, the gate."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from tests.contract.capillary_kit import APPLIED, NEVER, Clock, Line, again, line
from tiersync.capillary import Limits, NotTried
from tiersync.fanout import Move
from tiersync.retry import Applied, TryAgain
from tiersync.store import Store


async def adjust(to: Line, until: float | None = None) -> object:
    """Raise customer 2 to Gold."""
    return await to.capillary.adjust(2, 973, Move.UPGRADE, "Gold", None, "why", until or to.until)


SOON = [(461, "search_busy"), (521, "customer_locked"), (4001, "authorisation_down")]


@pytest.mark.parametrize(("code", "reason"), SOON)
async def test_a_fault_of_the_moment_is_tried_again_a_few_times_at_once(code: int, reason: str) -> None:
    """The burst is short and bounded; what is left over goes to the long schedule."""
    async with line() as to:
        route = to.answer(503, json={"errors": [{"code": code, "message": "busy"}]})
        result = await adjust(to)

    assert result == TryAgain(reason, code, "busy")
    assert route.call_count == 3
    assert len(to.clock.slept) == 2
    assert sum(to.clock.slept) <= 2


async def test_a_burst_ends_with_the_first_success() -> None:
    """Nobody waits an hour for a lock that is held for a second."""
    async with line() as to:
        route = to.router.route()
        route.side_effect = [httpx.Response(521, json={}), httpx.Response(200, json=APPLIED)]
        result = await adjust(to)

    assert result == Applied("Gold")
    assert to.observed == [("adjust", "customer_locked"), ("adjust", "ok")]


async def test_a_burst_ends_with_the_attempts_time() -> None:
    """However many tries are allowed, an attempt has its limit."""
    async with line(limits=Limits(call_s_max=1, attempt_s_max=2, burst_tries_max=1000, breaks=NEVER)) as to:
        began = to.clock.now
        to.answer(521, json={})
        result = await adjust(to)

    assert again(result).reason == "customer_locked"
    assert to.clock.now - began <= 2 + 1  # the last wait may pass the end, the next call may not


NEVER_LEFT, IN_DOUBT = TryAgain("not_connected"), TryAgain("no_answer", in_doubt=True)


@pytest.mark.parametrize(
    ("error", "expected", "changes"),
    [
        (httpx.ConnectError, NEVER_LEFT, 3),
        (httpx.ConnectTimeout, NEVER_LEFT, 3),
        (httpx.PoolTimeout, NEVER_LEFT, 3),
        (httpx.ReadTimeout, IN_DOUBT, 1),
        (httpx.WriteError, IN_DOUBT, 1),
        (httpx.ReadError, IN_DOUBT, 1),
        (httpx.RemoteProtocolError, IN_DOUBT, 1),
        (httpx.DecodingError, IN_DOUBT, 1),
    ],
)
async def test_a_lost_call_is_in_doubt_unless_it_surely_never_left(
    error: type[httpx.RequestError], expected: TryAgain, changes: int
) -> None:
    """What may have had its effect is read back first, by the worker; a reading may always be made again."""
    async with line() as to:
        route = to.router.route()
        route.side_effect = error("lost")
        changed = await adjust(to)
        changes_made = route.call_count
        read = await to.capillary.tier(2, 973, to.until)

    assert (expected, expected) == (replace(again(changed), message=""), replace(again(read), message=""))
    assert (changes, 3) == (changes_made, route.call_count - changes_made)


async def test_a_call_that_hangs_ends_with_its_own_time() -> None:
    """An answer that never comes costs one call's time, not the attempt."""
    async with line(limits=Limits(call_s_max=0.05, attempt_s_max=30, burst_tries_max=1, breaks=NEVER)) as to:

        async def hang(_: httpx.Request) -> httpx.Response:
            await asyncio.sleep(30)
            return httpx.Response(200)

        to.router.route().side_effect = hang
        async with asyncio.timeout(10):
            result = await adjust(to)

    assert result == TryAgain("no_answer", message="no answer within 0.05 s", in_doubt=True)


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({}, 1),
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30),
        ({"Retry-After": "soon"}, 1),
    ],
)
async def test_too_many_calls_close_the_gate_for_everybody(headers: dict[str, str], pause_s: float) -> None:
    """After a 429 no call of any kind leaves until the pause is over; the adjustment goes to the long schedule."""
    async with line(limits=Limits(call_s_max=5, attempt_s_max=100, burst_tries_max=3, breaks=NEVER)) as to:
        route = to.router.route()
        route.side_effect = [
            httpx.Response(429, html="<h1>slow down</h1>", headers=headers),
            httpx.Response(200, json=APPLIED),
        ]
        began = to.clock.now
        first = await adjust(to)
        closed_s, calls = to.capillary.gate.closed_s, route.call_count
        second = await adjust(to)

    asked = pause_s if headers and headers["Retry-After"] != "soon" else None
    assert first == TryAgain("rate_limited", 429, "slow down", after_s=asked)
    assert (calls, closed_s) == (1, pause_s)
    assert second == Applied("Gold")
    assert to.clock.now >= began + pause_s


async def test_a_429_inside_200_closes_the_gate_too() -> None:
    """The body's code goes first here as well."""
    async with line() as to:
        to.answer(json={"errors": [{"code": 429, "message": "limit"}]}, headers={"Retry-After": "7"})
        result = await adjust(to)

    assert result == TryAgain("rate_limited", 429, "limit", after_s=7)
    assert to.capillary.gate.closed_s == 7


async def test_nothing_is_sent_after_the_turns_end() -> None:
    """A call that began after the lease's fence could meet another worker's."""
    async with line() as to:
        route = to.answer(json=APPLIED)
        late = await adjust(to, to.clock.now)
        to.capillary.gate.close_for(60)
        closed = await adjust(to, to.clock.now + 5)

    assert (late, closed) == (NotTried(), NotTried())
    assert route.call_count == 0


async def test_a_failed_call_counts_even_if_the_gate_closes_before_the_next_try() -> None:
    """No attempt would be spent otherwise, and a customer that is always locked would be called for ever."""
    async with line() as to:

        def locked(_: httpx.Request) -> httpx.Response:
            to.capillary.gate.close_for(600)
            return httpx.Response(521, json={})

        to.router.route().side_effect = locked
        result = await adjust(to)

    assert again(result).reason == "customer_locked"


async def test_the_limit_per_minute_holds_for_all_calls_together(store: Store) -> None:
    """Readings and changes count alike."""
    clock = Clock()
    limits = Limits(call_s_max=5, attempt_s_max=100, burst_tries_max=1, breaks=NEVER)
    async with line(clock=clock, per_minute_max=3, budget=store.budget(1, 3, clock.ms), limits=limits) as to:
        times: list[float] = []

        def answer(_: httpx.Request) -> httpx.Response:
            times.append(clock.now)
            return httpx.Response(200, json=APPLIED)

        to.router.route().side_effect = answer
        for _ in range(4):
            await adjust(to)
            await to.capillary.tier(2, 973, to.until)

    assert len(times) == 8
    assert all(later - sooner >= 60 for sooner, later in zip(times, times[3:], strict=False))
