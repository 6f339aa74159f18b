"""The numbered examples of SessionM, SM-1 to SM-21, of `contracts/loyalty-systems.md`."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.loyalty.building import (
    ANN,
    HOUSE,
    account,
    at,
    balances,
    basket,
    by_level,
    deposit,
    event,
    line,
    occasion,
    purchase,
    register,
)
from tiersync.errors import LoyaltyError
from tiersync.loyalty import sessionm
from tiersync.loyalty.accounts import Account, AfterDays, Inactive
from tiersync.loyalty.conditions import bought, either, entering, every, measure, spent
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import ADJUST_LEVEL, LEVEL_UP, PURCHASE, EventId
from tiersync.loyalty.ladders import Fall, Ladder, Level
from tiersync.loyalty.periods import Span
from tiersync.loyalty.programmes import Programme, Redemption
from tiersync.loyalty.records import Kind, LadderId, Move, RuleId
from tiersync.loyalty.rules import Context, Give, Limit, Outcome, Rule, Tag, When, always, both, flat, per
from tiersync.loyalty.setup import Setup

TIERS = LadderId("tiers")
LEVELS = (Level("Bronze", Decimal(0)), Level("Silver", Decimal(30)), Level("Gold", Decimal(100)))


def build(
    *rules: Rule,
    accounts: Sequence[Account] = (sessionm.point_account("status"), sessionm.point_account("bonus")),
    ladders: Sequence[Ladder] = (),
) -> Engine:
    """A SessionM engine with one programme everybody is in, and Ann."""
    engine = Engine(Setup(tuple(accounts), (Programme(HOUSE),), rules, tuple(ladders)))
    register(engine)
    return engine


def rule(name: str, trigger: str, give: Give, when: When = always, limit: Limit | None = None, rank: int = 0) -> Rule:
    """A rule of the one programme."""
    return Rule(RuleId(name), HOUSE, trigger, give, when, limit, rank)


def tiers(levels: Sequence[Level] = LEVELS, fall: Fall = Fall.ONE_DOWN) -> Ladder:
    """The tier system over points earned in `status`."""
    return sessionm.tier_system(TIERS, levels, "status", fall=fall)


def web_login(transaction: str, date: str) -> Any:
    """A `web_login` event by way of SessionM's own body."""
    body = {"events": {"web_login": {"transaction_id": transaction, "qty": "1", "date": f"{date}+00:00"}}}
    return sessionm.custom_events(ANN, body, at("2025-06-01"))[0]


def logged_in() -> Engine:
    """The engine of SM-1 after its logins of three days."""
    limited = rule("login", "web_login", sessionm.award("base", 10, "status"), limit=Limit(1, Span.DAY))
    engine = build(limited, ladders=[tiers()])
    for name, date in [("t1", "2025-06-01 09:00"), ("t2", "2025-06-01 18:00"), ("t3", "2025-06-02 09:00")]:
        engine.submit(web_login(name, date))
    return engine


def test_sm_1_login_earns_once_a_day_and_promotes_in_the_same_call() -> None:
    """Two logins on one day pay once, the third day promotes at once, and a resent event changes nothing."""
    engine = logged_in()
    before = balances(engine, "2025-06-02 10:00")

    receipt = engine.submit(web_login("t4", "2025-06-03 09:00"))
    repeated = engine.submit(web_login("t4", "2025-06-03 09:00"))

    assert before == {"status": 20}
    assert [(move.move, move.after) for move in receipt.moves] == [(Move.UP, "Silver")]
    assert repeated.repeated
    assert balances(engine, "2025-06-03 10:00") == {"status": 30}


def test_sm_2_one_award_feeds_two_accounts() -> None:
    """A source linked to two accounts pays into both, and spending from one leaves the other alone."""
    accounts = [sessionm.point_account("spend"), sessionm.point_account("status")]
    engine = build(rule("base", "visit", sessionm.award("base", 20, "spend", "status")), accounts=accounts)

    engine.submit(event("e1", "visit", "2025-01-01"))
    engine.spend(ANN, Decimal(15), occasion("s1", "2025-01-02", accounts=["spend"]))

    assert balances(engine, "2025-01-03") == {"spend": 5, "status": 20}


