"""Pure. The engine: five verbs, one path.

    submit(event), submit_all(events)    facts come in; rules turn them into value
    preview(event)                       the same, taken back
    spend(holder, amount, occasion)      an event of type `spend`
    reverse(event_id, at, lines)         an event of type `reverse`
    run(as_of)                           what fell due by then

Every verb is an event, goes through `_work`, and ends in the log; `replay` puts a log through the same door. Same
events in, same ledger out, byte for byte. A verb that refuses raises `LoyaltyError` and changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from tiersync.errors import LoyaltyError
from tiersync.loyalty import events as on
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.actions import ACTIONS, ADMINISTRATIVE, INACTIVE, pay, update_profile
from tiersync.loyalty.awarding import allowances, entitlement, in_stock, write
from tiersync.loyalty.events import NOBODY, Event, EventId, HolderId, Json, Line, ProgrammeId, dump, load
from tiersync.loyalty.falling_due import fall_due
from tiersync.loyalty.ladders import Balance
from tiersync.loyalty.periods import instant
from tiersync.loyalty.records import Entry, Kind, LadderId, LevelMove, Lot, Move, Record, Share
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.standings import Standing
from tiersync.loyalty.state import Processed, Receipt, State


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, where and on what something is spent; `id` makes a repeat harmless."""

    id: EventId
    at: datetime
    lines: tuple[Line, ...] = ()
    attrs: Mapping[str, Json] = field(default_factory=dict)


