"""Pure. The set-up: everything that is defined before the first event, checked as a whole.

A set-up is not part of the log: replaying needs the log and the same set-up.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Account, AccountName
from tiersync.loyalty.events import DEPOSIT, Event, Line, ProgrammeId
from tiersync.loyalty.ladders import Balance, Earned, Ladder
from tiersync.loyalty.programmes import Programme
from tiersync.loyalty.records import RuleId, Share
from tiersync.loyalty.resolvers import Resolver, all_matched
from tiersync.loyalty.rules import Context, Credit, Outcome, Rule, Stock

AS_TOLD = "as told"
"""The kind of the one built-in rule, "credit as told", which no resolver chooses about."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Accounts, programmes, rules, ladders, and who wins among the rules.

    `stocks` bound what a funder's awards may issue, by its name; what exceeds its stock is forfeited.
    `zone` decides what a day is. `cascade_max` bounds how many times an event may lead to a further one.
    """

    accounts: tuple[Account, ...]
    programmes: tuple[Programme, ...] = ()
    rules: tuple[Rule, ...] = ()
    ladders: tuple[Ladder, ...] = ()
    resolver: Resolver = all_matched
    stocks: Mapping[str, Stock] = field(default_factory=dict)
    zone: tzinfo = UTC
    cascade_max: int = 16
    _accounts: Mapping[AccountName, Account] = field(init=False)
    _programmes: Mapping[ProgrammeId, Programme] = field(init=False)
    _triggered: Mapping[str, tuple[Rule, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_accounts", {account.name: account for account in self.accounts})
        object.__setattr__(self, "_programmes", {programme.id: programme for programme in self.programmes})
        triggered: dict[str, tuple[Rule, ...]] = {DEPOSIT: (self._as_told(),)}
        for rule in self.rules:
            triggered[rule.trigger] = (*triggered.get(rule.trigger, ()), rule)
        object.__setattr__(self, "_triggered", triggered)
        self._check()

    @property
    def accounts_by_name(self) -> Mapping[AccountName, Account]:
        """The accounts under their names."""
        return self._accounts

    @property
    def default_accounts(self) -> tuple[AccountName, ...]:
        """What a spend draws on that names no account."""
        return tuple(account.name for account in self.accounts if account.default)

    def programme(self, programme: ProgrammeId) -> Programme:
        """A programme by its id; an unknown one is refused."""
        if programme not in self._programmes:
            known = ", ".join(sorted(self._programmes)) or "none"
            raise LoyaltyError(f"there is no programme {programme!r}; there are {known}")
        return self._programmes[programme]

    def triggered(self, event_type: str) -> tuple[Rule, ...]:
        """The rules that listen to a type of event."""
        return self._triggered.get(event_type, ())

    def _as_told(self) -> Rule:
        return Rule(RuleId(AS_TOLD), None, DEPOSIT, self._credit_as_told, kind=AS_TOLD)

    def _credit_as_told(self, context: Context) -> tuple[Outcome, ...]:
        """Each line's amount into the account it names; with the attribute `partial`, bad lines are left out."""
        credits_told: list[Outcome] = []
        for line in context.event.lines:
            complaint = self.complaint(line)
            if not complaint:
                funders = tuple(Share(source) for source in line.tags)
                credits_told.append(Credit(AccountName(line.item), line.amount, funders=funders))
            elif not context.event.attrs.get("partial"):
                raise LoyaltyError(f"deposit {context.event.id!r}, line {line.id!r}: {complaint}")
        return tuple(credits_told)

    def complaint(self, line: Line) -> str:
        """Why a line of a deposit cannot be credited; empty if it can."""
        account = self._accounts.get(AccountName(line.item))
        if account is None:
            return f"there is no account {line.item!r}"
        if line.amount <= 0:
            return "a deposit must be above zero"
        if account.sources and not account.sources & set(line.tags):
            return f"account {line.item!r} is not fed from {', '.join(line.tags) or 'an unnamed source'}"
        return ""

    def complaints(self, event: Event) -> dict[str, str]:
        """The lines of a deposit that cannot be credited, each with the reason."""
        return {line.id: reason for line in event.lines if (reason := self.complaint(line))}

    def _check(self) -> None:
        _unique("account", (account.name for account in self.accounts))
        _unique("programme", (programme.id for programme in self.programmes))
        _unique("rule", (rule.id for rule in self.rules))
        _unique("ladder", (ladder.id for ladder in self.ladders))
        self._check_accounts()
        for rule in self.rules:
            if rule.programme is None:
                raise LoyaltyError(f"rule {rule.id} belongs to no programme")
            self.programme(rule.programme)
        for ladder in self.ladders:
            if ladder.programme is not None:
                self.programme(ladder.programme)
            for metric in (ladder.metric, ladder.stay_metric):
                if isinstance(metric, Earned | Balance) and metric.account not in self._accounts:
                    raise LoyaltyError(f"ladder {ladder.id} measures {metric.account!r}, which is no account")

    def _check_accounts(self) -> None:
        for account in self.accounts:
            if account.programme is not None:
                self.programme(account.programme)
            for other in (account.policy.into, account.policy.through):
                if other is not None and (other not in self._accounts or other == account.name):
                    raise LoyaltyError(f"account {account.name}: {other!r} is not another account")


def _unique(what: str, ids: Iterable[str]) -> None:
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise LoyaltyError(f"two {what}s share the id {twice[0]!r}")
