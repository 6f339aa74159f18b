"""The numbered examples of CRM.COM, CR-1 to CR-24, of `contracts/loyalty-systems.md`."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, time
from decimal import Decimal

import pytest

from tests.unit.loyalty.building import (
    ANN,
    BOB,
    account,
    at,
    balances,
    basket,
    event,
    line,
    occasion,
    purchase,
    register,
)
from tests.unit.loyalty.offers import cashback, instant_discount, profile_completion, referral
from tiersync.errors import LoyaltyError
from tiersync.loyalty import crm
from tiersync.loyalty.accounts import ANYWHERE, Condition, Through
from tiersync.loyalty.conditions import at_place, between, classified, on_birthday
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import (
    DELETE_CODE,
    IMPORT_CODES,
    JOIN,
    PROFILE,
    PURCHASE,
    RECONCILE,
    TRANSFER,
    VERIFY,
    Event,
    EventId,
    HolderId,
    Json,
    ProgrammeId,
)
from tiersync.loyalty.ladders import Ladder
from tiersync.loyalty.lottery import Ticket, draw, qualifiers
from tiersync.loyalty.programmes import Codes, EmailDomain, Gate, Programme
from tiersync.loyalty.records import Discount, Entry, Kind, LadderId, Move, Refund, RuleId, Share
from tiersync.loyalty.resolvers import Resolver, all_matched
from tiersync.loyalty.rules import Context, Credit, Off, Outcome, Rule, When, always
from tiersync.loyalty.settlement import settle
from tiersync.loyalty.setup import Setup
from tiersync.sandbox.crm import models
from tiersync.sandbox.crm.business import Business

SHOP = "shop"
TIERS = LadderId("reward tiers")


def build(
    *rules: Rule,
    schemes: Sequence[Programme] = (crm.scheme(SHOP, active=True),),
    ladders: Sequence[Ladder] = (),
    resolver: Resolver = all_matched,
) -> Engine:
    """A CRM.COM engine, and Ann."""
    engine = Engine(Setup(crm.POCKETS, tuple(schemes), rules, tuple(ladders), resolver))
    register(engine)
    return engine


def fixed(name: str, scheme: str, amount: str, kind: str = crm.CASHBACK, when: When = always, rank: int = 0) -> Rule:
    """An offer of a fixed amount for every purchase."""

    def give(_context: Context) -> tuple[Outcome, ...]:
        value = Decimal(amount)
        return (Off(value) if kind == crm.INSTANT else Credit(crm.COMMERCE, value),)

    return Rule(RuleId(name), ProgrammeId(scheme), PURCHASE, give, when, rank=rank, kind=kind)


def gift(name: str, amount: str, through: str, condition: Condition = ANYWHERE) -> Rule:
    """An offer that puts a fixed amount with an expiry day and a spend condition into the pocket."""

    def give(_context: Context) -> tuple[Outcome, ...]:
        expiry = Through(date.fromisoformat(through))
        return (Credit(crm.COMMERCE, Decimal(amount), expiry=expiry, condition=condition),)

    return Rule(RuleId(name), ProgrammeId(SHOP), name, give)


def give_all(engine: Engine, *gifts: Rule, when: str = "2025-05-01") -> None:
    """Trigger each of the gifts once."""
    for row in gifts:
        engine.submit(event(f"give:{row.id}", row.trigger, when))


def test_cr_1_a_reward_becomes_open_money_and_then_pays() -> None:
    """A purchase fully covered by a reward takes it from commerce by way of business, in three entries."""
    nine = gift("nine", "9", "2025-12-31")
    two = Rule(RuleId("two"), ProgrammeId(SHOP), "two", lambda _context: (Credit(crm.BUSINESS, Decimal(2)),))
    engine = build(nine, two)
    give_all(engine, nine, two)

    receipt = engine.submit(purchase("p", "2025-05-20", "6", spend="6"))

    moved = [(str(row.account), row.amount) for row in receipt.entries]
    assert moved == [("commerce", Decimal(-6)), ("business", Decimal(6)), ("business", Decimal(-6))]
    assert balances(engine, "2025-05-21") == {"commerce": 3, "business": 2}


L1 = gift("L1", "5", "2025-06-30")
L2 = gift("L2", "4", "2025-05-31", Condition(products=frozenset({"coffee"})))
L3 = gift("L3", "3", "2025-06-15", Condition(places=frozenset({"Nicosia"})))


def wallet() -> Engine:
    """The wallet of CR-2 with its three lots."""
    engine = build(L1, L2, L3)
    give_all(engine, L1, L2, L3)
    return engine


def left(engine: Engine) -> dict[str, Decimal]:
    """What is left in each lot of the commerce pocket."""
    return {str(lot.cause).removeprefix("give:"): lot.left for lot in engine.lots(ANN, crm.COMMERCE)}


def test_cr_2_only_usable_lots_are_spent_soonest_expiry_first() -> None:
    """At Limassol the coffee lot pays first, then the free one; the one for Nicosia is left alone."""
    engine = wallet()
    lines = (line("1", "6", "coffee"), line("2", "4", "cake"))

    engine.spend(ANN, Decimal(8), occasion("s", "2025-05-20", *lines, places=["Limassol"]))

    assert left(engine) == {"L1": 1, "L3": 3}


def test_cr_3_a_tied_lot_pays_no_more_than_its_lines() -> None:
    """With coffee for 2.50 at most 7.50 can be spent, and asking for 8 is refused and changes nothing."""
    engine = wallet()
    lines = (line("1", "2.50", "coffee"), line("2", "7.50", "cake"))
    here = occasion("s", "2025-05-20", *lines, places=["Limassol"])

    with pytest.raises(LoyaltyError, match=r"at most 7\.50"):
        engine.spend(ANN, Decimal(8), here)

    assert engine.spendable(ANN, here) == Decimal("7.50")
    assert left(engine) == {"L1": 5, "L2": 4, "L3": 3}


def closed(gate: Gate) -> Engine:
    """An engine whose one scheme has this gate."""
    return build(schemes=[crm.scheme(SHOP, gate, active=True)])


def join(name: str, holder: str = ANN, **attrs: str) -> Event:
    """Ask to join the one scheme."""
    return event(name, JOIN, "2025-01-01", holder, programme=SHOP, **attrs)


def test_cr_4_an_address_in_a_domain_is_invited_and_joins_by_its_token() -> None:
    """The domain must match exactly, an invitation is not a membership, and a token works once."""
    engine = closed(EmailDomain(frozenset({"uni.example"})))
    verify = {"programme": SHOP, "token": "secret"}

    engine.submit(join("j1", email="a@UNI.example", token="secret"))
    invited = engine.is_member(ANN, ProgrammeId(SHOP))
    engine.submit(event("v1", VERIFY, "2025-01-02", **verify))

    assert not invited
    assert engine.is_member(ANN, ProgrammeId(SHOP))
    with pytest.raises(LoyaltyError, match="token"):
        engine.submit(event("v2", VERIFY, "2025-01-03", **verify))
    register(engine, BOB)
    for name, email in (("j2", "a@notuni.example"), ("j3", "a@x.uni.example")):
        with pytest.raises(LoyaltyError, match="not open"):
            engine.submit(join(name, BOB, email=email, token=name))


def test_cr_5_each_code_works_once() -> None:
    """A used or deleted code is refused, and deleting a used one does not end the membership."""
    engine = closed(Codes())
    register(engine, BOB)
    engine.submit(event("import", IMPORT_CODES, "2025-01-01", "", programme=SHOP, codes=["K1", "K2"]))

    engine.submit(join("j1", code="K1"))
    with pytest.raises(LoyaltyError, match="K1"):
        engine.submit(join("j2", BOB, code="K1"))
    listed = engine.codes(ProgrammeId(SHOP))
    for code in ("K1", "K2"):
        engine.submit(event(f"delete {code}", DELETE_CODE, "2025-01-02", "", programme=SHOP, code=code))

    assert listed == {"K1": ANN, "K2": None}
    assert engine.is_member(ANN, ProgrammeId(SHOP))
    with pytest.raises(LoyaltyError, match="K2"):
        engine.submit(join("j3", BOB, code="K2"))


def test_cr_6_a_new_business_awards_nothing_until_it_is_activated() -> None:
    """The default scheme and the default offer must both be active, and the contact a member, before 5 % come back."""
    business = Business(SHOP, models.Business(name="Shop"))
    business.register(models.Contact(name="Ann"), ANN, at("2025-01-01"))

    none = business.engine.submit(purchase("1", "2025-01-01", "100"))
    business.switch(business.schemes["default"], "scheme", at("2025-01-02"), active=True)
    business.fill("default", "all", at("2025-01-02"))
    still_none = business.engine.submit(purchase("2", "2025-01-02", "100"))
    business.switch(business.offers["cashback"], "offer", at("2025-01-03"), active=True)
    paid = business.engine.submit(purchase("3", "2025-01-03", "100"))

    assert [receipt.total(Kind.EARN) for receipt in (none, still_none, paid)] == [0, 0, Decimal("5.00")]


def test_cr_7_an_award_is_rounded_once_half_up() -> None:
    """Five per cent of 42.50 are 2.13."""
    engine = build(cashback("five", SHOP, "0.05"))

    receipt = engine.submit(purchase("p", "2025-01-01", "42.50"))

    assert receipt.total(Kind.EARN) == Decimal("2.13")


def test_cr_8_happy_hour_is_a_place_and_a_window() -> None:
    """Happy hour begins at 17:00, is over at 19:00, and holds at its own venue only."""
    hours = between(time(17), time(19))
    engine = build(crm.available(cashback("happy", SHOP, "0.10"), None, None, hours, at_place("V")))
    visits = [("16:59", "V"), ("17:00", "V"), ("18:59", "V"), ("19:00", "V"), ("17:30", "W")]

    paid = [
        bool(engine.submit(purchase(f"{hour}{place}", f"2025-01-01 {hour}", "10", places=[place])).entries)
        for hour, place in visits
    ]

    assert paid == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("born", "day", "due"),
    [("1990-05-20", "2025-05-20", "24.00"), ("1990-05-20", "2025-05-19", "30.00"), ("1992-02-29", "2025-02-28", "24")],
)
def test_cr_9_a_birthday_discount_holds_on_the_day(born: str, day: str, due: str) -> None:
    """On the birthday 20 % come off 30.00 and the wallet stays as it was; 29 February is kept on the 28th."""
    engine = build(instant_discount("birthday", SHOP, "0.20", on_birthday()))
    register(engine, BOB, born=born)

    receipt = engine.submit(purchase("p", day, "30.00", BOB))

    assert receipt.due == Decimal(due)
    assert balances(engine, day, BOB) == {}


def test_cr_10_a_profile_is_completed_once() -> None:
    """The update that completes the profile pays; clearing and refilling a field pays nothing more."""
    engine = build(profile_completion("complete", SHOP, "3", "email", "phone", "dob"))
    updates: list[dict[str, str]] = [
        {"email": "a@b.example"},
        {"phone": "1", "dob": "x"},
        {"phone": ""},
        {"phone": "2"},
    ]

    paid = [
        engine.submit(event(str(number), PROFILE, "2025-01-01", **attrs)).total(Kind.EARN)
        for number, attrs in enumerate(updates)
    ]

    assert paid == [0, 3, 0, 0]


def test_cr_11_a_referral_pays_on_the_first_purchase() -> None:
    """Ann gets 1.00 for Bob's first purchase and nothing for the next; nobody refers themselves."""
    engine = build(referral("referral", SHOP, "1.00"))
    register(engine, BOB, referrer=ANN)
    seen = [balances(engine, "2025-01-01")]
    for number in ("1", "2"):
        engine.submit(purchase(number, "2025-01-02", "10", BOB))
        seen.append(balances(engine, "2025-01-02"))

    assert seen == [{}, {"commerce": 1}, {"commerce": 1}]
    with pytest.raises(LoyaltyError, match="themselves"):
        register(engine, "cyd", referrer="cyd")