class Engine:
    """A loyalty core under one set-up."""

    __slots__ = ("_log", "_state")

    def __init__(self, setup: Setup) -> None:
        """Start empty."""
        self._state = State(setup)
        self._log: list[Event] = []

    # -- the verbs

    def submit(self, event: Event) -> Receipt:
        """Work off one event; a repeat of its id gets the first receipt and writes nothing."""
        return self._do((event,), keep=True)[0]

    def submit_all(self, events: Sequence[Event]) -> list[Receipt]:
        """Work off several events in this order, all of them or, if one is refused, none."""
        return self._do(events, keep=True)

    def preview(self, event: Event) -> Receipt:
        """What `submit` would do with this event now; nothing is written."""
        return self._do((event,), keep=False)[0]

    def spend(self, holder: HolderId, amount: Decimal, occasion: Occasion) -> Receipt:
        """Spend out of the accounts the occasion names (attribute `accounts`), else the default ones."""
        return self.submit(spending(holder, amount, occasion))

    def reverse(
        self, event_id: EventId, at: datetime, lines: Sequence[Line] | None = None, *, reversal: EventId | None = None
    ) -> Receipt:
        """Undo an event, or some of its lines.

        `reversal` is the id of the undoing itself; without one each call is a new one, so a second call for the whole
        event is refused.
        """
        processed = self._state.processed.get(event_id)
        if processed is None:
            raise LoyaltyError(f"there is no event {event_id!r} that could be reversed")
        name = reversal or EventId(f"reverse:{event_id}:{len(self._log)}")
        return self.submit(Event(name, on.REVERSE, processed.event.holder, at, lines=tuple(lines or ()), ref=event_id))

    def run(self, as_of: datetime) -> Receipt:
        """Do everything that fell due until then, in order of date; running twice changes nothing."""
        at = instant(as_of)
        return self.submit(Event(EventId(f"run:{at.isoformat()}"), on.RUN, NOBODY, at))

    # -- the log

    def log(self) -> list[dict[str, Any]]:
        """Everything that came in and was not refused, as plain JSON-able dictionaries."""
        return [dump(event) for event in self._log]

    @classmethod
    def replay(cls, setup: Setup, log: Iterable[Mapping[str, Any]]) -> Self:
        """The engine a log leads to under its set-up."""
        engine = cls(setup)
        for plain in log:
            engine.submit(load(plain))
        return engine

    # -- the set-up

    def extend(self, setup: Setup) -> None:
        """Go on under a larger set-up; what holders have stays. Whoever is known joins new programmes by an event.

        Accounts, programmes and ladders that were there must still be there: records name them.
        """
        for what in ("accounts", "programmes", "ladders"):
            gone = {row.name if what == "accounts" else row.id for row in getattr(self.setup, what)}
            gone -= {row.name if what == "accounts" else row.id for row in getattr(setup, what)}
            if gone:
                raise LoyaltyError(f"the larger set-up lacks {', '.join(sorted(gone))} of the {what} there were")
        self._state.extend(setup)

    # -- reading

    @property
    def setup(self) -> Setup:
        """What was defined."""
        return self._state.setup

    @property
    def records(self) -> tuple[Record, ...]:
        """The whole ledger, in order."""
        return tuple(self._state.journal.records)

    def has(self, event_id: EventId) -> bool:
        """Whether an event was worked off."""
        return event_id in self._state.processed

    def event(self, event_id: EventId) -> Event:
        """An event that was worked off, as far as it was not returned."""
        if event_id not in self._state.processed:
            raise LoyaltyError(f"there is no event {event_id!r}")
        return self._state.processed[event_id].event

    def profile(self, holder: HolderId) -> Mapping[str, Json]:
        """A holder's profile."""
        self._state.know(holder)
        return self._state.profiles[holder]

    def tags(self, holder: HolderId) -> frozenset[str]:
        """What rules remembered about a holder."""
        return self._state.tags.get(holder, frozenset())

    def balance(self, holder: HolderId, account: AccountName, at: datetime) -> Decimal:
        """The balance at an instant, without what is past its date by then."""
        self._state.know(holder)
        self._state.ledger.account(account)
        return self._state.ledger.balance(holder, account, instant(at))

    def posted(self, holder: HolderId, account: AccountName) -> Decimal:
        """The sum of the account's entries."""
        return self._state.ledger.sums(holder, account).posted

    def debt(self, holder: HolderId, account: AccountName) -> Decimal:
        """What the holder owes because no lot covered a debit."""
        return self._state.ledger.sums(holder, account).debt

    def lots(self, holder: HolderId, account: AccountName) -> list[Lot]:
        """The live lots of an account, in spending order."""
        return self._state.ledger.lots(holder, account)

    def spendable(self, holder: HolderId, occasion: Occasion) -> Decimal:
        """The most that could be spent on this occasion."""
        self._state.know(holder)
        basket = spending(holder, on.ZERO, occasion)
        return self._state.ledger.spendable(holder, self._state.accounts_for(basket), basket)

    def standing(self, holder: HolderId, ladder: LadderId) -> Standing:
        """A holder's standing on a ladder."""
        return self._state.standings.get(ladder, holder)

    def counted(self, holder: HolderId, ladder: LadderId, at: datetime) -> Decimal:
        """What the review to come would count if it were held now."""
        return self._state.standings.counted(ladder, holder, instant(at))

    def level(self, holder: HolderId, ladder: LadderId) -> str:
        """A holder's level on a ladder."""
        self._state.standings.get(ladder, holder)
        return self._state.standings.levels(holder)[ladder]

    def is_member(self, holder: HolderId, programme: ProgrammeId) -> bool:
        """Whether the holder is enrolled."""
        return self._state.enrolments.has(holder, programme)

    def codes(self, programme: ProgrammeId) -> dict[str, HolderId | None]:
        """A programme's sign-up codes, each with who used it."""
        return self._state.enrolments.codes(programme)

    def in_stock(self, funder: str, account: AccountName, at: datetime) -> Decimal | None:
        """What a funder may still issue into an account in this window; nothing if that is not bounded."""
        return in_stock(self._state, (Share(funder),), account, instant(at))

    # -- the one path

    def _do(self, events: Sequence[Event], *, keep: bool) -> list[Receipt]:
        state, log = self._state, len(self._log)
        try:
            receipts = [self._receipt(event) for event in events]
        except Exception:
            keep = False
            raise
        finally:
            state.standings.forget_touched()
            if keep:
                state.journal.keep()
            else:
                state.journal.back()
                del self._log[log:]
        return receipts

    def _receipt(self, event: Event) -> Receipt:
        """Work off one event; a run is not remembered by its id, for what is due decides what it does."""
        state = self._state
        if event.id in state.receipts:
            return replace(state.receipts[event.id], repeated=True)
        mark = len(state.journal.records)
        happened = self._work(event, 0)
        receipt = Receipt(event, tuple(state.journal.records[mark:]))
        if event.type != on.RUN:
            state.journal.put(state.receipts, event.id, receipt)
        if happened:
            self._log.append(event)
        return receipt

    def _work(self, event: Event, depth: int) -> bool:
        """Work off one event and those it leads to; false if it was a run and nothing was due."""
        state = self._state
        if depth > state.setup.cascade_max:
            raise LoyaltyError(f"event {event.id!r} leads to ever more events: rules feed on one another")
        if event.type == on.RUN:
            return self._run(event.at, depth)
        if event.type != on.REGISTER and event.type not in ADMINISTRATIVE:
            state.know(event.holder)
        mark = len(state.journal.records)
        self._judge(event, derived=depth > 0)
        self._follow(event, mark, depth)
        return True

    def _judge(self, event: Event, *, derived: bool) -> None:
        """The action of its type, then the rules on what was true before, then the payment, then the awards."""
        state = self._state
        if event.type == on.REGISTER:
            ACTIONS[event.type](state, event)
        if event.type in ADMINISTRATIVE:
            ACTIONS[event.type](state, event)
            return
        context = state.context(event)
        if not derived:
            state.journal.put(state.processed, event.id, Processed(event, context, {}))
            if event.type not in INACTIVE:
                state.journal.insert(state.journal.rows(state.active, event.holder), event.at)
        if event.type in ACTIONS and event.type != on.REGISTER:
            ACTIONS[event.type](state, event)
        allowed = allowances(state, event)
        candidates = entitlement(state.setup, context, allowed)
        if event.spend:
            pay(state, event)
        if not derived:
            state.update(event.id, allowed=allowed)
        write(state, event, candidates)
        state.standings.count_purchase(event, event.at, event.amount, 1)
        if event.type == on.PROFILE:
            update_profile(state, event)

    def _follow(self, event: Event, mark: int, depth: int) -> None:
        """Move levels, then let rules react to what was written since `mark`."""
        state = self._state
        for record in state.journal.records[mark:]:
            if isinstance(record, Entry):
                state.standings.touch(record.holder, Balance(record.account))
        state.standings.climb(event, returned=event.type == on.REVERSE)
        for record in state.journal.records[mark:]:
            kind = _leads_to(record, quiet=event.attrs.get("quiet") is True)
            if kind and state.setup.triggered(kind):
                self._work(_further(record, kind), depth + 1)

    def _run(self, as_of: datetime, depth: int) -> bool:
        state, happened = self._state, False
        while (due := state.journal.take_due(as_of)) is not None:
            mark = len(state.journal.records)
            if fall_due(state, due):
                happened = True
                cause = Event(EventId(f"due:{due[0].isoformat()}"), on.RUN, NOBODY, due[0])
                self._follow(cause, mark, depth)
        return happened


