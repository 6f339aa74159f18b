"""Pure. Awarding: from an event and what was true before it, to entries.

`entitlement` is a pure function of the context and the allowances, so a return can ask the same question about what was
kept and post the difference.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import MONEY, AccountKey, AccountName, expires_at
from tiersync.loyalty.events import ZERO, Event, HolderId
from tiersync.loyalty.ladders import Earned
from tiersync.loyalty.periods import window
from tiersync.loyalty.records import Discount, Kind, RuleId, Share, Stamp, Tagged, Terms
from tiersync.loyalty.rules import Candidate, Context, Credit, Drain, Off, Outcome, Rule, SetLevel, Stock, Tag
from tiersync.loyalty.setup import AS_TOLD, Setup
from tiersync.loyalty.standings import Fact
from tiersync.loyalty.state import Award, AwardKey, State


def allowances(state: State, event: Event) -> dict[RuleId, int]:
    """How often each live rule may still be awarded for this event; rules that may not are left out."""
    allowed, occurrences = {}, event.occurrences
    for rule in state.setup.triggered(event.type):
        if state.is_live(rule, event):
            left = occurrences
            if rule.limit is not None:
                left = min(left, rule.limit.count - state.uses.get(_slot(state, rule, event), 0))
            if left > 0:
                allowed[rule.id] = left
    return allowed


def entitlement(setup: Setup, context: Context, allowed: dict[RuleId, int]) -> tuple[Candidate, ...]:
    """What the event entitles to: conditions, amounts, choice; in the order of writing."""
    told: list[Candidate] = []
    candidates: list[Candidate] = []
    for rule in setup.triggered(context.event.type):
        if rule.id in allowed and rule.when(context):
            times = allowed[rule.id]
            outcomes = tuple(_scaled(setup, rule, outcome, times) for outcome in rule.give(context))
            pile = told if rule.kind == AS_TOLD else candidates
            pile.append(Candidate(rule, context.event, outcomes, times))
    chosen = sorted((*told, *setup.resolver(candidates)), key=lambda candidate: candidate.order)
    return tuple(_within_bill(chosen, context.event.amount - context.event.spend))


def write(state: State, event: Event, candidates: Iterable[Candidate]) -> None:
    """Write what was chosen, in order, and remember it as the event's awards."""
    awards: dict[AwardKey, Award] = {}
    chosen: dict[RuleId, int] = {}
    for candidate in candidates:
        rule = candidate.rule
        for index, outcome in enumerate(candidate.outcomes):
            if isinstance(outcome, Credit):
                key = award_key(event.holder, rule.id, index, outcome)
                awards[key] = credit(state, key, outcome, Stamp(event.at, event.id, Kind.EARN, rule.id))
            else:
                _write_other(state, event, rule, outcome)
        if counts(candidate):
            chosen[rule.id] = candidate.times
            use(state, rule, event, candidate.times)
    if event.id in state.processed:
        state.update(event.id, awards=awards, chosen=chosen, off=taken_off(candidates))


def credit(state: State, key: AwardKey, outcome: Credit, stamp: Stamp) -> Award:
    """Credit one outcome and count it where points earned are measured.

    An account that is switched off takes nothing; only a deposit, which somebody made by hand, is refused for it. A
    deposit is also past the stock of whoever funds it, though it counts there.
    """
    state.know(key[2][0])
    account = state.ledger.account(outcome.account)
    if not state.is_on("account", account.name, default=True):
        if key[0] == AS_TOLD:
            raise LoyaltyError(f"account {account.name} is not active: it takes no credits")
        return Award(ZERO)
    stock = None if key[0] == AS_TOLD else in_stock(state, outcome.funders, account.name, stamp.at)
    amount = outcome.amount if stock is None else min(stock, outcome.amount)
    if not amount:
        return Award(ZERO)
    ends = expires_at(outcome.expiry or account.policy.expiry, stamp.at, state.setup.zone)
    terms = Terms(ends, outcome.usable_from, outcome.condition, outcome.funders)
    entry = state.ledger.credit(key[2], amount, stamp, terms)
    issue(state, outcome.funders, account.name, Fact(stamp.at, stamp.at, entry.amount))
    count_earned(state, key[2], Fact(stamp.at, stamp.at, amount))
    return Award(amount, () if entry.lot is None else (entry.lot,))


def count_earned(state: State, key: AccountKey, fact: Fact) -> None:
    """Tell the ladders about points earned or taken back."""
    state.standings.count_earned(key[0], Earned(key[1]), fact)


def in_stock(state: State, funders: Iterable[Share], account: AccountName, at: datetime) -> Decimal | None:
    """What these funders may still issue into an account in this window; nothing if that is not bounded."""
    slots = _stocked(state, funders, account, at)
    left = min((stock.amount - state.issued.get(slot, ZERO) for slot, stock in slots), default=None)
    return None if left is None else max(ZERO, left)


