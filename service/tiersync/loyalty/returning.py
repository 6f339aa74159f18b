"""Pure. Returning: what was kept is judged by the rules, rates and levels of the day, and the difference is posted.

A whole return leaves no entitlement at all and also gives back what was paid out of the accounts.
"""

from dataclasses import replace
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.awarding import (
    award_key,
    count_earned,
    counts,
    credit,
    discount,
    entitlement,
    issue,
    taken_off,
    use,
)
from tiersync.loyalty.events import REVERSE, ZERO, Event
from tiersync.loyalty.records import Kind, Refund, RefundState, Stamp
from tiersync.loyalty.rules import Candidate, Credit, Rule
from tiersync.loyalty.standings import Fact
from tiersync.loyalty.state import Award, AwardKey, Processed, State


def reverse(state: State, event: Event) -> None:
    """Undo the event that `event.ref` names: its `lines`, or all of it if there are none."""
    processed = state.processed.get(event.ref) if event.ref else None
    if processed is None or processed.event.type == REVERSE:
        raise LoyaltyError(f"there is no event {event.ref!r} that could be reversed")
    if processed.undone:
        raise LoyaltyError(f"event {event.ref!r} has been reversed whole: nothing of it is left")
    if event.at < processed.event.at:
        raise LoyaltyError(f"event {event.ref!r} cannot be reversed before it happened")
    original = processed.event
    kept = original.without(event.lines) if event.lines else replace(original, lines=(), amount=ZERO)
    undone = not kept.lines
    chosen: tuple[Candidate, ...] = ()
    if not undone:
        chosen = entitlement(state.setup, replace(processed.context, event=kept), dict(processed.allowed))
    if undone:
        _give_back(state, event, processed)
    awards = _post_differences(state, event, processed, chosen)
    _put_back_on_bill(state, event, processed, chosen)
    _free_limits(state, processed, chosen)
    state.standings.count_purchase(original, event.at, kept.amount - original.amount, -1 if undone else 0)
    state.update(
        original.id,
        event=kept,
        awards=awards,
        chosen={candidate.rule.id: candidate.times for candidate in chosen if counts(candidate)},
        off=taken_off(chosen),
        undone=undone,
    )


def _post_differences(
    state: State, event: Event, processed: Processed, chosen: tuple[Candidate, ...]
) -> dict[AwardKey, Award]:
    original = processed.event
    entitled: dict[AwardKey, tuple[Rule, Credit]] = {
        award_key(original.holder, candidate.rule.id, index, outcome): (candidate.rule, outcome)
        for candidate in chosen
        for index, outcome in enumerate(candidate.outcomes)
        if isinstance(outcome, Credit)
    }
    awards: dict[AwardKey, Award] = dict(processed.awards)
    for key, award in processed.awards.items():
        now = entitled[key][1].amount if key in entitled else ZERO
        if now < award.amount:
            awards[key] = _take_back(state, event, processed, key, award.amount - now)
    for key, (rule, outcome) in entitled.items():
        before = awards.get(key, Award(ZERO))
        if outcome.amount > before.amount:
            more = replace(outcome, amount=outcome.amount - before.amount, to=key[2][0])
            added = credit(state, key, more, Stamp(event.at, event.id, Kind.REVERSE, rule.id))
            awards[key] = Award(before.amount + added.amount, (*before.lots, *added.lots))
    return awards


def _take_back(state: State, event: Event, processed: Processed, key: AwardKey, amount: Decimal) -> Award:
    award = processed.awards[key]
    stamp = Stamp(event.at, event.id, Kind.REVERSE, key[0])
    taken = state.ledger.take_back(reversed(award.lots), amount, stamp)
    for entry in taken:
        issue(state, entry.funders, key[2][1], Fact(processed.event.at, event.at, entry.amount))
    # Dated as the original, known as of now: a review that was due in between does not see it.
    count_earned(state, key[2], Fact(processed.event.at, event.at, -amount))
    return Award(award.amount - amount, award.lots)


def _give_back(state: State, event: Event, processed: Processed) -> None:
    """Undo what was paid, newest first: what arrived is taken, what left returns to its lots."""
    stamp = Stamp(event.at, event.id, Kind.REVERSE)
    for entry in reversed(processed.paid):
        if entry.lot is not None:
            state.ledger.take_back([entry.lot], entry.amount, stamp)
        else:
            state.ledger.give_back(entry, stamp)
    refund = state.refunds.get(processed.event.id)
    if refund is not None:
        paid = refund.state is RefundState.RECONCILED
        record_refund(state, event, refund, RefundState.OWED if paid else RefundState.VOID)


def _put_back_on_bill(state: State, event: Event, processed: Processed, chosen: tuple[Candidate, ...]) -> None:
    now = taken_off(chosen)
    for rule, amount in processed.off.items():
        discount(state, event, rule, now.pop(rule, ZERO) - amount)
    for rule, amount in now.items():
        discount(state, event, rule, amount)


def _free_limits(state: State, processed: Processed, chosen: tuple[Candidate, ...]) -> None:
    """An award that is gone frees its slot; one that came instead takes one."""
    now = {candidate.rule.id: candidate.times for candidate in chosen if counts(candidate)}
    for rule in state.setup.triggered(processed.event.type):
        use(state, rule, processed.event, now.get(rule.id, 0) - processed.chosen.get(rule.id, 0))


def record_refund(state: State, event: Event, refund: Refund, to: RefundState) -> None:
    """Record that a refund came into another state."""
    moved = replace(refund, seq=state.journal.next_seq, at=event.at, cause=event.id, state=to)
    state.journal.put(state.refunds, refund.purchase, moved)
    state.journal.write(moved)