def test_sm_3_default_accounts_are_spent_first_in_first_out_together() -> None:
    """Several default accounts are consumed oldest first across all of them."""
    engine = build(accounts=[sessionm.point_account("A"), sessionm.point_account("B")])
    for name, when, amount, into in [
        ("1", "2025-01-01", "40", "A"),
        ("2", "2025-01-05", "50", "B"),
        ("3", "2025-01-10", "30", "A"),
    ]:
        engine.submit(deposit(name, when, amount, into))

    engine.spend(ANN, Decimal(100), occasion("s", "2025-01-11"))

    assert balances(engine, "2025-01-12") == {"A": 20}


def test_sm_4_the_maximum_forfeits_the_rest_and_records_it() -> None:
    """At a maximum of 100 with 90 in the account, an award of 25 credits 10 and forfeits 15."""
    capped = sessionm.point_account("A", replace(sessionm.PERMISSIVE, maximum=Decimal(100)))
    engine = build(accounts=[capped])
    engine.submit(deposit("1", "2025-01-01", "90", "A"))

    receipt = engine.submit(deposit("2", "2025-01-02", "25", "A"))

    assert [(entry.amount, entry.lost) for entry in receipt.entries] == [(Decimal(10), Decimal(15))]
    assert balances(engine, "2025-01-03") == {"A": 100}


def test_sm_5_points_have_a_worth() -> None:
    """At 0.01 a point, 1250 points are worth 12.50."""
    programme = Programme(HOUSE, redemption=Redemption(ratio=Decimal("0.01")))

    assert Decimal("12.50") == programme.redemption.worth(Decimal(1250))


def test_sm_6_rolling_expiry_is_per_lot() -> None:
    """Each lot dies thirty days after its own issue, and what was spent of it does not die again."""
    rolling = sessionm.point_account("A", replace(sessionm.PERMISSIVE, expiry=AfterDays(30)))
    engine = build(accounts=[rolling])
    engine.submit(deposit("1", "2025-03-01", "50", "A"))
    engine.submit(deposit("2", "2025-03-15", "20", "A"))
    engine.spend(ANN, Decimal(30), occasion("s", "2025-03-20"))

    receipt = engine.run(at("2025-03-31"))

    assert receipt.total(Kind.EXPIRE) == -20
    assert balances(engine, "2025-03-31") == {"A": 20}


def test_sm_7_escrow_moves_on_instead_of_dying() -> None:
    """A return takes escrowed points first, and at the end of escrow the rest becomes a new lot of that date."""
    escrow = replace(sessionm.PERMISSIVE, expiry=AfterDays(14), into=account("spend"))
    accounts = [sessionm.point_account("spend"), sessionm.point_account("escrow", escrow)]
    earn = rule("earn", PURCHASE, per(measure(), 1, account("escrow")))
    engine = build(earn, accounts=accounts)
    engine.submit(basket("p", "2025-04-01", line("a", "40"), line("b", "40")))
    engine.reverse(EventId("p"), at("2025-04-10"), [line("b", "40")])
    held = balances(engine, "2025-04-10")

    engine.run(at("2025-04-15"))

    assert held == {"escrow": 40}
    assert balances(engine, "2025-04-15") == {"spend": 40}
    assert [at("2025-04-15")] == [lot.issued for lot in engine.lots(ANN, account("spend"))]

    engine.reverse(EventId("p"), at("2025-04-16"))

    assert balances(engine, "2025-04-16") == {}, "a later return follows the points to where they moved"


def test_sm_8_inactivity_expires_a_share() -> None:
    """After sixty quiet days half of the balance dies at each monthly check, rounded in the member's favour."""
    idle = sessionm.point_account("A", replace(sessionm.PERMISSIVE, expiry=Inactive(60, Decimal("0.5"))))
    engine = build(rule("r", "visit", flat(account("A"), 90)), accounts=[idle])
    engine.submit(event("e", "visit", "2025-01-10"))

    left = []
    for day in ("2025-03-01", "2025-04-01", "2025-05-01"):
        engine.run(at(day))
        left.append(balances(engine, day)["A"])

    assert left == [90, 45, 23]


