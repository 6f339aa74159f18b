"""Replaying stored events: select, read again, make due, at a rate, with an audit row.

Works on the tables alone, so it works while a server runs (whose sweep then finds the work) and while none does.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

from tiersync import intake
from tiersync.fanout import Policy
from tiersync.store import Replay, Replayed, Selection, Store

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay came to. `matched` events were selected; the others say what became of them."""

    matched: int
    due: int = 0
    converges: int = 0
    unchanged: int = 0


async def replay(  # noqa: PLR0913
    store: Store,
    selection: Selection,
    orgs: Mapping[int, Policy],
    *,
    by: str,
    force: bool,
    rate: int | None,
    now: Callable[[], int],
    sleep: Callable[[float], Awaitable[None]],
    progress: Callable[[int, int], None],
) -> Report:
    """Make every selected event due again. `rate` is events a second; `progress` hears (done, all) after each."""
    matched = await store.count_events(selection)
    asked = {name: value for name, value in asdict(selection).items() if value not in (None, ())}
    audit = await store.begin_replay(at=now(), by=by, selection=asked, force=force, rate=rate, matched=matched)
    results = dict.fromkeys(Replayed, 0)
    after = done = 0
    # What is replayed may leave the selection, and what arrives meanwhile may enter it: walk by row, and only so far.
    while done < matched and (page := await store.stored(selection, min(_PAGE, matched - done), after)):
        for row in page:
            began = now()
            arrival = intake.admit(row.body, row.received_at, orgs)
            if not arrival.dated:  # it keeps the place in time that it was given when it came
                arrival = replace(arrival, changed_at=row.changed_at)
            results[await store.replay(Replay(row.event, arrival, force, now()))] += 1
            after, done = row.event, done + 1
            progress(done, matched)
            if rate:
                await sleep(max(0.0, 1 / rate - (now() - began) / 1000))
    await store.end_replay(audit, done, now())
    return Report(matched, results[Replayed.DUE], results[Replayed.CONVERGES], results[Replayed.UNCHANGED])
