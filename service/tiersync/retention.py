"""Forgetting what is over: events of an age, by their status, a few at a time beside the daily work."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from tiersync.errors import StoreUnavailable
from tiersync.intake import EventStatus
from tiersync.store import Horizon, Removal, Selection, Store

log: Final = structlog.get_logger("tiersync.retention")

_PAGE: Final = 500
_BREATH_S: Final = 0.1  # between two commits: deliveries go first
_DAY_MS: Final = 86_400_000


async def keep_house(  # noqa: PLR0913 - put together in app, and only there
    store: Store,
    days: Mapping[EventStatus, float],
    *,
    horizon: Callable[[int], Horizon],
    rows_max: int,
    every_s: float,
    now: Callable[[], int],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Remove what is older than its status is kept, time and again, until cancelled."""
    while True:
        try:
            removed = await forget(store, days, horizon=horizon, rows_max=rows_max, now=now(), sleep=sleep)
            if removed:
                log.info("retention.removed", events=removed)
        except StoreUnavailable as error:
            log.warning("retention.store_unavailable", error=str(error))
        except Exception:
            log.exception("retention.failed")
        await sleep(every_s)


async def forget(
    store: Store,
    days: Mapping[EventStatus, float],
    *,
    horizon: Callable[[int], Horizon],
    rows_max: int,
    now: int,
    sleep: Callable[[float], Awaitable[None]],
) -> int:
    """Remove what is older than its status is kept; return how many events went. 0 days: kept for ever."""
    removed = 0
    for status, kept in days.items():
        cutoff, after = now - int(_DAY_MS * kept), 0
        while kept and (page := await store.candidates(Selection(status=status), horizon(now), _PAGE, after)):
            old = [row for row in page if row.received_at < cutoff]
            while going := [row.event for row in old if row.may_go]:
                gone = await store.purge(Removal(going, len(old), horizon(now), rows_max))
                await sleep(_BREATH_S)
                if gone is not None:
                    removed += gone
                    break
            if len(old) < len(page):
                break  # rows come in the order of arrival: what follows is younger still
            after = page[-1].event
    return removed
