"""Pure. What falls due: held points are released, points expire, levels are reviewed; in order of date.

What is written carries the date it fell due, not the date of the run, so it does not matter how often or how late one
runs.
"""

from datetime import datetime, timedelta

from tiersync.loyalty.accounts import AccountKey, AccountName, Inactive
from tiersync.loyalty.events import EventId, HolderId
from tiersync.loyalty.journal import REVIEW, Due
from tiersync.loyalty.records import Kind, LadderId, LotId, Stamp
from tiersync.loyalty.state import State


def fall_due(state: State, due: Due) -> bool:
    """Do what is due; false if the item was left over on the agenda and nothing is."""
    at, phase, holder, name, number = due
    if phase == REVIEW:
        return state.standings.review((LadderId(name), HolderId(holder)), at)
    if number:
        return _end_lot(state, LotId(number), at)
    return _check_activity(state, (HolderId(holder), AccountName(name)), at)


def _end_lot(state: State, lot: LotId, at: datetime) -> bool:
    if not state.ledger.ends(lot, at):
        return False
    return bool(state.ledger.expire(lot, _stamp(at)))


def _check_activity(state: State, key: AccountKey, at: datetime) -> bool:
    policy = state.ledger.account(key[1]).policy.expiry
    if state.checks.get(key) != at or not isinstance(policy, Inactive):
        return False
    state.plan_check(key, policy, at)
    last = state.last_active(key[0], at)
    if last is None or at - last > timedelta(days=policy.days):
        state.ledger.expire_share(key, policy, _stamp(at))
    return True


def _stamp(at: datetime) -> Stamp:
    return Stamp(at, EventId(f"due:{at.isoformat()}"), Kind.EXPIRE)
