"""The routes of the SessionM face, under `/sessionm`."""

from tiersync.loyalty.records import Entry
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.faces import CONFLICT, CREATED, Refused, Row, read, stamp
from tiersync.sandbox.faces import verbs as verbs_of
from tiersync.sandbox.sessionm import answers as shape
from tiersync.sandbox.sessionm.club import Club, Member
from tiersync.sandbox.sessionm.economy import Economy
from tiersync.sandbox.sessionm.example import COFFEE_CLUB
from tiersync.sandbox.sessionm.models import (
    AccountState,
    Balance,
    Customer,
    Deposit,
    Events,
    LevelByHand,
    Run,
    Spend,
    Transaction,
)
from tiersync.sandbox.verbs import Verb

API = "/api/1.0"


def create_customer(club: Club, ask: Ask) -> Answer:
    """Make a customer known; everything else needs one."""
    member, created = club.create(read(ask, Customer), ask.request_id, ask.now)
    return Answer({"user": shape.customer(member), "created": created}, CREATED if created else 200)


def read_profile(club: Club, ask: Ask) -> Answer:
    """Return the profile by SessionM's id; `profile=combined` shows the tiers of all systems."""
    return _profile(club, ask, club.by_user_id(ask.params["user_id"]))


def find_profile(club: Club, ask: Ask) -> Answer:
    """Return the profile by the client's id."""
    return _profile(club, ask, club.by_external_id(ask.params["external_id"]))


def _profile(club: Club, ask: Ask, member: Member) -> Answer:
    kind = ask.query.get("profile", "standard")
    if kind not in {"standard", "custom", "combined"}:
        raise Refused("profile must be standard, custom or combined", "profile")
    return Answer(shape.profile(club, member, ask.now, all_systems=kind != "standard"))


def read_tiers(club: Club, ask: Ask) -> Answer:
    """Return the customer's level in every tier system."""
    member = club.by_user_id(ask.params["user_id"])
    return Answer({"user_id": member.user_id, "tier_levels": shape.tier_levels(club, member)})


def place(club: Club, ask: Ask) -> Answer:
    """Put the customer on a level by hand."""
    member = club.by_user_id(ask.params["user_id"])
    receipt = club.place(member, read(ask, LevelByHand), ask.now, ask.request_id)
    return Answer({"status": "ok", "user_id": member.user_id, **shape.happened(receipt)})


def audit(club: Club, ask: Ask) -> Answer:
    """Return every change of the customer's balances, oldest first."""
    member = club.by_user_id(ask.params["user_id"])
    rows = [row for row in club.engine.records if isinstance(row, Entry) and row.holder == member.user_id]
    return Answer({"user_id": member.user_id, "entries": [shape.entry(row) for row in rows]})


def send_events(club: Club, ask: Ask) -> Answer:
    """Work off custom events; promotion happens in here."""
    body = read(ask, Events)
    member = club.member(body)
    receipts = club.happen(member, body, ask.now)
    done = [
        {"name": name, "transaction_id": event.transaction_id, **shape.happened(receipt)}
        for (name, event), receipt in zip(body.events.items(), receipts, strict=True)
    ]
    balances = shape.balances(club, member, ask.now)
    return Answer({"status": "ok", "user_id": member.user_id, "events": done, "point_account_balances": balances})


def send_transaction(club: Club, ask: Ask) -> Answer:
    """Work off a purchase; the same one again with less in it is a return."""
    body = read(ask, Transaction)
    member = club.member(body)
    receipt = club.buy(member, body, ask.now)
    return Answer(
        {
            "status": "ok",
            "user_id": member.user_id,
            "transaction_id": body.transaction_id,
            **shape.happened(receipt),
            "point_account_balances": shape.balances(club, member, ask.now),
        }
    )


def deposit(club: Club, ask: Ask) -> Answer:
    """Put points straight into accounts."""
    body = read(ask, Deposit)
    return Answer(shape.deposited(club, club.deposit(club.member(body), body, ask.now, ask.request_id)))