def issue(state: State, funders: Iterable[Share], account: AccountName, fact: Fact) -> None:
    """Take what was issued out of its funders' stocks of that date; a negative amount comes back into them."""
    for slot, _ in _stocked(state, funders, account, fact.at):
        state.journal.put(state.issued, slot, state.issued.get(slot, ZERO) + fact.amount)


def _stocked(
    state: State, funders: Iterable[Share], account: AccountName, at: datetime
) -> list[tuple[tuple[str, AccountName, str], Stock]]:
    stocks = {funder.party: state.setup.stocks.get(funder.party) for funder in funders}
    return [
        ((party, account, window(at, stock.per, state.setup.zone)), stock) for party, stock in stocks.items() if stock
    ]


def award_key(holder: HolderId, rule: RuleId, index: int, outcome: Credit) -> AwardKey:
    """What identifies an award of an event across returns."""
    return (rule, index, (outcome.to or holder, outcome.account))


def counts(candidate: Candidate) -> bool:
    """Whether it is an award at all: a credit of nothing uses up no limit."""
    return bool(candidate.value) or any(not isinstance(outcome, Credit | Off) for outcome in candidate.outcomes)


def use(state: State, rule: Rule, event: Event, times: int) -> None:
    """Use so many of a rule's awards in the event's window; a negative number frees them."""
    if rule.limit is not None:
        slot = _slot(state, rule, event)
        state.journal.put(state.uses, slot, state.uses.get(slot, 0) + times)


def taken_off(candidates: Iterable[Candidate]) -> dict[RuleId, Decimal]:
    """What each rule takes off the bill."""
    totals: dict[RuleId, Decimal] = {}
    for candidate in candidates:
        for outcome in candidate.outcomes:
            if isinstance(outcome, Off):
                totals[candidate.rule.id] = totals.get(candidate.rule.id, ZERO) + outcome.amount
    return totals


def discount(state: State, event: Event, rule: RuleId, amount: Decimal) -> None:
    """Record what is taken off the bill, or put back on it."""
    if amount:
        state.journal.write(Discount(state.journal.next_seq, event.at, event.id, event.holder, rule, amount))


def _write_other(state: State, event: Event, rule: Rule, outcome: Off | Drain | SetLevel | Tag) -> None:
    match outcome:
        case Off(amount):
            discount(state, event, rule.id, amount)
        case Drain(account):
            stamp = Stamp(event.at, event.id, Kind.EXPIRE, rule.id)
            for lot in state.ledger.lots(event.holder, account):
                state.ledger.expire(lot.id, stamp)
        case SetLevel(ladder, level, to):
            key = (ladder, to or event.holder)
            state.standings.adjust(key, level, event)
        case Tag(name):
            tags = state.tags.get(event.holder, frozenset())
            state.journal.put(state.tags, event.holder, tags | {name})
            state.journal.write(Tagged(state.journal.next_seq, event.at, event.id, event.holder, name))
        case _:
            assert_never(outcome)


def _scaled(setup: Setup, rule: Rule, outcome: Outcome, times: int) -> Outcome:
    """The outcome of all occurrences together, rounded once."""
    match outcome:
        case Credit(account=account, amount=amount):
            if account not in setup.accounts_by_name:
                raise LoyaltyError(f"rule {rule.id} credits {account!r}, which is no account")
            rounded = setup.accounts_by_name[account].unit.round(amount * times)
        case Off(amount):
            rounded = MONEY.round(amount * times)
        case _:
            return outcome
    if rounded < 0:
        raise LoyaltyError(f"rule {rule.id} computed {rounded}: a rule gives, only returns and spends take")
    return replace(outcome, amount=rounded)


def _within_bill(candidates: Iterable[Candidate], bill: Decimal) -> Iterable[Candidate]:
    """Trim discounts, the last one first, so that together they never exceed what is to pay."""
    for candidate in candidates:
        if not any(isinstance(outcome, Off) for outcome in candidate.outcomes):
            yield candidate
            continue
        outcomes: list[Outcome] = []
        for outcome in candidate.outcomes:
            within = Off(min(outcome.amount, bill)) if isinstance(outcome, Off) else outcome
            bill -= within.amount if isinstance(within, Off) else ZERO
            outcomes.append(within)
        yield replace(candidate, outcomes=tuple(outcomes))


def _slot(state: State, rule: Rule, event: Event) -> tuple[RuleId, HolderId, str]:
    per = "" if rule.limit is None else window(event.at, rule.limit.per, state.setup.zone)
    return (rule.id, event.holder, per)