def test_sm_9_rules_joined_by_and_are_satisfied_independently() -> None:
    """Under AND different items may satisfy different rules; under OR one is enough."""

    def give(_context: Context) -> tuple[Outcome, ...]:
        return (Tag("matched"),)

    baskets = {"mixed": [line("1", "90", "hat"), line("2", "20", "shoe")], "hat": [line("1", "120", "hat")]}
    verdicts = {}
    for join in (every, either):
        for name, lines in baskets.items():
            engine = build(rule("r", PURCHASE, give, join(spent(100), bought("shoe"))))

            engine.submit(basket("p", "2025-01-01", *lines))

            verdicts[join.__name__, name] = engine.tags(ANN) == {"matched"}

    assert verdicts == {
        ("every", "mixed"): True,
        ("every", "hat"): False,
        ("either", "mixed"): True,
        ("either", "hat"): True,
    }


@pytest.mark.parametrize(
    ("net", "precision", "points"),
    [("39.99", None, 0), ("52.50", None, 105), ("52.50", 0, 104)],
)
def test_sm_10_a_hurdle_and_a_precision(net: str, precision: int | None, points: int) -> None:
    """Below the hurdle nothing is earned, above it the whole spend is, after its decimals were cut."""
    engine = build(rule("r", PURCHASE, per(measure(hurdle=40, precision=precision), 2, account("status"))))

    engine.submit(purchase("p", "2025-01-01", net))

    assert engine.posted(ANN, account("status")) == points


def test_sm_11_the_level_before_the_event_sets_the_rate() -> None:
    """A purchase that leads to Silver is still paid at the rate of Bronze."""
    levels = (Level("Bronze", Decimal(0)), Level("Silver", Decimal(100)), Level("Gold", Decimal(500)))
    rates: dict[str, Decimal | int] = {"Bronze": 1, "Silver": 2, "Gold": 3}
    earn = rule("r", PURCHASE, per(by_level(TIERS, rates), 1, account("status")))
    engine = build(earn, ladders=[tiers(levels)])
    engine.submit(deposit("d", "2025-01-01", "90", "status"))

    engine.submit(purchase("p", "2025-01-02", "25"))

    assert balances(engine, "2025-01-03") == {"status": 115}
    assert engine.level(ANN, TIERS) == "Silver"


def test_sm_12_a_weekly_limit_starts_anew_on_monday() -> None:
    """Of a limit of two per week, Monday and Tuesday pay, Sunday does not, and the next Monday does."""
    engine = build(rule("r", "visit", flat(account("bonus"), 1), limit=Limit(2, Span.WEEK)))

    paid = [
        bool(engine.submit(event(day, "visit", day)).entries)
        for day in ("2025-06-02", "2025-06-03", "2025-06-08", "2025-06-09")
    ]

    assert paid == [True, True, False, True]


def test_a_returned_award_frees_its_slot() -> None:
    """A limit counts awards, not attempts: one taken back by a return makes room for another."""
    engine = build(rule("r", PURCHASE, flat(account("bonus"), 5), limit=Limit(1, Span.DAY)))
    engine.submit(purchase("first", "2025-06-02 09:00", "10"))
    engine.reverse(EventId("first"), at("2025-06-02 10:00"))

    paid = [
        bool(engine.submit(purchase(name, "2025-06-02 11:00", "10")).entries) for name in ("instead", "one too many")
    ]

    assert paid == [True, False]


def test_a_limit_pays_as_many_occurrences_as_are_left() -> None:
    """Of three occurrences in one event, a limit of two pays two."""
    engine = build(rule("r", "visit", flat(account("bonus"), 5), limit=Limit(2, Span.DAY)))

    engine.submit(event("e", "visit", "2025-06-02", qty=3))

    assert balances(engine, "2025-06-02") == {"bonus": 10}


def test_sm_13_an_entrance_bonus_is_paid_once_for_ever() -> None:
    """Who is demoted and enters again gets no second entrance bonus."""
    bonus = rule("enter", LEVEL_UP, flat(account("bonus"), 25), entering(TIERS, "Silver"), Limit(1))
    engine = build(bonus, ladders=[tiers()])
    engine.submit(deposit("d1", "2025-01-01", "30", "status"))
    first = balances(engine, "2025-01-02")
    engine.submit(event("down", ADJUST_LEVEL, "2025-02-01", ladder=TIERS, level="Bronze"))

    engine.submit(deposit("d2", "2025-03-01", "30", "status"))

    assert first["bonus"] == 25
    assert engine.level(ANN, TIERS) == "Silver"
    assert balances(engine, "2025-03-02")["bonus"] == 25


