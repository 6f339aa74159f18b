"""One running SessionM face: a published economy, its customers, and the core that knows the rest."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tiersync.loyalty import sessionm
from tiersync.loyalty.engine import Engine, Occasion
from tiersync.loyalty.events import NOBODY, REGISTER, SWITCH, Event, EventId, HolderId, Json
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.faces import CONFLICT, Refused, about, found, happened_at
from tiersync.sandbox.sessionm.building import setup
from tiersync.sandbox.sessionm.economy import Economy
from tiersync.sandbox.sessionm.example import BARE, COFFEE_CLUB
from tiersync.sandbox.sessionm.models import Customer, Deposit, Events, LevelByHand, Spend, Transaction, Who


@dataclass(frozen=True, slots=True)
class Member:
    """A customer under both ids."""

    user_id: HolderId
    given: Customer
    since: datetime


@dataclass(slots=True)
class Club:
    """An economy and everybody in it. It starts anew with every published economy.

    It starts with the coffee club, or without `example` with a bare economy.
    """

    example: bool = True
    economy: Economy = field(init=False)
    engine: Engine = field(init=False)
    members: dict[str, Member] = field(init=False)
    externals: dict[str, Member] = field(init=False)
    inactive: set[str] = field(init=False)
    _deposited: dict[str, EventId] = field(init=False)

    def __post_init__(self) -> None:
        self.reset(example=self.example)

    def reset(self, *, example: bool) -> None:
        """Start again, with the example or bare."""
        self.publish(Economy.model_validate(COFFEE_CLUB if example else BARE))

    def publish(self, economy: Economy) -> None:
        """Start with an economy and no customers; one whose parts do not fit together is refused."""
        with about("economy"):
            self.engine = Engine(setup(economy))
        self.economy = economy
        self.members, self.externals, self.inactive, self._deposited = {}, {}, set(), {}

    def advance(self, now: datetime) -> Receipt:
        """Let everything happen that falls due by then: escrow, expiry, maintenance."""
        return self.engine.run(now)

    # -- customers

    def create(self, customer: Customer, user_id: str, now: datetime) -> tuple[Member, bool]:
        """Make a customer known; the same one again is no news, another one under the same external id is refused."""
        known = self.externals.get(customer.external_id)
        if known is not None:
            if known.given != customer:
                raise Refused(f"external_id {customer.external_id} is another customer's", "external_id", CONFLICT)
            return known, False
        member = Member(HolderId(user_id), customer, now)
        self.engine.submit(Event(EventId(f"{user_id}/register"), REGISTER, member.user_id, now))
        self.members[user_id] = self.externals[customer.external_id] = member
        return member, True

    def member(self, who: Who) -> Member:
        """Find a customer by the id given; an unknown one is never created."""
        if who.user_id is not None:
            return self.by_user_id(who.user_id)
        return self.by_external_id(who.external_id or "")

    def by_user_id(self, user_id: str) -> Member:
        """Find a customer by SessionM's id."""
        if user_id not in self.members:
            raise Refused(f"there is no customer with user_id {user_id[:80]!r}", "user_id", 404)
        return self.members[user_id]

    def by_external_id(self, external_id: str) -> Member:
        """Find a customer by the client's id."""
        if external_id not in self.externals:
            raise Refused(f"there is no customer with external_id {external_id[:80]!r}", "external_id", 404)
        return self.externals[external_id]

    # -- what happens

    def happen(self, member: Member, body: Events, now: datetime) -> list[Receipt]:
        """Work off custom events, in the order they were sent; all of them or none."""
        for name, event in body.events.items():
            happened_at(event.date, now, f"events.{name}.date")
        with about("events"):
            events = sessionm.custom_events(member.user_id, body.model_dump(mode="json"), now)
            return self.engine.submit_all(events)

    def buy(self, member: Member, body: Transaction, now: datetime) -> Receipt:
        """Work off a purchase, or what a purchase sent again with less in it takes back."""
        lines = [item.line() for item in body.items]
        name, at = sessionm.transaction_event(member.user_id, body.transaction_id), happened_at(body.date, now, "date")
        with about("items"):
            if self.engine.has(name):
                return sessionm.resend(self.engine, member.user_id, body.transaction_id, now, lines)
            if not lines:
                raise Refused(f"transaction {body.transaction_id} is new and has no items", "items")
            return self.engine.submit(sessionm.transaction(member.user_id, body.transaction_id, at, lines))

    def deposit(self, member: Member, body: Deposit, now: datetime, request: str) -> Receipt:
        """Put points straight in; a reference that was deposited in another request is refused."""
        references = [row.reference for row in body.deposit_details if row.reference is not None]
        if len(set(references)) != len(references):
            raise Refused("two lines share one reference", "deposit_details")
        plain = {**body.model_dump(mode="json"), "user_id": member.user_id}
        event = sessionm.deposit(plain, now, request)
        for reference in references:
            if self._deposited.get(f"{member.user_id}/{reference}", event.id) != event.id:
                raise Refused(f"reference {reference} was deposited in another request", "deposit_details", CONFLICT)
        with about("deposit_details"):
            receipt = self.engine.submit(event)
        self._deposited.update({f"{member.user_id}/{reference}": event.id for reference in references})
        return receipt

    def spend(self, member: Member, body: Spend, now: datetime) -> Receipt:
        """Spend points: from the accounts named, else from the default ones."""
        self.know_accounts(body.point_account_ids)
        attrs = {"accounts": list(body.point_account_ids)} if body.point_account_ids else {}
        occasion = Occasion(EventId(f"{member.user_id}/spend/{body.transaction_id}"), now, (), attrs)
        with about("amount"):
            return self.engine.spend(member.user_id, Decimal(body.amount), occasion)

    def place(self, member: Member, body: LevelByHand, now: datetime, request: str) -> Receipt:
        """Put a customer on a level by hand."""
        event = sessionm.adjustment(
            member.user_id, request, body.tier_system_id, body.level, now, pay_skipped=body.pay_skipped
        )
        with about("tier_system_id" if self._lacks(body.tier_system_id) else "level"):
            return self.engine.submit(event)

    def _lacks(self, system: str) -> bool:
        return system not in {row.id for row in self.economy.tier_systems}

    def switch(self, account: str, now: datetime, request: str, *, active: bool) -> None:
        """Let a point account take credits, or not; its balances stay."""
        self.know_accounts([account])
        attrs: dict[str, Json] = {"what": "account", "name": account, "on": active}
        self.engine.submit(Event(EventId(f"switch/{request}"), SWITCH, NOBODY, now, attrs=attrs))
        (self.inactive.discard if active else self.inactive.add)(account)

    def know_accounts(self, accounts: Iterable[str]) -> None:
        """Refuse accounts that the economy does not have."""
        known = {account.id: account for account in self.economy.accounts}
        for account in accounts:
            found(known, account, "point account")
