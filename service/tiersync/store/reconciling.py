"""What a reconcile reads and writes: the keys to compare, the repairs it orders, and what became of them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, exists, func, or_, select, update

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import ANY_ORG, Arrival
from tiersync.store.arrivals import receive
from tiersync.store.tables import adjustments, events, syncs


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys are compared: every given condition must hold. `since`: those of whom an event came since then.

    `group` stands for its primary, whoever that is when the work is done. `dry_run`: compare only.
    """

    org: int | None = None
    program: int | None = None
    primary: int | None = None
    group: int | None = None
    since: int | None = None
    dry_run: bool = False

    def conditions(self) -> list[ColumnElement[bool]]:
        """As SQL."""
        exact = {"org": self.org, "program": self.program, "customer": self.primary}
        found = [syncs.c[name] == value for name, value in exact.items() if value is not None]
        if self.primary is None:  # a secondary has a key too, by its echoes, and owes nobody anything
            owing = exists().where(adjustments.c.sync == syncs.c.id)
            found.append(or_(syncs.c.event.is_not(None), owing))
        if self.since is not None:
            found.append(exists().where(events.c.sync == syncs.c.id, events.c.received_at >= self.since))
        return found

    def asked(self) -> dict[str, Any]:
        """As JSON: the conditions that were given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}

    def of_each(self, configured: Collection[int]) -> list["Keys"]:
        """The keys of each org that is meant: each has a job of its own, so that none waits for another's Capillary.

        Raises `ValueError` if the org is not configured, or if it has to be named and is not.
        """
        named = ", ".join(map(str, sorted(configured)))
        if self.org is not None and self.org not in configured and ANY_ORG not in configured:
            raise ValueError(f"{self.org} is not configured ({named})")
        if self.org is None and (self.group or self.primary) and len(configured) > 1:
            raise ValueError(f"several orgs are configured ({named}): name the group's")
        return [replace(self, org=org or None) for org in ([self.org] if self.org is not None else configured)]


@dataclass(frozen=True, slots=True)
class Known:
    """A key as the tables know it. `sync` is 0 for a primary of whom nothing was ever heard.

    `under_way`: work is owed or going on, so what differs may be on its way.
    """

    sync: int
    org: int
    program: int
    customer: int
    changed_at: int
    tier_number: int | None
    under_way: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A step of a reconcile: so many keys were compared, this was found, and these repairs are ordered."""

    keys: int
    counts: Mapping[str, int]
    repairs: Sequence[Arrival] = ()


def measure(connection: Connection, keys: Keys, after: int, limit: int | None) -> tuple[int, int]:
    """How many keys behind the row `after` there are to compare, `limit` at the most, and the row of the last."""
    page = select(syncs.c.id).where(*keys.conditions(), syncs.c.id > after).order_by(syncs.c.id).limit(limit).subquery()
    matched, last = connection.execute(select(func.count(), func.max(page.c.id))).one()
    return int(matched), last or after


def page(connection: Connection, keys: Keys, after: int, upto: int, limit: int) -> list[Known]:
    """A page of keys behind the row `after`, up to the row `upto`."""
    names = ("org", "program", "customer", "changed_at", "tier_number")
    columns = [syncs.c.id.label("sync"), *(syncs.c[name] for name in names)]
    query = select(*columns, syncs.c.due_at.is_not(None).label("under_way"))
    query = query.where(*keys.conditions(), syncs.c.id > after, syncs.c.id <= upto).order_by(syncs.c.id).limit(limit)
    return [Known(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


def primary_of(connection: Connection, sync: int) -> int | None:
    """Whose key stands in this row, or None if there is no such row."""
    found: int | None = connection.scalar(select(syncs.c.customer).where(syncs.c.id == sync))
    return found


def order(connection: Connection, job: int, repairs: Sequence[Arrival]) -> None:
    """Store the events of a reconcile by the door of a delivery, so that their keys are due; they bear its number."""
    if repairs:
        receive(connection, repairs)
        connection.execute(_OF_JOB, [{"_org": item.org, "_event_id": item.event_id, "_job": job} for item in repairs])


_OF_JOB: Final = (
    update(events)
    .where(events.c.org == bindparam("_org"), events.c.event_id == bindparam("_event_id"))
    .values(job=bindparam("_job"))
)

_REPAIRED: Final = "repaired"
_SKIPPED: Final = "skipped"
_LEFT: Final = "left"
_RESULTS: Final = {AdjustmentStatus.DONE: _REPAIRED, AdjustmentStatus.SKIPPED: _SKIPPED}


def results(connection: Connection, jobs: Sequence[int]) -> dict[int, dict[str, int]]:
    """What became of the repairs of these jobs until now: repaired, skipped, left."""
    found: dict[int, Counter[str]] = {job: Counter() for job in jobs}
    query = (
        select(events.c.job, adjustments.c.status, func.count())
        .join(adjustments, adjustments.c.event == events.c.id)
        .where(events.c.job.in_(jobs))
        .group_by(events.c.job, adjustments.c.status)
    )
    for job, status, count in connection.execute(query):
        found[job][_RESULTS.get(status, _LEFT)] += count
    return {job: dict(counts) for job, counts in found.items()}


def repairs(connection: Connection, job: int) -> list[dict[str, Any]]:
    """Each repair of a job: whose, to which tier, what became of it and why."""
    owed = adjustments.c
    columns = [events.c.org, events.c.program, events.c.customer.label("primary"), owed.member, events.c.tier_name]
    columns += [owed.status, owed.outcome, owed.reason, owed.code]
    query = select(*columns).join(adjustments, owed.event == events.c.id).where(events.c.job == job)
    found = connection.execute(query.order_by(events.c.id, owed.member))
    return [
        {**row._mapping, "result": _RESULTS.get(row.status, _LEFT)}  # noqa: SLF001 - SQLAlchemy's public name
        for row in found
    ]