def spending(holder: HolderId, amount: Decimal, occasion: Occasion) -> Event:
    """The event of type `spend` that stands for a spend on an occasion."""
    return Event(occasion.id, on.SPEND, holder, occasion.at, lines=occasion.lines, attrs=occasion.attrs, spend=amount)


_ENTRY_EVENTS = {Kind.EARN: on.POINTS_EARNED, Kind.SPEND: on.POINTS_SPENT, Kind.EXPIRE: on.POINTS_EXPIRED}
_MOVE_EVENTS = {Move.UP: on.LEVEL_UP, Move.DOWN: on.LEVEL_DOWN, Move.RENEW: on.LEVEL_RENEWED}


def _leads_to(record: Record, *, quiet: bool) -> str:
    """The type of event a record leads to, empty for none; `quiet` silences points, never levels."""
    if isinstance(record, Entry) and not quiet:
        return _ENTRY_EVENTS.get(record.kind, "")
    return _MOVE_EVENTS.get(record.move, "") if isinstance(record, LevelMove) else ""


def _further(record: Record, kind: str) -> Event:
    """The event of that type a record leads to, for rules that react to it."""
    attrs: dict[str, Json] = {}
    if isinstance(record, Entry):
        attrs = {"account": record.account, "points": str(abs(record.amount))}
    elif isinstance(record, LevelMove):
        attrs = {
            "ladder": record.ladder,
            "before": record.before,
            "after": record.after,
            "crossed": list(record.crossed),
        }
    return Event(EventId(f"{record.cause}/{record.seq}"), kind, record.holder, record.at, attrs=attrs)
