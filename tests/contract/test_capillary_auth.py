"""Tokens: fetched once, for as long as they last, by one caller for all; and never shown."""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from tests.contract.capillary_kit import APPLIED, NEVER, URL, Clock, Line, again, line, transport
from tiersync.capillary import Limits, OAuth
from tiersync.fanout import Move
from tiersync.retry import Applied, TryAgain

TOKEN = f"{URL}/v3/oauth/token/generate"
SECRET = "do-not-show-me"
HEADER = "x-cap-api-oauth-token"


class Capillary:
    """A far end that gives out numbered tokens and takes only the newest."""

    def __init__(self, ttl_s: object = 300) -> None:
        """Each token lives for `ttl_s`."""
        self.router, self.clock = respx.MockRouter(assert_all_called=False), Clock()
        self.numbers, self.valid, self.ttl_s = itertools.count(1), "", ttl_s
        self.used: list[str] = []
        self.asked = asyncio.Event()
        self.exchanges = self.router.post(TOKEN)
        self.exchanges.side_effect = self.exchange
        self.calls = self.router.route()
        self.calls.side_effect = self.take
        self.auth = OAuth(
            transport=transport(self.router), url=URL, key="the-key", secret=SECRET, timeout_s=60, now=self.clock
        )

    async def exchange(self, _: httpx.Request) -> httpx.Response:
        """Give out a token, after a moment in which others may ask too."""
        self.asked.set()
        await asyncio.sleep(0.01)
        self.valid = f"token-{next(self.numbers)}"
        return httpx.Response(200, json={"data": {"accessToken": self.valid, "ttlSeconds": self.ttl_s}, "errors": None})

    async def take(self, request: httpx.Request) -> httpx.Response:
        """Take a call that carries the valid token."""
        self.used.append(request.headers[HEADER])
        await asyncio.sleep(0)
        return httpx.Response(200, json=APPLIED) if request.headers[HEADER] == self.valid else httpx.Response(401)

    async def adjust(self, calls: int = 1) -> list[object]:
        """Make so many calls at the same time."""
        async with line(router=self.router, auth=self.auth, clock=self.clock) as to:
            return [*await asyncio.gather(*(adjust(to) for _ in range(calls)))]


async def adjust(to: Line) -> object:
    """Raise customer 2 to Gold."""
    return await to.capillary.adjust(2, 973, Move.UPGRADE, "Gold", None, "why", to.until)


async def test_key_and_secret_are_exchanged_for_a_token_that_every_call_carries() -> None:
    """One exchange in the documented form, without credentials of its own, and the token in the documented header."""
    far = Capillary()

    results = [await far.adjust(), await far.adjust()]

    request = far.exchanges.calls.last.request
    assert results == [[Applied("Gold")], [Applied("Gold")]]
    assert json.loads(request.content) == {"key": "the-key", "secret": SECRET}
    assert "authorization" not in request.headers
    assert HEADER not in request.headers
    assert far.exchanges.call_count == 1
    assert far.used == ["token-1", "token-1"]


@pytest.mark.parametrize(("seconds", "exchanges"), [(0, 1), (269, 1), (271, 2), (10_000, 2)])
async def test_a_token_is_replaced_shortly_before_it_ends(seconds: float, exchanges: int) -> None:
    """The life is what `ttlSeconds` says, and a token that is about to end is not sent any more."""
    far = Capillary(ttl_s=300)

    await far.adjust()
    far.clock.now += seconds
    await far.adjust()

    assert exchanges == far.exchanges.call_count


async def test_fifty_calls_at_once_fetch_one_token() -> None:
    """A start under load must not be a burst of exchanges."""
    far = Capillary()

    results = await far.adjust(50)

    assert results == [Applied("Gold")] * 50
    assert far.exchanges.call_count == 1


async def test_a_rejected_token_is_replaced_once_for_all_who_hold_it() -> None:
    """A token that was revoked costs one exchange and nobody's attempt."""
    far = Capillary()
    await far.adjust()
    far.valid = "revoked"

    results = await far.adjust(50)

    assert results == [Applied("Gold")] * 50
    assert far.exchanges.call_count == 2


async def test_a_late_rejection_of_an_old_token_does_not_cost_the_new_one() -> None:
    """Calls come back in any order: what was said of the old token is not said of its successor."""
    far, renewed = Capillary(), asyncio.Event()
    await far.adjust()
    far.valid = "revoked"
    held_up = iter([True])

    async def take(request: httpx.Request) -> httpx.Response:
        answer = await far.take(request)
        if answer.status_code == 401 and next(held_up, False):
            await renewed.wait()
        elif answer.status_code == 200:
            renewed.set()
        return answer

    far.calls.side_effect = take
    async with asyncio.timeout(10):
        results = await far.adjust(2)

    assert results == [Applied("Gold")] * 2
    assert far.exchanges.call_count == 2


