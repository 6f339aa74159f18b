"""One org's Capillary: the calls that a sync needs, each ending in a value.

The short burst lives here and only here: a call that met a passing fault which surely had no effect is made again
within seconds, inside the same attempt. Whatever is left over goes to the long schedule (`retry`).
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import quote

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_random_exponential

from tiersync import __version__
from tiersync.capillary import outcome
from tiersync.capillary.auth import Auth
from tiersync.capillary.breaker import AWAY, Breaker, Breaks, State
from tiersync.capillary.codes import CODES, Reaction
from tiersync.capillary.gate import Gate
from tiersync.capillary.outcome import Answer, NotPrimary
from tiersync.capillary.transport import NoAnswer, NotSent, Transport
from tiersync.fanout import Group, Held, Move
from tiersync.retry import Applied, Refused, TryAgain

REASON_CHARS_MAX: Final = 255
_WIRE_ACTIONS: Final = {Move.UPGRADE: "UPGRADE", Move.DOWNGRADE: "DOWNGRADE", Move.RENEW: "RENEWAL"}
_WRONG_ADDRESS_OR_RIGHTS: Final = frozenset({"not_authorised", "no_such_resource", "org_invalid", "redirected"})
_SOON: Final = frozenset(
    {entry.reason for entry in CODES.values() if entry.reaction is Reaction.SOON} | {"not_connected"}
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NotTried:
    """No attempt was spent: the limits left no room in time, the org is paused, or Capillary is away."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The times of one call, seconds, and the tries of its short burst."""

    call_s_max: float
    attempt_s_max: float
    burst_tries_max: int
    breaks: Breaks


