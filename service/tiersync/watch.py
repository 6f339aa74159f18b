"""What a process knows of its orgs: it obeys their pauses, and tells what the breakers of their Capillaries say.

Looks at the table each second, and at once when a breaker changes: the same loop that tells once tells again, so a
store that was away for a while hears it later.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from tiersync.capillary import Breaker, Capillary, State
from tiersync.errors import StoreUnavailable
from tiersync.intake import ANY_ORG
from tiersync.store import BreakerNews, OrgState, Store

log: Final = structlog.get_logger("tiersync.watch")

_CLOSED: Final = (State.CLOSED, 0.0)


class Watch:
    """Watches over orgs. `now` is epoch milliseconds, `monotonic` the breakers' seconds."""

    def __init__(self, store: Store, *, now: Callable[[], int], monotonic: Callable[[], float], every_s: float) -> None:
        """`every_s` is how often the table is looked at."""
        self._store, self._now, self._monotonic, self._every_s = store, now, monotonic, every_s
        self._apis: dict[int, Capillary] = {}
        self._told: dict[int, tuple[State, float]] = {}
        self._news = asyncio.Event()

    def changed(self) -> None:
        """Hear that a breaker changed."""
        self._news.set()

    async def begin(self, org: int, api: Capillary) -> None:
        """Watch over one more org, beginning with what the table says: who restarts in an outage burns nothing."""
        found = {state.org: state for state in await self._store.orgs()}
        self._apis[org] = api
        state = found.get(org)
        if state is None or state.breaker == State.CLOSED:
            self._told[org] = _CLOSED
        elif api.breaker.breaks.failures_max:
            api.breaker = self._adopted(api.breaker, state)
        self._obey(found)

    def _adopted(self, fresh: Breaker, state: OrgState) -> Breaker:
        breaks, left_s = fresh.breaks, ((state.breaker_until or 0) - self._now()) / 1000
        until = self._monotonic() + min(max(0.0, left_s), breaks.pause_s_max)
        return Breaker(breaks, State.OPEN, until=until, pause_s=breaks.pause_s, reason=state.breaker_reason)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._news.clear()
            try:
                for org, api in self._apis.items():
                    await self._tell(org, api.breaker)
                self._obey({state.org: state for state in await self._store.orgs()})
            except StoreUnavailable as error:
                log.warning("orgs.store_unavailable", error=str(error))
            except Exception:
                log.exception("orgs.failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()

    async def _tell(self, org: int, breaker: Breaker) -> None:
        stands = (breaker.state, breaker.until)
        told = self._told.get(org)
        if stands == told:
            return
        left_s = max(0.0, breaker.until - self._monotonic())
        now = self._now()
        until = None if breaker.state is State.CLOSED else now + math.ceil(1000 * left_s)
        await self._store.tell_breaker(BreakerNews(org, breaker.state, breaker.reason, until, now))
        self._told[org] = stands
        if breaker.state is State.OPEN:
            log.warning("breaker.opened", org=org, reason=breaker.reason, seconds=round(left_s, 1))
        elif breaker.state is State.CLOSED:
            log.info("breaker.closed", org=org)

    def _obey(self, found: dict[int, OrgState]) -> None:
        for org, api in self._apis.items():
            paused = [state for one in (ANY_ORG, org) if (state := found.get(one)) and state.paused_at is not None]
            if bool(paused) != api.paused:
                api.paused = bool(paused)
                if paused:
                    log.warning("org.paused", org=org, by=paused[0].paused_by)
                else:
                    log.info("org.resumed", org=org)
