"""Locks in one order: on PostgreSQL the batches of several replicas may want the same keys at the same time.

Each verb locks its keys in the order of their ids. A batch of several verbs would lock in several orders, and two
batches could wait for each other; so it locks them all at its beginning.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, select

from tiersync.store.arrivals import key_of
from tiersync.store.forward import Key
from tiersync.store.removal import Removal
from tiersync.store.statements import among, among_keys
from tiersync.store.tables import syncs


def lock_ahead(connection: Connection, batch: Mapping[str, Sequence[Any]]) -> None:
    """Lock the keys of a batch of verbs, each with its items."""
    if connection.dialect.name != "postgresql" or (len(batch) == 1 and "advance_job" not in batch):
        return
    ids = {item.claim.sync for verb in ("plan", "release") for item in batch.get(verb, ())}
    ids |= {item.claim.sync for settlements in batch.get("settle", ()) for item in settlements}
    ids |= {item.sync for item in batch.get("renew", ())}
    ids |= set(_ids(connection, _keys(batch)))
    if ids:
        connection.execute(_LOCK, {"_ids": list(ids)})


def _keys(batch: Mapping[str, Sequence[Any]]) -> Iterable[Key]:
    steps = [step.work for step in batch.get("advance_job", ()) if not isinstance(step.work, Removal)]
    replays = [replay for work in steps for replay in work]
    arrivals = [*batch.get("receive", ()), *(item.arrival for item in replays)]
    return {key for arrival in arrivals if (key := key_of(arrival)) is not None}


def _ids(connection: Connection, keys: Iterable[Key]) -> Sequence[int]:
    wanted = [(customer, program, org) for org, program, customer in keys]
    return connection.execute(_FIND, {"_keys": wanted}).scalars().all() if wanted else ()


_FIND: Final = select(syncs.c.id).where(among_keys(syncs.c.customer, syncs.c.program, syncs.c.org, name="_keys"))
_LOCK: Final = select(syncs.c.id).where(among(syncs.c.id, "_ids")).order_by(syncs.c.id).with_for_update()