class Capillary:
    """The calls. `until` is the monotonic second after which no call of this turn may begin any more."""

    def __init__(  # noqa: PLR0913 - the parts are put together in app, and only there
        self,
        *,
        url: str,
        source: str,
        transport: Transport,
        auth: Auth,
        gate: Gate,
        limits: Limits,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        observe: Callable[[str, float, str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`observe` hears of every call: its name, its seconds and how it was answered; `changed` of the breaker."""
        self._url, self._source = url.rstrip("/"), quote(source, safe="")
        self._transport, self._auth, self.gate, self._limits = transport, auth, gate, limits
        self._now, self._sleep, self._observe, self._changed = now, sleep, observe, changed
        self.breaker = Breaker(limits.breaks)
        self.paused = False

    @property
    def away_s(self) -> float:
        """For how many more seconds the breaker lets no call through."""
        return 0.0 if self.breaker.state is State.CLOSED else max(0.0, self.breaker.until - self._now())

    async def members(self, primary: int, until: float) -> Group | NotPrimary | TryAgain | Refused | NotTried:
        """Read the group that `primary` leads, with all its members, past ones included."""
        path = f"/v2/userGroup2?primaryUserId={primary}"
        return await self._burst("members", "GET", path, None, until, outcome.read_group)

    async def group(self, group: int, until: float) -> Group | NotPrimary | TryAgain | Refused | NotTried:
        """Read the group of this id, with all its members, past ones included; `NotPrimary` if there is none."""
        return await self._burst("members", "GET", f"/v2/userGroup2?id={group}", None, until, outcome.read_group)

    async def tier(self, customer: int, program: int, until: float) -> Held | TryAgain | Refused | NotTried:
        """Read the tier that `customer` holds in `program`."""
        path = f"/v2/customers/{customer}/tierDetails?programId={program}&source={self._source}"
        return await self._burst("tier", "GET", path, None, until, lambda answer: outcome.read_tier(answer, program))

    async def adjust(  # noqa: PLR0913 - what the endpoint wants to know
        self, customer: int, program: int, move: Move, tier_name: str, expiry: date | None, why: str, until: float
    ) -> Applied | TryAgain | Refused | NotTried:
        """Upgrade, downgrade or renew one customer. `expiry` None leaves the date to the tier's strategy."""
        path = f"/v2/slab/manualSlabAdjustment?source={self._source}&identifierName=id&identifierValue={customer}"
        body = _adjustment(program, move, tier_name, expiry, why)
        return await self._burst("adjust", "POST", path, body, until, outcome.read_adjustment)

    async def check(self, until: float) -> TryAgain | Refused | NotTried | None:
        """Say what is wrong with address or credentials, or None; for `tiersync doctor`. Changes nothing."""
        match await self.members(1, until):
            case TryAgain() | NotTried() as passing:
                return passing
            case Refused(reason=reason) as refused if reason in _WRONG_ADDRESS_OR_RIGHTS:
                return refused
            case _:
                return None

    async def close(self) -> None:
        """Close the connections, and give back the calls that were leased."""
        await self.gate.close()
        await self._transport.close()

    async def _burst(
        self, name: str, method: str, path: str, body: bytes | None, until: float, read: Callable[[Answer], T]
    ) -> T | TryAgain | Refused | NotTried:
        last = min(until, self._now() + self._limits.attempt_s_max)
        result = await self._try(name, method, path, body, last, read)
        if not isinstance(result, TryAgain):  # nearly always: tenacity hears only of those that may be repeated
            return result
        failure = result

        def may_repeat(result: object) -> bool:
            if not isinstance(result, TryAgain) or self._now() >= last:
                return False
            # Reading twice does no harm; a change that may have happened is read back first, by the worker.
            return method == "GET" if result.in_doubt else result.reason in _SOON

        made = [failure]

        async def following() -> T | TryAgain | Refused | NotTried:
            nonlocal failure
            if made:
                return made.pop()
            result = await self._try(name, method, path, body, last, read)
            if isinstance(result, NotTried):
                return failure  # a call was made, and its failure counts
            if isinstance(result, TryAgain):
                failure = result
            return result

        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(self._limits.burst_tries_max),
            wait=wait_random_exponential(multiplier=0.2, max=1),
            retry=retry_if_result(may_repeat),
            retry_error_callback=_last_result,
        )
        return await retrying(following)

    async def _try(
        self, name: str, method: str, path: str, body: bytes | None, last: float, read: Callable[[Answer], T]
    ) -> T | TryAgain | Refused | NotTried:
        """One call if pause, breaker and gate let it through before `last`; the breaker hears how it went."""
        if not self._admits(method) or not await self.gate.enter(last):
            return NotTried()
        if not self._admits(method):  # the wait in the gate may have been long
            self.gate.leave()
            return NotTried()
        probe = self.breaker.state is not State.CLOSED
        if probe:
            self._stands(self.breaker.probed(self._now()))
        result = await self._once(name, method, path, body, read)
        if isinstance(result, TryAgain) and result.reason in AWAY:
            self._stands(self.breaker.failed(self._now(), result.reason, probe=probe))
            return NotTried() if probe else result
        if probe or self.breaker.failures:
            self._stands(self.breaker.answered(probe=probe))
        return result

    def _admits(self, method: str) -> bool:
        if self.breaker.state is State.CLOSED:
            return not self.paused
        return not self.paused and self.breaker.admits(self._now(), reading=method == "GET")

    def _stands(self, breaker: Breaker) -> None:
        before, self.breaker = self.breaker, breaker
        if (before.state, before.until) != (breaker.state, breaker.until):
            self._changed()

    async def _once(
        self, name: str, method: str, path: str, body: bytes | None, read: Callable[[Answer], T]
    ) -> T | TryAgain | Refused:
        """One call, token and all, through the gate that was entered; it ends within `attempt_s_max`."""
        try:
            began = self._now()
            result = await self._authenticated(method, path, body, began + self._limits.attempt_s_max, read)
            self._observe(name, self._now() - began, _label(result))
        finally:
            self.gate.leave()
        if isinstance(result, TryAgain) and result.reason == "rate_limited":
            self.gate.close_for(result.after_s)
        else:
            self.gate.went_through()
        return result

    async def _authenticated(
        self, method: str, path: str, body: bytes | None, last: float, read: Callable[[Answer], T]
    ) -> T | TryAgain | Refused:
        for may_renew in (True, False):
            credentials = await self._auth.headers(last - self._now())
            if isinstance(credentials, TryAgain | Refused):
                return credentials
            try:
                timeout_s = max(0.0, min(self._limits.call_s_max, last - self._now()))
                answer = await self._transport.send(
                    method, self._url + path, {**_HEADERS, **credentials}, body, timeout_s
                )
            except NotSent as error:
                return TryAgain("not_connected", message=str(error))
            except NoAnswer as error:
                return TryAgain("no_answer", message=str(error), in_doubt=True)
            if answer.status != 401 or not may_renew or not self._auth.rejected(credentials):  # noqa: PLR2004
                break
        return read(answer)


@lru_cache(maxsize=256)  # the members of a group differ in the address only
def _adjustment(program: int, move: Move, tier_name: str, expiry: date | None, why: str) -> bytes:
    body = {
        "programId": program,
        "slabAction": _WIRE_ACTIONS[move],
        "manualSlabActionValidity": "AS_PER_TIER_STRATEGY" if expiry is None else "SPECIFIC_DATE",
        "reassessTierOnNextActivity": False,
        "slabChangeReason": why[:REASON_CHARS_MAX],
    }
    if move is not Move.RENEW:
        body["toSlabName"] = tier_name
    if expiry is not None:
        body["manualSlabActionValidityUpto"] = expiry.isoformat()
    return json.dumps(body).encode()


_HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": f"tiersync/{__version__}",
}


def _last_result(state: RetryCallState) -> object:
    assert state.outcome is not None  # noqa: S101 - tenacity calls this after a try
    return state.outcome.result()


def _label(result: object) -> str:
    match result:
        case TryAgain(reason=reason) | Refused(reason=reason):
            return reason
        case _:
            return "ok"
