"""Pure. Rules: what may trigger, when it holds, what it gives, how often, and in which order.

A rule sees a `Context`: the event and its parties as they stood before the event. That is why no outcome can rely on
another's effect, and why a return can be judged later by what was true on the day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import TypeAlias

from tiersync.loyalty.accounts import AccountName, Condition, Expiry
from tiersync.loyalty.events import ZERO, Event, HolderId, Json, ProgrammeId
from tiersync.loyalty.periods import Span
from tiersync.loyalty.records import LadderId, RuleId, Share


@dataclass(frozen=True, slots=True)
class Party:
    """A holder as it stood before the event."""

    profile: Mapping[str, Json] = field(default_factory=dict)
    levels: Mapping[LadderId, str] = field(default_factory=dict)
    balances: Mapping[AccountName, Decimal] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Context:
    """What a rule may look at."""

    event: Event
    parties: Mapping[HolderId, Party]
    zone: tzinfo

    @property
    def me(self) -> Party:
        """The event's own holder."""
        return self.parties[self.event.holder]

    @property
    def group(self) -> HolderId | None:
        """The group the event was made for: its attribute `group`."""
        return HolderId(self.event.option("group")) or None

    @property
    def local(self) -> datetime:
        """When the event happened, by the set-up's clock on the wall."""
        return self.event.at.astimezone(self.zone)


@dataclass(frozen=True, slots=True)
class Credit:
    """Put value into an account: the event's holder's, or that of `to`.

    Without `expiry` the account's own policy holds. `usable_from` holds the lot back until then. `worth` is what it is
    compared by, where the account does not count what other accounts count.
    """

    account: AccountName
    amount: Decimal
    to: HolderId | None = None
    expiry: Expiry | None = None
    condition: Condition = field(default_factory=Condition)
    funders: tuple[Share, ...] = ()
    usable_from: datetime | None = None
    worth: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Off:
    """Take this much off the purchase at once."""

    amount: Decimal


@dataclass(frozen=True, slots=True)
class Drain:
    """Expire everything in an account."""

    account: AccountName


@dataclass(frozen=True, slots=True)
class SetLevel:
    """Put a holder on a level."""

    ladder: LadderId
    level: str
    to: HolderId | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """Remember a word about the holder."""

    name: str


Outcome: TypeAlias = Credit | Off | Drain | SetLevel | Tag
When: TypeAlias = Callable[[Context], bool]
Give: TypeAlias = Callable[[Context], tuple[Outcome, ...]]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many awards per calendar window; awards are counted, not attempts."""

    count: int
    per: Span = Span.FOREVER


@dataclass(frozen=True, slots=True)
class Stock:
    """At most so much issued per calendar window into each account, to all holders together."""

    amount: Decimal
    per: Span = Span.FOREVER


def always(_context: Context) -> bool:
    """Hold for every event."""
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a programme; `trigger` is the type of event it listens to.

    Lower `rank` is written first, ties go by id. `kind` is a free label resolvers choose by ("cashback", "instant").
    `window` is `[from, to)`, an open end is nothing. A rule that is not `active` waits for a `switch` event.
    """

    id: RuleId
    programme: ProgrammeId | None
    trigger: str
    give: Give
    when: When = always
    limit: Limit | None = None
    rank: int = 0
    window: tuple[datetime | None, datetime | None] = (None, None)
    kind: str = ""
    active: bool = True

    def open_at(self, at: datetime) -> bool:
        """Whether the event's time lies in the rule's window."""
        start, end = self.window
        return (start is None or start <= at) and (end is None or at < end)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one rule would give for one event."""

    rule: Rule
    event: Event
    outcomes: tuple[Outcome, ...]
    times: int = 1

    @property
    def value(self) -> Decimal:
        """The computed amount, which resolvers compare."""
        return sum((_worth(outcome) for outcome in self.outcomes if isinstance(outcome, Credit | Off)), ZERO)

    @property
    def order(self) -> tuple[int, RuleId]:
        """Rank first, then id: the order of writing, and what breaks a tie."""
        return (self.rule.rank, self.rule.id)


def _worth(outcome: Credit | Off) -> Decimal:
    compared = outcome.worth if isinstance(outcome, Credit) else None
    return outcome.amount if compared is None else compared


# -- makers of `give`


def flat(account: AccountName, amount: Decimal | int, **terms: object) -> Give:
    """Always the same amount into one account; `terms` are further fields of `Credit`."""
    credit = replace(Credit(account, Decimal(amount)), **terms)  # type: ignore[arg-type]  # fields of Credit, by name
    return lambda _context: (credit,)


def share(account: AccountName, rate: Decimal, **terms: object) -> Give:
    """A share of the event's amount into one account, for example 0.05 of it."""
    return per(lambda context: context.event.amount, rate, account, **terms)


def per(measure: Callable[[Context], Decimal], rate: Decimal | int, account: AccountName, **terms: object) -> Give:
    """`rate * measure` into one account."""
    blank = replace(Credit(account, ZERO), **terms)  # type: ignore[arg-type]  # fields of Credit, by name
    return lambda context: (replace(blank, amount=rate * measure(context)),)


def off(rate: Decimal) -> Give:
    """A share of the event's amount off the bill."""
    return lambda context: (Off(rate * context.event.amount),)


def both(*gives: Give) -> Give:
    """Everything these give, in this order."""
    return lambda context: tuple(outcome for give in gives for outcome in give(context))


def to_group(give: Give) -> Give:
    """The same credits for the group the event was made for; nothing for an event without a group."""

    def to(context: Context) -> tuple[Outcome, ...]:
        if context.group is None:
            return ()
        return tuple(replace(row, to=context.group) if isinstance(row, Credit) else row for row in give(context))

    return to
