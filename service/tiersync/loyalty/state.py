"""Pure. The state of the loyalty core: everything the events so far have led to.

All of it can be rebuilt from the log. The verbs work on it through the modules that know one thing each: `awarding`,
`returning`, `actions`, `falling_due`.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import AccountKey, AccountName, Inactive
from tiersync.loyalty.events import ZERO, Event, EventId, HolderId, Json
from tiersync.loyalty.journal import EXPIRY, Journal
from tiersync.loyalty.ladders import Balance
from tiersync.loyalty.ledger import Ledger
from tiersync.loyalty.programmes import Enrolments
from tiersync.loyalty.records import Discount, Entry, Kind, LevelMove, LotId, Record, Refund, RuleId
from tiersync.loyalty.rules import Context, Party, Rule
from tiersync.loyalty.setup import Setup
from tiersync.loyalty.standings import Standings

BACK = "back"
"""Value of the attribute `reduction`: the holder pays in full and gets the spent amount back later."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a verb did: the records it wrote, in order. A repeated event gets its first receipt again."""

    event: Event
    records: tuple[Record, ...]
    repeated: bool = False

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries among the records."""
        return tuple(record for record in self.records if isinstance(record, Entry))

    @property
    def moves(self) -> tuple[LevelMove, ...]:
        """The level moves among the records."""
        return tuple(record for record in self.records if isinstance(record, LevelMove))

    @property
    def discount(self) -> Decimal:
        """What was taken off at once."""
        return sum((record.amount for record in self.records if isinstance(record, Discount)), ZERO)

    @property
    def due(self) -> Decimal:
        """What is left to pay now."""
        paid = ZERO if self.event.option("reduction") == BACK else self.event.spend
        return self.event.amount - self.discount - paid

    def total(self, kind: Kind) -> Decimal:
        """The sum of the entries of one kind."""
        return sum((entry.amount for entry in self.entries if entry.kind is kind), ZERO)


AwardKey = tuple[RuleId, int, AccountKey]


@dataclass(frozen=True, slots=True)
class Award:
    """What an event still entitles to by one outcome of one rule, and the lots it went into."""

    amount: Decimal
    lots: tuple[LotId, ...] = ()


@dataclass(frozen=True, slots=True)
class Processed:
    """An event that was worked off, with the inputs it was judged by: a return is judged by the same.

    `allowed` says which rules were open to it and how often; `chosen` how often each was awarded; `off` what each took
    off; `paid` are the debits that only a full return undoes.
    """

    event: Event
    context: Context
    allowed: Mapping[RuleId, int]
    awards: Mapping[AwardKey, Award] = field(default_factory=dict)
    chosen: Mapping[RuleId, int] = field(default_factory=dict)
    off: Mapping[RuleId, Decimal] = field(default_factory=dict)
    paid: tuple[Entry, ...] = ()
    undone: bool = False


class State:
    """Holders, accounts, standings, enrolments, limits used, and the events so far."""

    __slots__ = (
        "active",
        "checks",
        "enrolments",
        "issued",
        "journal",
        "ledger",
        "processed",
        "profiles",
        "receipts",
        "refunds",
        "setup",
        "standings",
        "switches",
        "tags",
        "uses",
    )

    def __init__(self, setup: Setup) -> None:
        """Start empty."""
        self.setup = setup
        self.journal = Journal()
        self.ledger = Ledger(setup.accounts_by_name, setup.zone, self.journal)
        self.standings = Standings(setup.ladders, setup.zone, self.journal, self._measure)
        self.enrolments = Enrolments(self.journal)
        self.profiles: dict[HolderId, Mapping[str, Json]] = {}
        self.tags: dict[HolderId, frozenset[str]] = {}
        self.uses: dict[tuple[RuleId, HolderId, str], int] = {}
        self.issued: dict[tuple[str, AccountName, str], Decimal] = {}
        self.switches: dict[tuple[str, str], bool] = {}
        self.processed: dict[EventId, Processed] = {}
        self.receipts: dict[EventId, Receipt] = {}
        self.refunds: dict[EventId, Refund] = {}
        self.active: dict[HolderId, list[datetime]] = {}
        self.checks: dict[AccountKey, datetime] = {}

    def _measure(self, holder: HolderId, metric: Balance, at: datetime) -> Decimal:
        return self.ledger.balance(holder, metric.account, at)

    def extend(self, setup: Setup) -> None:
        """Go on under a larger set-up."""
        self.setup = setup
        self.ledger.extend(setup.accounts_by_name)
        self.standings.extend(setup.ladders)

    def know(self, holder: HolderId) -> None:
        """Refuse a holder nobody registered."""
        if holder not in self.profiles:
            raise LoyaltyError(f"{holder!r} is not a registered holder")

    def register(self, holder: HolderId, profile: Mapping[str, Json], at: datetime) -> None:
        """Make a holder known, and set up the checks of accounts that die by inactivity."""
        self.journal.put(self.profiles, holder, dict(profile))
        for account in self.setup.accounts:
            if isinstance(account.policy.expiry, Inactive):
                self.plan_check((holder, account.name), account.policy.expiry, at)

    def plan_check(self, key: AccountKey, policy: Inactive, after: datetime) -> None:
        """Put the next inactivity check of an account on the agenda."""
        check = policy.next_check(after, self.setup.zone)
        self.journal.put(self.checks, key, check)
        self.journal.schedule((check, EXPIRY, *key, 0))

    def last_active(self, holder: HolderId, before: datetime) -> datetime | None:
        """When the holder last did something before that instant."""
        dates = self.active.get(holder, [])
        position = bisect_left(dates, before)
        return dates[position - 1] if position else None

    def context(self, event: Event) -> Context:
        """The event and its parties as they stand now."""
        named = (event.holder, HolderId(event.option("group")), HolderId(event.option("primary")))
        parties = {}
        for holder in dict.fromkeys(holder for holder in named if holder):
            self.know(holder)
            parties[holder] = Party(
                profile=self.profiles[holder],
                levels=self.standings.levels(holder),
                balances=self.ledger.balances(holder, event.at),
                tags=self.tags.get(holder, frozenset()),
            )
        return Context(event, parties, self.setup.zone)

    def is_on(self, what: str, name: str, *, default: bool) -> bool:
        """Whether a programme, rule or account is switched on."""
        return self.switches.get((what, name), default)

    def is_live(self, rule: Rule, event: Event) -> bool:
        """Whether a rule is on, its programme is on, the holder is a member, and the time fits."""
        if not self.is_on("rule", rule.id, default=rule.active) or not rule.open_at(event.at):
            return False
        if rule.programme is None:
            return True
        programme = self.setup.programme(rule.programme)
        is_on = self.is_on("programme", programme.id, default=programme.active)
        return is_on and self.enrolments.has(event.holder, programme.id)

    def accounts_for(self, event: Event) -> tuple[AccountName, ...]:
        """What the event says to draw on, else the default accounts."""
        return tuple(AccountName(name) for name in event.names("accounts")) or self.setup.default_accounts

    def update(self, name: EventId, **changes: Any) -> None:
        """Change some fields of what is known about a processed event."""
        self.journal.put(self.processed, name, replace(self.processed[name], **changes))