@pytest.mark.parametrize(("pay_skipped", "bonus"), [(True, 25), (False, 20)])
def test_sm_14_levels_crossed_pay_their_entrance(*, pay_skipped: bool, bonus: int) -> None:
    """Jumping to Gold pays Silver's entrance too, unless an adjustment says that skipped levels are not paid."""
    silver = rule("silver", LEVEL_UP, flat(account("bonus"), 5), entering(TIERS, "Silver"))
    gold = rule("gold", LEVEL_UP, flat(account("bonus"), 20), entering(TIERS, "Gold"), rank=1)
    engine = build(silver, gold, ladders=[tiers()])

    if pay_skipped:
        engine.submit(deposit("d", "2025-01-01", "120", "status"))
    else:
        engine.submit(event("d", ADJUST_LEVEL, "2025-01-01", ladder=TIERS, level="Gold", pay_skipped=False))

    assert engine.level(ANN, TIERS) == "Gold"
    assert engine.posted(ANN, account("bonus")) == bonus


def maintained() -> Engine:
    """The engine of SM-15 at the end of its second year: joined on 10 March 2024, Silver since 1 June 2024."""
    levels = (Level("Bronze", Decimal(0)), Level("Silver", Decimal(30), stay=Decimal(50)))
    accounts = [sessionm.point_account("status")]
    engine = Engine(Setup(tuple(accounts), (Programme(HOUSE),), (), (tiers(levels),)))
    register(engine, when="2024-03-10")
    engine.submit(deposit("1", "2024-06-01", "80", "status"))
    engine.run(at("2025-03-10"))
    engine.submit(deposit("2", "2025-06-01", "20", "status"))
    engine.spend(ANN, Decimal(100), occasion("s", "2025-09-01"))
    return engine


def test_sm_15_a_level_falls_only_in_maintenance() -> None:
    """Silver survives a good year, and spending everything, and falls exactly on the review that finds too little."""
    engine = maintained()

    levels = [engine.level(ANN, TIERS)]
    for day in ("2026-03-09", "2026-03-10"):
        engine.run(at(day))
        levels.append(engine.level(ANN, TIERS))

    assert levels == ["Silver", "Silver", "Bronze"]


@pytest.mark.parametrize(("fall", "level"), [(Fall.ONE_DOWN, "Silver"), (Fall.TO_QUALIFIED, "Bronze")])
def test_sm_16_how_far_a_member_falls(fall: Fall, level: str) -> None:
    """Gold with nothing earned falls one level, or to what the period qualifies for."""
    levels = tuple(replace(row, stay=row.threshold) for row in LEVELS)
    engine = build(ladders=[tiers(levels, fall)])
    engine.submit(deposit("d", "2024-02-01", "120", "status"))
    engine.run(at("2025-01-01"))

    engine.run(at("2026-01-01"))

    assert engine.level(ANN, TIERS) == level


def test_sm_17_outcomes_see_the_state_before_the_event() -> None:
    """A second outcome cannot build on the first one of the same event, only on that of an earlier event."""
    hundred = rule("first", "visit", flat(account("bonus"), 100), rank=1)

    def rich(context: Context) -> bool:
        return context.me.balances[account("bonus")] >= 100

    engine = build(hundred, rule("second", "visit", flat(account("bonus"), 50), rich, rank=2))

    engine.submit(event("1", "visit", "2025-01-01"))
    first = balances(engine, "2025-01-01")
    engine.submit(event("2", "visit", "2025-01-02"))

    assert first == {"bonus": 100}
    assert balances(engine, "2025-01-02") == {"bonus": 250}


def deposit_body(*, partial: bool) -> dict[str, Any]:
    """The body of SM-18: a line into `spend`, and one into an account that does not exist."""
    lines = [("spend", 30), ("nowhere", 40)]
    return {
        "user_id": ANN,
        "allow_partial_success": partial,
        "deposit_details": [
            {"point_source_id": "base", "point_account_id": name, "amount": amount} for name, amount in lines
        ],
    }