def test_cr_12_a_lottery_draws_each_contact_at_most_once() -> None:
    """Only those within the bounds take part, the same dice draw the same winners, and few contacts all win."""
    names = [HolderId(name) for name in ("c", "a", "b", "d")]
    events = [purchase(f"{name}{number}", "2025-01-02", "10", name) for name in names[:3] for number in range(2)]
    events.append(purchase("once", "2025-01-02", "10", "d"))
    ticket = Ticket(at("2025-01-01"), at("2025-02-01"), events=(2, None), total=(Decimal(20), Decimal(20)))

    drum = qualifiers(ticket, events)

    assert drum == ["a", "b", "c"]
    assert draw(drum, 2, random.Random(7)) == draw(reversed(drum), 2, random.Random(7))  # noqa: S311
    assert draw(drum, 5, random.Random(7)) == drum  # noqa: S311


def test_cr_13_an_offer_may_ask_for_a_classification() -> None:
    """A delivery earns; dine-in and a purchase without a label do not."""
    engine = build(cashback("delivery", SHOP, "0.10", classified("delivery")))

    paid = [
        engine.submit(purchase(f"p-{name}", "2025-01-01", "20.00", **{"class": name})).total(Kind.EARN)
        for name in ("delivery", "dine-in", "")
    ]

    assert paid == [2, 0, 0]


