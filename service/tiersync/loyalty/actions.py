"""Pure. Actions: the types of event that do something by themselves, before any rule is asked.

Each is a function of the state and the event; `ACTIONS` is the table. Whatever they refuse is refused as a whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty import events as on
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.events import Event, HolderId, ProgrammeId
from tiersync.loyalty.periods import instant
from tiersync.loyalty.programmes import OpenAuto, Programme
from tiersync.loyalty.records import Entry, Kind, LadderId, Refund, RefundState, Stamp
from tiersync.loyalty.returning import record_refund, reverse
from tiersync.loyalty.state import BACK, State

Action = Callable[[State, Event], None]


def register(state: State, event: Event) -> None:
    """Make the holder known under its profile, and let it into every programme that is open to all at registration."""
    if event.holder in state.profiles:
        raise LoyaltyError(f"{event.holder} is registered already")
    if event.attrs.get("referrer") == event.holder:
        raise LoyaltyError(f"{event.holder} cannot refer themselves")
    state.register(event.holder, event.attrs, event.at)
    state.standings.enter(event.holder, None, event)
    for programme in state.setup.programmes:
        if isinstance(programme.gate, OpenAuto) and _is_active(state, programme):
            _let_in(state, programme, event)


def update_profile(state: State, event: Event) -> None:
    """Add what the event brings to the profile; an attribute set to nothing is cleared.

    Done last: the rules of the event still see the profile as it was.
    """
    state.journal.put(state.profiles, event.holder, {**state.profiles[event.holder], **event.attrs})


def join(state: State, event: Event) -> None:
    """Ask to be let into a programme; joining twice changes nothing."""
    _let_in(state, _open_programme(state, event), event)


def verify(state: State, event: Event) -> None:
    """Complete an invitation."""
    programme = _open_programme(state, event)
    if state.enrolments.verify(programme, event):
        state.standings.enter(event.holder, programme.id, event)


def leave(state: State, event: Event) -> None:
    """Leave a programme."""
    state.enrolments.leave(_programme(state, event), event)


def import_codes(state: State, event: Event) -> None:
    """Add codes to a programme."""
    _programme(state, event)
    state.enrolments.import_codes(event)


def delete_code(state: State, event: Event) -> None:
    """Delete a code of a programme."""
    state.enrolments.delete_code(event)


def switch(state: State, event: Event) -> None:
    """Switch a programme, rule or account (`what`, `name`) on or off (`on`)."""
    what, name, value = event.text("what"), event.text("name"), event.attrs.get("on")
    known: Mapping[str, set[str]] = {
        "programme": {programme.id for programme in state.setup.programmes},
        "rule": {rule.id for rule in state.setup.rules},
        "account": {account.name for account in state.setup.accounts},
    }
    if name not in known.get(what, set()) or not isinstance(value, bool):
        raise LoyaltyError(f"event {event.id!r}: cannot switch {what} {name!r} to {value!r}")
    state.journal.put(state.switches, (what, name), value)


def transfer(state: State, event: Event) -> None:
    """Move `amount` to the holder `to`, into the account `into`; each part keeps its date of death."""
    target = (HolderId(event.text("to")), AccountName(event.text("into")))
    state.know(target[0])
    if target[0] == event.holder or event.amount <= 0:
        raise LoyaltyError(f"event {event.id!r}: a transfer goes to somebody else and is above zero")
    stamp = Stamp(event.at, event.id, Kind.MOVE)
    left = state.ledger.withdraw(event.holder, state.accounts_for(event), event, stamp)
    arrived = []
    for part in (part for entry in left for part in entry.parts):
        terms = state.ledger.lot(part.lot).terms
        arrived.append(state.ledger.credit(target, part.amount, stamp, replace(terms, funders=())))
    state.update(event.id, paid=(*left, *arrived))


def adjust(state: State, event: Event) -> None:
    """Take `amount` away by hand; adding by hand is a deposit."""
    if event.amount <= 0:
        raise LoyaltyError(f"event {event.id!r}: an adjustment must be above zero")
    stamp = Stamp(event.at, event.id, Kind.ADJUST)
    state.update(event.id, paid=tuple(state.ledger.withdraw(event.holder, state.accounts_for(event), event, stamp)))


def adjust_level(state: State, event: Event) -> None:
    """Put the holder on `level` of `ladder` by hand, `until` some date if given.

    With `pay_skipped` false, levels that are jumped over do not count as entered.
    """
    key = (LadderId(event.text("ladder")), event.holder)
    until = event.option("until")
    state.standings.adjust(
        key,
        event.text("level"),
        event,
        instant(datetime.fromisoformat(until)) if until else None,
    )


def reconcile(state: State, event: Event) -> None:
    """Mark the refund of the purchase `ref` as paid; once it is, or is void, nothing happens."""
    refund = state.refunds.get(event.ref) if event.ref else None
    if refund is None:
        raise LoyaltyError(f"event {event.ref!r} has no refund due")
    if refund.state is RefundState.PENDING:
        record_refund(state, event, refund, RefundState.RECONCILED)


def pay(state: State, event: Event) -> None:
    """Spend what the event pays out of the accounts, within what its programme allows to be redeemed."""
    programme = event.option("programme")
    if programme:
        redemption = state.setup.programme(ProgrammeId(programme)).redeemed_by(event.option("strategy"))
        redemption.check(event.spend)
    if event.type != on.SPEND and event.spend > event.amount:
        raise LoyaltyError(f"event {event.id!r} pays {event.spend} of {event.amount}")
    stamp = Stamp(event.at, event.id, Kind.SPEND, acceptor=event.option("acceptor"))
    entries: list[Entry] = state.ledger.spend(event.holder, state.accounts_for(event), event, stamp)
    state.update(event.id, paid=tuple(entries))
    if event.option("reduction") == BACK:
        method, pending = event.option("refund_method"), RefundState.PENDING
        blank = Refund(0, event.at, event.id, event.holder, event.id, event.spend, method, pending)
        record_refund(state, event, blank, pending)


def check_spend(_state: State, event: Event) -> None:
    """Refuse a spend of nothing; the paying itself is the same for a purchase and a bare spend."""
    if event.spend <= Decimal(0):
        raise LoyaltyError(f"event {event.id!r}: a spend must be above zero")


def _programme(state: State, event: Event) -> Programme:
    return state.setup.programme(ProgrammeId(event.text("programme")))


def _open_programme(state: State, event: Event) -> Programme:
    programme = _programme(state, event)
    if not _is_active(state, programme):
        raise LoyaltyError(f"programme {programme.id} is not active: nobody can join")
    return programme


def _is_active(state: State, programme: Programme) -> bool:
    return state.is_on("programme", programme.id, default=programme.active)


def _let_in(state: State, programme: Programme, event: Event) -> None:
    if state.enrolments.join(programme, event):
        state.standings.enter(event.holder, programme.id, event)


ACTIONS: Mapping[str, Action] = {
    on.REGISTER: register,
    on.JOIN: join,
    on.VERIFY: verify,
    on.LEAVE: leave,
    on.IMPORT_CODES: import_codes,
    on.DELETE_CODE: delete_code,
    on.SWITCH: switch,
    on.TRANSFER: transfer,
    on.ADJUST: adjust,
    on.ADJUST_LEVEL: adjust_level,
    on.REVERSE: reverse,
    on.RECONCILE: reconcile,
    on.SPEND: check_spend,
}

ADMINISTRATIVE = frozenset({on.IMPORT_CODES, on.DELETE_CODE, on.SWITCH})
"""Events of the house, which have no holder."""

INACTIVE = ADMINISTRATIVE | {on.DEPOSIT, on.ADJUST, on.ADJUST_LEVEL, on.REVERSE, on.RECONCILE}
"""Events that are no sign of life of their holder."""
