"""Pure. The ledger: lots and entries, and balances that are a fold over them.

    credit      opens a lot; an unpaid debt is paid off first, the account's maximum cuts the rest
    spend       consumes usable lots in the account's order; all of it or nothing
    take_back   undoes a credit: from its own lots, then from others, then as debt or at the business's cost
    give_back   undoes a debit: to the very lots it came from
    expire      ends a lot: its points die, or move to where the policy says

The balance index is only there for speed: a property test compares it with the sums of the entries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from decimal import ROUND_FLOOR, Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import Account, AccountKey, AccountName, Inactive, expires_at
from tiersync.loyalty.allocation import allocate
from tiersync.loyalty.events import ZERO, Event, HolderId
from tiersync.loyalty.journal import EXPIRY, RELEASE, Journal
from tiersync.loyalty.lots import Lots
from tiersync.loyalty.records import Entry, Kind, Lot, LotId, Part, Share, Stamp, Terms

INSUFFICIENT = 818
"""Capillary's code for a balance that is too small [isredeemable]."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The balance index of one account: `posted` is the sum of its entries, `debt` what no lot covers."""

    posted: Decimal = ZERO
    debt: Decimal = ZERO


NOTHING = Sums()


class Ledger:
    """All accounts of all holders."""

    __slots__ = ("_accounts", "_journal", "_lots", "_sums", "_zone")

    def __init__(self, accounts: Mapping[AccountName, Account], zone: tzinfo, journal: Journal) -> None:
        """Start empty, writing into `journal`."""
        self._accounts = accounts
        self._zone = zone
        self._journal = journal
        self._lots = Lots(accounts, journal)
        self._sums: dict[AccountKey, Sums] = {}

    def extend(self, accounts: Mapping[AccountName, Account]) -> None:
        """Go on with more accounts."""
        self._accounts = accounts
        self._lots.extend(accounts)

    # -- reading

    def account(self, name: AccountName) -> Account:
        """The account's definition; an unknown name is refused."""
        if name not in self._accounts:
            raise LoyaltyError(f"there is no account {name!r}; there are {', '.join(sorted(self._accounts))}")
        return self._accounts[name]

    def lot(self, lot: LotId) -> Lot:
        """One lot."""
        return self._lots[lot]

    def lots(self, holder: HolderId, name: AccountName) -> list[Lot]:
        """The live lots of an account, in spending order."""
        return list(self._lots.live((holder, name)))

    def sums(self, holder: HolderId, name: AccountName) -> Sums:
        """The posted balance and the debt."""
        return self._sums.get((holder, name), NOTHING)

    def balance(self, holder: HolderId, name: AccountName, at: datetime) -> Decimal:
        """The posted balance without lots whose time has run out, whether or not a run has noticed."""
        posted, dead = self.sums(holder, name).posted, self._lots.dead_value((holder, name), at)
        return posted - dead if dead else posted

    def balances(self, holder: HolderId, at: datetime) -> dict[AccountName, Decimal]:
        """Every account's balance."""
        return {name: self.balance(holder, name, at) for name in self._accounts}

    def spendable(self, holder: HolderId, names: Sequence[AccountName], basket: Event) -> Decimal:
        """The most that could be spent on this basket; without lines nothing but the lots limits it."""
        return _total(self._allocate(holder, names, basket, None))

    # -- crediting

    def terms(self, name: AccountName, issued: datetime) -> Terms:
        """The terms the account's own policy gives a lot."""
        return Terms(expires_at=expires_at(self.account(name).policy.expiry, issued, self._zone))

    def credit(
        self, key: AccountKey, amount: Decimal, stamp: Stamp, terms: Terms, origin: LotId | None = None
    ) -> Entry:
        """Open a lot of `amount`, less what pays off a debt and what exceeds the account's maximum."""
        policy = self.account(key[1]).policy
        sums = self.sums(*key)
        room = amount if policy.maximum is None else min(amount, max(ZERO, policy.maximum - sums.posted))
        repaid, lost = min(sums.debt, room), amount - room
        lot = Lot(
            id=LotId(self._journal.next_seq),
            key=key,
            amount=room,
            left=room - repaid,
            lost=lost,
            issued=stamp.at,
            terms=terms,
            cause=stamp.cause,
            origin=origin,
        )
        self._lots.add(lot)
        if terms.expires_at is not None:
            self._journal.schedule((terms.expires_at, RELEASE if policy.into else EXPIRY, *key, lot.id))
        return self._post(key, room, stamp, lot=lot.id, owed=-repaid, lost=lost, funders=terms.funders)

    # -- debiting

    def spend(self, holder: HolderId, names: Sequence[AccountName], basket: Event, stamp: Stamp) -> list[Entry]:
        """Consume `basket.spend` from the accounts' lots, all of it or nothing.

        An over-large spend passes as debt where the first account may be negative; else it is refused with the most
        that could be spent.
        """
        parts = self._allocate(holder, names, basket, basket.spend)
        short = basket.spend - _total(parts)
        if short and not self.account(names[0]).policy.negative:
            most = self.spendable(holder, names, basket)
            raise LoyaltyError(f"{holder} cannot spend {basket.spend}: at most {most} can be spent here", INSUFFICIENT)
        entries = self._debit(parts, stamp, (holder, names[0]), short)
        return [written for entry in entries for written in (entry, *self._leave_through(entry, stamp))]

    def _leave_through(self, entry: Entry, stamp: Stamp) -> list[Entry]:
        """What left an account by way of another one arrives there and is spent from there."""
        through = self.account(entry.account).policy.through
        if through is None:
            return []
        key, value = (entry.holder, through), -entry.amount
        opened = self.credit(key, value, replace(stamp, kind=Kind.MOVE, acceptor=""), self.terms(through, stamp.at))
        lot = self._lots[_opened(opened)]
        return [opened, *self._debit([Part(lot.id, lot.left)], stamp, key, value - lot.left)]

    def withdraw(self, holder: HolderId, names: Sequence[AccountName], request: Event, stamp: Stamp) -> list[Entry]:
        """Consume `request.amount` to move or adjust it; refused when there is not that much, on any policy."""
        parts = self._allocate(holder, names, replace(request, lines=()), request.amount)
        if _total(parts) < request.amount:
            raise LoyaltyError(f"{holder} does not have {request.amount} in {', '.join(names)}", INSUFFICIENT)
        return self._debit(parts, stamp, (holder, names[0]), ZERO)

    def _allocate(
        self, holder: HolderId, names: Sequence[AccountName], basket: Event, amount: Decimal | None
    ) -> list[Part]:
        if len({self.account(name).policy.order for name in names}) != 1:
            raise LoyaltyError(f"accounts spent together must share one order: {', '.join(names) or 'none was named'}")
        return allocate(self._lots.live(*((holder, name) for name in names)), basket, amount, self._zone)

    def _debit(
        self,
        parts: Sequence[Part],
        stamp: Stamp,
        debtor: AccountKey,
        owed: Decimal,
        funders: tuple[Share, ...] = (),
    ) -> list[Entry]:
        """One entry per account touched; what no lot covers is owed by `debtor`."""
        by_key: dict[AccountKey, list[Part]] = {}
        for part in parts:
            if part.amount:
                by_key.setdefault(self._lots[part.lot].key, []).append(part)
                self._lots.change(part.lot, left=-part.amount)
        if owed:
            by_key.setdefault(debtor, [])
        entries = []
        for key, share in by_key.items():
            debt = owed if key == debtor else ZERO
            why = stamp
            if stamp.kind is Kind.SPEND and self.account(key[1]).policy.through:
                why = replace(stamp, kind=Kind.MOVE, acceptor="")
            amount = -debt - _total(share)
            entries.append(self._post(key, amount, why, parts=tuple(share), owed=debt, funders=funders))
        return entries

    # -- undoing

    def take_back(self, lots: Iterable[LotId], amount: Decimal, stamp: Stamp) -> list[Entry]:
        """Undo so much of the credits that opened these lots.

        Nobody gives back what they never could use, so what was lost to a maximum or to expiry counts first; then what
        is left of the lots themselves, wherever they moved; then other live lots of the account. The rest is owed, or
        absorbed by the business where the account may not be negative.
        """
        chain = [lot for first in lots for lot in self._lots.trail(first)]
        debtor, funders = self._lots[chain[-1]].key, self._lots[chain[0]].terms.funders
        for lot in chain:
            forgiven = min(self._lots[lot].lost, amount)
            self._lots.change(lot, lost=-forgiven)
            amount -= forgiven
        others = (lot.id for lot in self._lots.live(debtor) if not lot.dead(stamp.at) and lot.id not in chain)
        parts = []
        for lot in (*chain, *others):
            if not amount:
                break
            parts.append(Part(lot, min(self._lots[lot].left, amount)))
            amount -= parts[-1].amount
        negative = self.account(debtor[1]).policy.negative
        entries = self._debit(parts, stamp, debtor, amount if negative else ZERO, funders)
        if amount and not negative:
            entries.append(self._post(debtor, ZERO, stamp, lost=amount))
        return entries

    def give_back(self, entry: Entry, stamp: Stamp) -> list[Entry]:
        """Undo a debit: pay off what is owed, then refill the very lots it consumed, which keep their dates.

        A lot that is past its date by now gets its part back and loses it at once, so that spending and undoing cannot
        outwit expiry. What no lot takes (it had been owed, and was paid since) becomes a fresh lot.
        """
        stamp = replace(stamp, acceptor=entry.acceptor)
        repaid = min(self.sums(*entry.key).debt, -entry.amount)
        rest = -entry.amount - repaid
        refills = []
        for part in entry.parts:
            refills.append(Part(part.lot, min(part.amount, rest)))
            rest -= refills[-1].amount
            self._lots.change(part.lot, left=refills[-1].amount)
        refills = [part for part in refills if part.amount]
        entries = []
        if back := repaid + _total(refills):
            entries.append(self._post(entry.key, back, stamp, parts=tuple(refills), owed=-repaid))
        for part in refills:
            if self._lots[part.lot].dead(stamp.at):
                entries += self.expire(part.lot, stamp)
        if rest:
            entries.append(self.credit(entry.key, rest, stamp, self.terms(entry.account, stamp.at)))
        return entries

    # -- time

    def ends(self, lot_id: LotId, at: datetime) -> bool:
        """Whether there is such a lot, and it dies exactly then."""
        return lot_id in self._lots and self._lots[lot_id].terms.expires_at == at

    def expire(self, lot_id: LotId, stamp: Stamp, amount: Decimal | None = None) -> list[Entry]:
        """End a lot, or `amount` of it: its points die, or move to where the account's policy says."""
        lot = self._lots[lot_id]
        part = Part(lot_id, lot.left if amount is None else min(amount, lot.left))
        if not part.amount:
            return []
        stamp = replace(stamp, acceptor="", rule=None)
        into = self.account(lot.key[1]).policy.into
        if into is None:
            self._lots.change(lot_id, lost=part.amount)
            return self._debit([part], replace(stamp, kind=Kind.EXPIRE), lot.key, ZERO)
        moved = replace(stamp, kind=Kind.MOVE)
        terms = replace(self.terms(into, stamp.at), funders=lot.terms.funders)
        entries = self._debit([part], moved, lot.key, ZERO)
        return [*entries, self.credit((lot.key[0], into), part.amount, moved, terms, lot_id)]

    def expire_share(self, key: AccountKey, policy: Inactive, stamp: Stamp) -> list[Entry]:
        """End a share of what was in the account before this instant, rounded in the holder's favour."""
        lots = [lot for lot in self.lots(*key) if lot.issued < stamp.at and not lot.dead(stamp.at)]
        step = Decimal(1).scaleb(-self.account(key[1]).unit.places)
        rest = (sum((lot.left for lot in lots), ZERO) * policy.share).quantize(step, ROUND_FLOOR)
        entries = []
        for lot in lots:
            amount = min(lot.left, rest)
            rest -= amount
            entries += self.expire(lot.id, stamp, amount)
        return entries

    def _post(  # noqa: PLR0913 - what an entry is made of
        self,
        key: AccountKey,
        amount: Decimal,
        stamp: Stamp,
        *,
        lot: LotId | None = None,
        parts: tuple[Part, ...] = (),
        owed: Decimal = ZERO,
        lost: Decimal = ZERO,
        funders: tuple[Share, ...] = (),
    ) -> Entry:
        """Write an entry and move the balance index by it."""
        entry = Entry(
            seq=self._journal.next_seq,
            at=stamp.at,
            cause=stamp.cause,
            kind=stamp.kind,
            holder=key[0],
            account=key[1],
            amount=amount,
            lot=lot,
            parts=parts,
            owed=owed,
            lost=lost,
            rule=stamp.rule,
            funders=funders,
            acceptor=stamp.acceptor,
        )
        sums = self.sums(*key)
        self._journal.put(self._sums, key, Sums(sums.posted + amount, sums.debt + owed))
        return self._journal.write(entry)


def _opened(credit: Entry) -> LotId:
    if credit.lot is None:
        raise LoyaltyError(f"entry {credit.seq} is not a credit")
    return credit.lot


def _total(parts: Iterable[Part]) -> Decimal:
    return sum((part.amount for part in parts), ZERO)
