"""Locks in one order: on PostgreSQL the batches of several replicas may want the same keys at the same time.

Each verb locks its keys in the order of their ids. A batch of several verbs would lock in several orders, and two
batches could wait for each other; so it locks them all at its beginning.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, tuple_

from tiersync.intake import Arrival
from tiersync.store.arrivals import key_of
from tiersync.store.forward import Key
from tiersync.store.jobs import Advance
from tiersync.store.reconciling import Comparison
from tiersync.store.removal import Removal
from tiersync.store.tables import syncs

_BY_CLAIM: Final = ("plan", "settle", "release")


def lock_ahead(connection: Connection, batch: Mapping[str, Sequence[Any]]) -> None:
    """Lock the keys of a batch of verbs, each with its items."""
    if connection.dialect.name != "postgresql" or (len(batch) == 1 and "advance_job" not in batch):
        return
    ids = {item.claim.sync for verb in _BY_CLAIM for item in batch.get(verb, ())}
    ids |= {item.sync for item in batch.get("renew", ())}
    ids |= set(_ids(connection, _keys(batch)))
    if ids:
        connection.execute(_LOCK, {"_ids": list(ids)})


def _keys(batch: Mapping[str, Sequence[Any]]) -> Iterable[Key]:
    stepped = (_arrivals(step) for step in batch.get("advance_job", ()))
    arrivals = chain(batch.get("receive", ()), *stepped)
    return {key for arrival in arrivals if (key := key_of(arrival)) is not None}


def _arrivals(step: Advance) -> Iterable[Arrival]:
    match step.work:
        case Removal():
            return ()
        case Comparison() as compared:
            return compared.repairs
        case replays:
            return [item.arrival for item in replays]


def _ids(connection: Connection, keys: Iterable[Key]) -> Sequence[int]:
    wanted = [(customer, program, org) for org, program, customer in keys]
    return connection.execute(_FIND, {"_keys": wanted}).scalars().all() if wanted else ()


_FIND: Final = select(syncs.c.id).where(
    tuple_(syncs.c.customer, syncs.c.program, syncs.c.org).in_(bindparam("_keys", expanding=True))
)
_LOCK: Final = (
    select(syncs.c.id).where(syncs.c.id.in_(bindparam("_ids", expanding=True))).order_by(syncs.c.id).with_for_update()
)