def test_cr_14_a_cancelled_purchase_reverts_awards_and_spends() -> None:
    """The cashback is taken back, the lots are refilled, and a lot that is past its date by then dies at once."""
    first, second = gift("L1", "4", "2025-06-30"), gift("L2", "2", "2025-05-31")
    engine = build(first, second, cashback("five", SHOP, "0.05"))
    give_all(engine, first, second)
    engine.submit(purchase("p", "2025-05-20", "50", spend="6"))
    before = balances(engine, "2025-05-20")["commerce"]

    crm.cancel(engine, EventId("p"), at("2025-06-10"))
    after = balances(engine, "2025-06-10")["commerce"]
    crm.cancel(engine, EventId("p"), at("2025-06-10"))

    assert after - before == Decimal("1.50")
    assert left(engine) == {"L1": 4}
    died = [row.amount for row in engine.records if isinstance(row, Entry) and row.kind is Kind.EXPIRE]
    assert died == [Decimal(-2)]
    assert balances(engine, "2025-06-10")["commerce"] == after


TWO = (crm.scheme("S1", active=True), crm.scheme("S2", active=True))


def awarded(rules: Sequence[Rule], resolver: Resolver, spend: str = "0") -> Decimal:
    """What one purchase of 100 is awarded in cashback and discounts."""
    engine = build(gift_all, *rules, schemes=[*TWO, crm.scheme(SHOP, active=True)], resolver=resolver)
    give_all(engine, gift_all)
    receipt = engine.submit(purchase("p", "2025-05-20", "100", spend=spend))
    return receipt.total(Kind.EARN) + receipt.discount