def balance(club: Club, ask: Ask) -> Answer:
    """Return the balances of some accounts."""
    body = read(ask, Balance)
    member = club.member(body)
    club.know_accounts(body.point_account_ids)
    block = shape.balances(club, member, ask.now)
    wanted = set(body.point_account_ids)
    details = [row for row in block["details"] if not wanted or row["point_account_id"] in wanted]
    return Answer({"status": "ok", "payload": {**block, "details": details}})


def spend(club: Club, ask: Ask) -> Answer:
    """Spend points, oldest first across the accounts."""
    body = read(ask, Spend)
    member = club.member(body)
    return Answer({"status": "ok", "user_id": member.user_id, **shape.happened(club.spend(member, body, ask.now))})


def read_economy(club: Club, ask: Ask) -> Answer:  # noqa: ARG001 - a handler
    """Return the published economy."""
    return Answer(club.economy.model_dump(mode="json"))


def publish_economy(club: Club, ask: Ask) -> Answer:
    """Publish an economy; with customers there already only by `replace=true`, and they are gone then."""
    economy = read(ask, Economy)
    if club.members and not ask.flag("replace"):
        raise Refused(
            f"the economy in force has {len(club.members)} customers; replace=true starts anew without them",
            "replace",
            CONFLICT,
        )
    club.publish(economy)
    return Answer({"status": "published", "name": economy.name}, CREATED)


def list_sources(club: Club, ask: Ask) -> Answer:
    """Return the point sources with what they issued and what is left of their stock."""
    return Answer({"sources": shape.sources(club, ask.now)})


def switch_account(club: Club, ask: Ask) -> Answer:
    """Make a point account active or inactive."""
    body = read(ask, AccountState)
    account = ask.params["account"]
    club.switch(account, ask.now, ask.request_id, active=body.active)
    return Answer({"point_account_id": account, "status": "active" if body.active else "inactive"})


def run(club: Club, ask: Ask) -> Answer:
    """Do what fell due: escrow, expiry, maintenance. Running twice changes nothing."""
    as_of = read(ask, Run).as_of or ask.now
    receipt = club.advance(as_of)
    return Answer({"as_of": stamp(as_of), **shape.happened(receipt)})


PROFILE_EXAMPLE = {
    "user": {"user_id": "0d6a1c52-0000-4000-8000-000000000000", "external_id": "ann"},
    "tier_levels": [
        {
            "tier_system_id": "coffee-club",
            "join_date": "2026-03-12T08:00:00+00:00",
            "tier_overview": {"name": "Silver", "rank": 2, "status": "active"},
            "tier_progress": [{"next": "Gold", "required": 100, "current": 30, "remaining": 70}],
        }
    ],
    "point_account_balances": {"summary": {"total_points": 65, "life_time_points": 65}, "details": []},
    "tags": [],
}
DONE = {"status": "ok", "repeated": False, "points": [], "tier_changes": []}

PUT_IN = "Put points straight into accounts, past all rules"
DEPOSITED = (
    {
        "external_id": "ann",
        "deposit_details": [
            {"point_source_id": "service", "point_account_id": "status", "amount": 10, "reference_id": "case-7"}
        ],
        "allow_partial_success": False,
        "disable_event_publishing": False,
    },
    {"status": "ok", "payload": {"details": [{"point_account_id": "status", "amount": 10}], "failures": []}},
)

