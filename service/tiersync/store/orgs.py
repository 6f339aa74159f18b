"""Whether an org is worked for: an operator's pause, and what the breaker of its Capillary says.

A claim and the sweep pass by the keys of an org that is held back, so whoever works on these tables obeys at once. Org
0 stands for every org.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Executable, and_, bindparam, exists, or_, select, update

from tiersync.intake import ANY_ORG
from tiersync.store.forward import insert_for
from tiersync.store.tables import orgs, syncs


@dataclass(frozen=True, slots=True)
class OrgState:
    """What is known of one org. Instants are epoch milliseconds; `paused_at` is None while it is not paused.

    `breaker` is closed, open or half_open; nobody claims a key of the org before `breaker_until`.
    """

    org: int
    paused_at: int | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    breaker: str = "closed"
    breaker_at: int | None = None
    breaker_until: int | None = None
    breaker_reason: str | None = None


def known(found: Iterable[OrgState], configured: Iterable[int]) -> list[OrgState]:
    """The state of each org that is configured, or that something is known of."""
    states = {state.org: state for state in found}
    return [states.get(org, OrgState(org)) for org in sorted({*configured, *states})]


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator pauses an org."""

    org: int
    by: str
    reason: str | None
    now: int


@dataclass(frozen=True, slots=True)
class BreakerNews:
    """The breaker of an org's Capillary came to stand so; `until` is None while it is closed."""

    org: int
    state: str
    reason: str | None
    until: int | None
    now: int


_COLUMNS: Final = [orgs.c[name] for name in OrgState.__dataclass_fields__]
_held: Final = or_(orgs.c.paused_at.is_not(None), orgs.c.breaker_until > bindparam("_now"))


def is_worked_for() -> ColumnElement[bool]:
    """Say of a row of `syncs` that its org is not held back at `_now`."""
    all_held = exists().where(orgs.c.org == ANY_ORG, _held)
    return and_(~all_held, syncs.c.org.not_in(select(orgs.c.org).where(_held)))


def held(connection: Connection, now: int) -> set[int]:
    """The orgs that are held back."""
    return set(connection.execute(_HELD, {"_now": now}).scalars())


_HELD: Final = select(orgs.c.org).where(_held)


def read(connection: Connection) -> list[OrgState]:
    """Every org that was ever paused or told of."""
    return [OrgState(*row) for row in connection.execute(_READ)]


_READ: Final = select(*_COLUMNS).order_by(orgs.c.org)


def pause(connection: Connection, pauses: Sequence[Pause]) -> list[bool]:
    """Pause orgs. False for one that is paused already: who paused it first, and why, stays on record."""
    answers = []
    for item in pauses:
        _write(connection, item.org, {})
        paused = connection.execute(
            _PAUSE, {"_org": item.org, "paused_at": item.now, "paused_by": item.by, "pause_reason": item.reason}
        )
        answers.append(paused.rowcount > 0)
    return answers


_PAUSE: Final = (
    update(orgs)
    .where(orgs.c.org == bindparam("_org"), orgs.c.paused_at.is_(None))
    .values({name: bindparam(name) for name in ("paused_at", "paused_by", "pause_reason")})
)


def resume(connection: Connection, wanted: Sequence[int]) -> list[bool]:
    """End pauses. False for an org that was not paused."""
    return [connection.execute(_RESUME, {"_org": org}).rowcount > 0 for org in wanted]


_RESUME: Final = (
    update(orgs)
    .where(orgs.c.org == bindparam("_org"), orgs.c.paused_at.is_not(None))
    .values(paused_at=None, paused_by=None, pause_reason=None)
)


def tell(connection: Connection, news: Sequence[BreakerNews]) -> list[None]:
    """Write down what breakers say."""
    for item in news:
        told = asdict(item)
        _write(
            connection,
            item.org,
            {"breaker": item.state, "breaker_at": item.now}
            | {f"breaker_{name}": told[name] for name in ("until", "reason")},
        )
    return [None] * len(news)


def _write(connection: Connection, org: int, values: dict[str, Any]) -> None:
    connection.execute(_upsert(connection.dialect.name, tuple(values)), {"org": org, **values})


@cache
def _upsert(dialect: str, names: tuple[str, ...]) -> Executable:
    statement = insert_for(dialect, orgs)
    if not names:
        return statement.on_conflict_do_nothing()
    return statement.on_conflict_do_update(
        index_elements=["org"], set_={name: statement.excluded[name] for name in names}
    )