gift_all = gift("wallet", "50", "2025-12-31")


@pytest.mark.parametrize("home_of_b", ["S1", "S2"])
@pytest.mark.parametrize(("mode", "total"), [("all", "4.50"), ("best", "3.00"), ("best_per_scheme", "4.00")])
def test_cr_15_who_is_awarded(mode: str, total: str, home_of_b: str) -> None:
    """All matched, the best, and the best of each scheme give 4.50, 3.00 and 4.00, wherever the smallest offer sits."""
    rules = [fixed("A", "S1", "1.00"), fixed("B", home_of_b, "0.50"), fixed("C", "S2", "3.00")]

    assert awarded(rules, crm.resolution(crm.Mode(mode))) == Decimal(total)


@pytest.mark.parametrize(
    ("mode", "best_instant", "spend", "total"),
    [
        ("all", False, "0", "5.50"),
        ("all", True, "0", "4.00"),
        ("best", False, "0", "2.00"),
        ("best_per_scheme", False, "0", "3.20"),
        ("all", False, "10", "3.50"),
        ("all", True, "10", "2.00"),
    ],
)
def test_cr_16_settings_combine(mode: str, *, best_instant: bool, spend: str, total: str) -> None:
    """Only the best instant discount, and no cashback while spending, combine with every mode."""
    rules = [
        fixed("A", "S1", "1.20"),
        fixed("B", "S1", "0.80"),
        fixed("C", "S2", "2.00", crm.INSTANT),
        fixed("D", "S2", "1.50", crm.INSTANT),
    ]
    resolver = crm.resolution(crm.Mode(mode), best_instant=best_instant, no_award_while_spending=True)

    assert awarded(rules, resolver, spend) == Decimal(total)


def test_discounts_never_exceed_what_is_to_pay() -> None:
    """Of two discounts of 60 on a bill of 100, 10 of it paid from the wallet, the last one is trimmed to 30."""
    engine = build(gift_all, fixed("A", SHOP, "60", crm.INSTANT), fixed("B", SHOP, "60", crm.INSTANT))
    give_all(engine, gift_all)

    receipt = engine.submit(purchase("p", "2025-05-20", "100", spend="10"))

    taken = [(str(row.rule), row.amount) for row in receipt.records if isinstance(row, Discount)]
    assert [("A", Decimal(60)), ("B", Decimal(30))] == taken
    assert receipt.due == 0