def test_sm_18_a_deposit_is_all_or_nothing_unless_told_otherwise() -> None:
    """With one bad line nothing is posted; with partial success the good line is, and the bad one is listed."""
    engine = build(accounts=[sessionm.point_account("spend")])

    with pytest.raises(LoyaltyError, match="nowhere"):
        engine.submit(sessionm.deposit(deposit_body(partial=False), at("2025-01-01"), "r1"))
    nothing = balances(engine, "2025-01-01")
    receipt = engine.submit(sessionm.deposit(deposit_body(partial=True), at("2025-01-01"), "r2"))

    assert nothing == {}
    assert balances(engine, "2025-01-01") == {"spend": 30}
    assert len(sessionm.deposit_answer(engine, receipt)["payload"]["failures"]) == 1


def test_sm_19_a_deposit_promotes() -> None:
    """Ten points deposited at 25 of 30 lead to Silver."""
    engine = build(ladders=[tiers()])
    engine.submit(deposit("1", "2025-01-01", "25", "status"))

    engine.submit(deposit("2", "2025-01-02", "10", "status", quiet=True))

    assert balances(engine, "2025-01-02") == {"status": 35}
    assert engine.level(ANN, TIERS) == "Silver"


def test_sm_20_the_profile_shows_level_and_progress() -> None:
    """The tier block names level, rank and what is missing to the next one; at the top nothing is missing."""
    engine = logged_in()
    engine.submit(web_login("t4", "2025-06-03 09:00"))

    (silver,) = sessionm.tier_levels(engine, ANN)
    engine.submit(deposit("d", "2025-07-01", "70", "status"))
    (gold,) = sessionm.tier_levels(engine, ANN)

    assert silver["tier_overview"] == {"name": "Silver", "rank": 2}
    assert silver["tier_progress"] == {"next": "Gold", "required": 100, "current": 30, "remaining": 70}
    assert (gold["tier_progress"]["next"], gold["tier_progress"]["remaining"]) == (None, 0)


def ties(*, negative: bool, spent_before: int) -> Engine:
    """The engine of SM-21: two ties for 60, 110 points, some of them spent."""
    accounts = [sessionm.point_account("A", replace(sessionm.PERMISSIVE, negative=negative))]

    def two_items(context: Context) -> bool:
        return len(context.event.lines) >= 2

    base = rule("base", PURCHASE, per(measure(), 1, account("A")))
    engine = build(base, rule("pair", PURCHASE, flat(account("A"), 50), two_items), accounts=accounts)
    engine.submit(sessionm.transaction(ANN, "t", at("2025-01-01"), [line("a", "30"), line("b", "30")]))
    if spent_before:
        engine.spend(ANN, Decimal(spent_before), occasion("s", "2025-01-02"))
    return engine


def test_sm_21_a_return_is_judged_anew_on_what_was_kept() -> None:
    """One tie back takes its 30 points and the pair's bonus; what was spent is owed and paid off first, or absorbed."""
    plain, owing, absorbing = (
        ties(negative=True, spent_before=0),
        ties(negative=True, spent_before=100),
        ties(negative=False, spent_before=100),
    )

    receipts = [
        sessionm.resend(engine, ANN, "t", at("2025-01-03"), [line("a", "30")]) for engine in (plain, owing, absorbing)
    ]
    owed = balances(owing, "2025-01-04")
    owing.submit(deposit("later", "2025-01-05", "100", "A"))

    assert receipts[0].total(Kind.REVERSE) == -80
    assert balances(plain, "2025-01-04") == {"A": 30}
    assert owed == {"A": -70}
    assert balances(owing, "2025-01-05") == {"A": 30}
    assert owing.spendable(ANN, occasion("all", "2025-01-05")) == 30
    assert balances(absorbing, "2025-01-04") == {}
    assert sum(entry.lost for entry in receipts[2].entries) == 70


def test_two_gives_are_given_together() -> None:
    """What several makers give is given in one award."""
    engine = build(rule("r", "visit", both(flat(account("status"), 1), flat(account("bonus"), 2))))

    engine.submit(event("e", "visit", "2025-01-01"))

    assert balances(engine, "2025-01-01") == {"status": 1, "bonus": 2}