ROWS = (
    Row(
        "POST",
        f"{API}/customers",
        create_customer,
        "Create a customer: external_id in, user_id out",
        Customer,
        {"external_id": "ann", "email": "ann@example.com"},
        {"user": {"user_id": "0d6a1c52-0000-4000-8000-000000000000", "external_id": "ann"}, "created": True},
    ),
    Row(
        "GET",
        f"{API}/customers/external/{{external_id}}",
        find_profile,
        "The profile by the client's own id",
        example=PROFILE_EXAMPLE,
        query=(("profile", "combined"),),
    ),
    Row(
        "GET",
        f"{API}/customers/{{user_id}}",
        read_profile,
        "The profile: tier, progress, balances",
        example=PROFILE_EXAMPLE,
        query=(("profile", "combined"),),
    ),
    Row(
        "GET",
        f"{API}/customers/{{user_id}}/tiers",
        read_tiers,
        "The customer's level in every tier system",
        example={"user_id": "0d6a1c52-0000-4000-8000-000000000000", "tier_levels": PROFILE_EXAMPLE["tier_levels"]},
    ),
    Row(
        "PUT",
        f"{API}/customers/{{user_id}}/tiers",
        place,
        "Put the customer on a level by hand",
        LevelByHand,
        {"tier_system_id": "coffee-club", "level": "Gold", "pay_skipped": False},
        DONE,
    ),
    Row(
        "GET",
        f"{API}/customers/{{user_id}}/points",
        audit,
        "Every change of the customer's balances",
        example={"user_id": "0d6a1c52-0000-4000-8000-000000000000", "entries": []},
    ),
    Row(
        "POST",
        f"{API}/events",
        send_events,
        "Send custom events; points and promotion happen in the same call",
        Events,
        {
            "external_id": "ann",
            "events": {"web_login": {"transaction_id": "t-1", "qty": "1", "context": {"page": "/"}}},
        },
        {"status": "ok", "events": [{"name": "web_login", "transaction_id": "t-1", **DONE}]},
    ),
    Row(
        "POST",
        f"{API}/transactions",
        send_transaction,
        "Send a purchase; the same one again without what came back is a return",
        Transaction,
        {"external_id": "ann", "transaction_id": "p-1", "items": [{"id": "1", "sku": "kenya-1lb", "amount": "18.00"}]},
        {"transaction_id": "p-1", **DONE},
    ),
    Row("POST", f"{API}/user_points/deposit", deposit, PUT_IN, Deposit, *DEPOSITED),
    Row("POST", "/api/2.0/user_points/deposit", deposit, f"{PUT_IN}; the same", Deposit, *DEPOSITED),
    Row(
        "POST",
        f"{API}/user_points/balance",
        balance,
        "Balances of some accounts, or of all",
        Balance,
        {"external_id": "ann", "point_account_ids": ["beans"]},
        {"status": "ok", "payload": {"details": [{"point_account_id": "beans", "available_balance": 10}]}},
    ),
    Row(
        "POST",
        f"{API}/user_points/spend",
        spend,
        "Spend points, oldest first",
        Spend,
        {"external_id": "ann", "transaction_id": "s-1", "amount": 5},
        DONE,
    ),
    Row(
        "GET",
        f"{API}/economy/sources",
        list_sources,
        "The point sources: what they issued, what is left of their stock",
        example={"sources": [{"point_source_id": "web", "issued": 20, "stock": None, "accounts": []}]},
    ),
    Row("GET", f"{API}/economy", read_economy, "The published point economy", example={"name": "Coffee Club"}),
    Row(
        "PUT",
        f"{API}/economy",
        publish_economy,
        "Publish a point economy; it starts without customers",
        Economy,
        COFFEE_CLUB,
        {"status": "published", "name": "Coffee Club"},
        (("replace", "true"),),
    ),
    Row(
        "PUT",
        f"{API}/economy/accounts/{{account}}",
        switch_account,
        "Make a point account active or inactive",
        AccountState,
        {"active": False},
        {"point_account_id": "beans", "status": "inactive"},
    ),
    Row(
        "POST",
        "/run",
        run,
        "Escrow, expiry and tier maintenance up to a date",
        Run,
        {"as_of": "2027-03-10T00:00:00Z"},
        {"as_of": "2027-03-10T00:00:00Z", "points": [], "tier_changes": [{"from": "Silver", "to": "Bronze"}]},
    ),
)


def verbs(club: Club) -> tuple[Verb, ...]:
    """Return the routes of a club."""
    return verbs_of("sessionm", club, ROWS)