def test_cr_17_what_is_filtered_cannot_win() -> None:
    """While spending, the larger cashback is out before the best is chosen, so the discount is awarded."""
    rules = [fixed("A", "S1", "3.00"), fixed("B", "S2", "2.00", crm.INSTANT)]
    resolver = crm.resolution(crm.Mode.BEST, no_award_while_spending=True)

    assert awarded(rules, resolver, "10") == Decimal("2.00")


def test_cr_18_a_tie_goes_to_the_older_id() -> None:
    """Of two offers at 2.00 the older one is awarded, whatever order they are written in."""
    rules = [fixed("offer-1", SHOP, "2.00"), fixed("offer-2", SHOP, "2.00")]

    winners = []
    for order in (rules, rules[::-1]):
        engine = build(*order, resolver=crm.resolution(crm.Mode.BEST))
        receipt = engine.submit(purchase("p", "2025-01-01", "10"))
        winners.append([entry.rule for entry in receipt.entries])

    assert winners == [["offer-1"], ["offer-1"]]


def tiered(*, immediate: bool) -> Engine:
    """The engine of CR-19 after 2024."""
    levels = [("Silver", 0), ("Gold", 30), ("Platinum", 80)]
    ladder = crm.reward_tiers(levels, Decimal(10), start=date(2024, 1, 1), immediate=immediate)
    engine = build(ladders=[ladder])
    engine.submit(purchase("1", "2024-06-01", "250"))
    engine.submit(purchase("2", "2024-12-01", "60"))
    return engine


def reviewed(engine: Engine, *days: str) -> list[str]:
    """The level after a run on each of these days."""
    levels = []
    for day in days:
        engine.run(at(day))
        levels.append(engine.level(ANN, TIERS))
    return levels


def test_cr_19_units_of_a_period_decide_at_its_review() -> None:
    """An early advance holds through the following interval; without the switch one advances at the review."""
    at_once, at_review = tiered(immediate=True), tiered(immediate=False)

    early, late = at_once.level(ANN, TIERS), at_review.level(ANN, TIERS)
    first, late_first = reviewed(at_once, "2025-01-01"), reviewed(at_review, "2025-01-01")
    units = at_once.standing(ANN, TIERS).total
    at_once.submit(purchase("3", "2025-06-01", "200"))

    assert (early, first, units) == ("Gold", ["Gold"], 0)
    assert (late, late_first) == ("Silver", ["Gold"])
    assert reviewed(at_once, "2025-12-31", "2026-01-01") == ["Gold", "Silver"]


def test_cr_20_a_cancelled_purchase_counts_only_at_the_review() -> None:
    """After the cancellation one is still Gold, and Silver from the review on."""
    engine = tiered(immediate=True)

    crm.cancel(engine, EventId("2"), at("2024-12-20"))

    assert engine.level(ANN, TIERS) == "Gold"
    assert reviewed(engine, "2025-01-01") == ["Silver"]


def test_cr_21_reviews_do_not_drift() -> None:
    """Monthly reviews from a sign-up on 31 January fall on 29 February, 31 March and 30 April."""
    engine = build(ladders=[crm.reward_tiers([("Silver", 0), ("Gold", 30)], Decimal(10), months=1)])
    register(engine, BOB, when="2024-01-31 15:00")

    receipt = engine.run(at("2024-04-30"))

    assert [move.at for move in receipt.moves if move.holder == BOB and move.move is Move.RENEW] == [
        at("2024-02-29"),
        at("2024-03-31"),
        at("2024-04-30"),
    ]


def test_cr_22_an_award_is_usable_through_its_last_day() -> None:
    """What is left of a credit dies the day after, against that very lot, and only once."""
    ten = gift("ten", "10", "2025-05-31")
    engine = build(ten)
    give_all(engine, ten)
    engine.spend(ANN, Decimal(7), occasion("s", "2025-05-31 23:59"))

    receipt, again = engine.run(at("2025-06-01")), engine.run(at("2025-06-01"))

    assert [entry.amount for entry in receipt.entries] == [-3]
    assert again.records == ()
    assert balances(engine, "2025-06-01") == {}