async def test_a_call_asks_for_a_fresh_token_only_once() -> None:
    """Where even a fresh token is rejected, the call is over: exchanging for ever would lock the client out."""
    far = Capillary()
    far.calls.side_effect = None
    far.calls.respond(401, json={"errors": [{"code": 401, "message": "no"}]})

    (result,) = await far.adjust()

    assert result == TryAgain("not_authenticated", 401, "no")
    assert (far.exchanges.call_count, far.calls.call_count) == (2, 2)


def refuse(error: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    """Build a far end that cannot be reached."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"{request.content!r}")

    return fail


FAILURES: dict[str, Any] = {
    "refused": httpx.Response(401, json={"errors": [{"code": 401, "message": f"wrong secret {SECRET}"}]}),
    "not allowed": httpx.Response(403, json={"errors": [{"code": 4000, "message": SECRET}]}),
    "down": httpx.Response(503, html=f"<p>{SECRET}</p>"),
    "too often": httpx.Response(429, text=SECRET),
    "failure in 200": httpx.Response(200, json={"data": None, "errors": [{"code": 400, "message": SECRET}]}),
    "no token": httpx.Response(200, json={"data": {"key": SECRET}}),
    "an unsendable token": httpx.Response(200, json={"data": {"accessToken": f"{SECRET}\n", "ttlSeconds": 300}}),
    "a page": httpx.Response(200, html=f"<p>{SECRET}</p>"),
    "redirect": httpx.Response(302, headers={"Location": f"{URL}/{SECRET}"}),
    "unreachable": refuse(httpx.ConnectError),
    "no answer": refuse(httpx.ReadTimeout),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_exchange_ends_every_call_that_waited_for_it(failure: str) -> None:
    """Fifty calls fail together instead of one after the other, nothing is sent without a token, no secret is told."""
    far = Capillary()
    answered: list[httpx.Request] = []

    async def fail(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        answered.append(request)
        outcome = FAILURES[failure]
        return outcome(request) if callable(outcome) else outcome  # type: ignore[no-any-return]

    far.exchanges.side_effect = fail

    results = await far.adjust(50)

    assert {again(result).reason for result in results} == {"no_token"}
    assert not any(again(result).in_doubt for result in results)
    assert len(answered) == 1
    assert far.calls.call_count == 0
    assert SECRET not in repr(results)


async def test_the_next_call_after_a_failed_exchange_tries_anew() -> None:
    """A failure is shared with those who waited, not kept."""
    far = Capillary()
    far.exchanges.side_effect = [httpx.Response(503)]
    failed = await far.adjust()
    far.exchanges.side_effect = far.exchange

    recovered = await far.adjust()

    assert again(failed[0]).reason == "no_token"
    assert recovered == [Applied("Gold")]


@pytest.mark.parametrize("ttl_s", [0, -1])
async def test_a_token_without_a_life_still_serves_its_own_call(ttl_s: float) -> None:
    """An odd `ttlSeconds` costs exchanges, not adjustments."""
    far = Capillary(ttl_s=ttl_s)

    results = [await far.adjust(), await far.adjust()]

    assert results == [[Applied("Gold")], [Applied("Gold")]]
    assert far.exchanges.call_count == 2


async def test_an_exchange_that_hangs_costs_no_more_than_the_attempts_time() -> None:
    """The lease is measured for attempts: a token's time must not come on top; and the next call finds no lock held."""
    far = Capillary()
    hangs = iter([True])

    async def exchange(request: httpx.Request) -> httpx.Response:
        if next(hangs, False):
            await asyncio.sleep(60)
        return await far.exchange(request)

    far.exchanges.side_effect = exchange
    limits = Limits(call_s_max=60, attempt_s_max=0.3, burst_tries_max=1, breaks=NEVER)
    async with asyncio.timeout(20), line(router=far.router, auth=far.auth, limits=limits) as to:
        hung = await adjust(to)
    (next_one,) = await far.adjust()

    assert again(hung).reason == "no_token"
    assert next_one == Applied("Gold")


async def test_who_gives_up_waiting_leaves_the_exchange_to_the_others() -> None:
    """A cancelled call neither keeps the lock nor takes the others' token with it."""
    far = Capillary()

    async with line(router=far.router, auth=far.auth, clock=far.clock) as to:
        first = asyncio.create_task(adjust(to))
        second = asyncio.create_task(adjust(to))
        async with asyncio.timeout(10):
            await far.asked.wait()
            first.cancel()
            result = await second

    assert result == Applied("Gold")
    assert first.cancelled()