@pytest.mark.parametrize(("reduction", "due", "refunds"), [("front", 34, []), ("back", 40, [6])])
def test_cr_23_a_spend_lowers_the_bill_or_is_refunded(reduction: str, due: int, refunds: list[int]) -> None:
    """At the front the till takes 6 off; at the back the full price is paid and 6 are owed until reconciled, once."""
    ten = gift("ten", "10", "2025-12-31")
    engine = build(ten)
    give_all(engine, ten)
    bought = purchase("p", "2025-05-20", "40", spend="6", reduction=reduction, refund_method="card")

    receipt = engine.submit(bought)
    pending = [record.amount for record in receipt.records if isinstance(record, Refund)]
    paid = [
        engine.submit(replace(event(name, RECONCILE, "2025-05-21"), ref=EventId("p"))).records
        for name in ("r1", "r2")
        if refunds
    ]

    assert receipt.due == due
    assert pending == refunds
    assert [len(records) for records in paid] == [1, 0][: 2 * len(refunds)]
    assert balances(engine, "2025-05-21") == {"commerce": 4}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([("M", "1")], {"M": "2.00", "N": "-4.00"}),
        ([("business", "0.6"), ("M", "0.4")], {"M": "-1.00", "N": "-4.00", "business": "3.00"}),
    ],
)
def test_cr_24_settlement_nets_awards_and_spends(shares: list[tuple[str, str]], expected: dict[str, str]) -> None:
    """Who funds an award is charged, who accepts a spend is rebated, and nothing is settled twice."""
    ten = gift("ten", "10", "2025-12-31")
    carried = tuple(Share(party, Decimal(part)) for party, part in shares)
    engine = build(ten, crm.funded(cashback("five", SHOP, "0.05"), lambda _context: carried))
    give_all(engine, ten)
    engine.submit(purchase("award", "2025-05-20", "100"))
    for name, amount in (("M", 3), ("N", 4)):
        engine.spend(ANN, Decimal(amount), occasion(f"at {name}", "2025-05-21", acceptor=name))

    week = settle(engine.records)
    again = settle(engine.records, after=week.upto)

    assert week.charged == {party: Decimal(amount) for party, amount in expected.items()}
    assert again.charged == {}


def test_undoing_a_transfer_is_nothing_to_settle() -> None:
    """Who funded an award is charged for it once, however often it changes hands and comes back."""
    engine = build(crm.funded(cashback("five", SHOP, "0.05"), lambda _context: (Share("M", Decimal(1)),)))
    register(engine, BOB)
    engine.submit(purchase("award", "2025-05-20", "100"))
    attrs: dict[str, Json] = {"to": BOB, "into": crm.COMMERCE, "accounts": [crm.COMMERCE]}
    engine.submit(Event(EventId("gift"), TRANSFER, ANN, at("2025-05-21"), Decimal(5), attrs=attrs))

    engine.reverse(EventId("gift"), at("2025-05-22"))

    assert settle(engine.records).charged == {"M": 5}
    assert balances(engine, "2025-05-22") == {"commerce": 5}


def test_the_till_sees_what_a_purchase_would_do() -> None:
    """The preview names award, spend and what more could be spent, and writes nothing."""
    ten = gift("ten", "10", "2025-12-31")
    engine = build(ten, cashback("five", SHOP, "0.05"))
    give_all(engine, ten)

    shown = crm.preview_purchase(engine, purchase("p", "2025-05-20", "40", spend="6"))

    assert shown["total_award"] == 2
    assert shown["additional_amount_that_could_be_spent"] == 4
    assert balances(engine, "2025-05-20") == {"commerce": 10}


def test_an_award_may_be_bound_to_a_spend_condition() -> None:
    """Cashback bound to coffee cannot pay for cake."""
    coffee = Condition(products=frozenset({"coffee"}))
    engine = build(crm.spend_condition(cashback("five", SHOP, "0.05"), coffee))
    engine.submit(basket("p", "2025-05-20", line("1", "100", "cake")))

    amounts = [engine.spendable(ANN, occasion(item, "2025-05-21", line("1", "9", item))) for item in ("cake", "coffee")]

    assert amounts == [0, 5]
    assert account("commerce") == crm.COMMERCE
