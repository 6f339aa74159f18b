"""Pure. What the SessionM face answers: the adapter's words in the shapes of A2, A13 and A14."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from tiersync.loyalty import sessionm
from tiersync.loyalty.accounts import AccountName
from tiersync.loyalty.records import Entry, LevelMove
from tiersync.loyalty.setup import AS_TOLD
from tiersync.loyalty.state import Receipt
from tiersync.sandbox.faces import CENT, money, stamp
from tiersync.sandbox.sessionm.club import Club, Member

RETAILER = "sandbox"


def customer(member: Member) -> dict[str, object]:
    """Return who it is."""
    return {"user_id": member.user_id, **member.given.model_dump(), "created_at": stamp(member.since)}


def profile(club: Club, member: Member, now: datetime, *, all_systems: bool) -> dict[str, object]:
    """Return the profile; the standard one shows the primary tier system only."""
    levels = tier_levels(club, member)
    return {
        "user": customer(member),
        "tier_levels": levels if all_systems else levels[:1],
        "point_account_balances": balances(club, member, now),
        "tags": sorted(club.engine.tags(member.user_id)),
    }


def tier_levels(club: Club, member: Member) -> list[dict[str, object]]:
    """Return the level in each tier system, with the way to the next one."""
    return [_tier_level(row) for row in sessionm.tier_levels(club.engine, member.user_id)]


def _tier_level(row: dict[str, Any]) -> dict[str, object]:
    system, level, progress = row["tier_system_id"], row["tier_overview"], row["tier_progress"]
    level_id = f"{system}/{level['name']}"
    return {
        **row,
        "id": f"{row['user_id']}/{system}",
        "tier_level_id": level_id,
        "tier_overview": {
            **level,
            "id": level_id,
            "tier_system_id": system,
            "retailer_id": RETAILER,
            "status": "active",
        },
        "tier_progress": [{key: _plain(value) for key, value in progress.items()}],
    }


def balances(club: Club, member: Member, now: datetime) -> dict[str, Any]:
    """Return the balances of all accounts; `worth` is what the spendable ones come to in the economy's currency."""
    block = sessionm.point_account_balances(club.engine, member.user_id, now)
    default = {account.id for account in club.economy.accounts if account.default}
    spendable = sum((row["available_balance"] for row in block["details"] if row["account_name"] in default), CENT * 0)
    return {
        "retailer_id": RETAILER,
        "user_id": member.user_id,
        "summary": {key: _plain(value) for key, value in block["summary"].items()},
        "details": [
            {
                **{key: _plain(value) for key, value in row.items()},
                "point_account_id": row["account_name"],
                "user_point_account_id": f"{member.user_id}/{row['account_name']}",
                "status": "inactive" if row["account_name"] in club.inactive else "active",
            }
            for row in block["details"]
        ],
        "groups": [
            {"grouping_label": label, "available_balance": _plain(value)} for label, value in block["groups"].items()
        ],
        "worth": {"amount": money(spendable * club.economy.point_value), "currency": club.economy.currency},
    }


def happened(receipt: Receipt) -> dict[str, object]:
    """Return what a call did: points, by which behaviour, and level changes."""
    return {
        "repeated": receipt.repeated,
        "points": [entry(row) for row in receipt.entries],
        "tier_changes": tier_changes(receipt.moves),
    }


def entry(row: Entry) -> dict[str, object]:
    """Return one change of one balance; `behavior` says what gave it, `point_source_id` out of which source."""
    return {
        "point_account_id": row.account,
        "kind": str(row.kind),
        "amount": _plain(row.amount),
        "forfeited": _plain(row.lost),
        "behavior": None if row.rule == AS_TOLD else row.rule,
        "point_source_id": row.funders[0].party if row.funders else None,
        "at": stamp(row.at),
    }


def tier_changes(moves: Iterable[LevelMove]) -> list[dict[str, object]]:
    """Return level changes and what maintenance let stand."""
    return [
        {
            "user_id": move.holder,
            "tier_system_id": move.ladder,
            "direction": str(move.move),
            "reason": str(move.reason),
            "from": move.before,
            "to": move.after,
            "at": stamp(move.at),
            "next_maintenance": None if move.until is None else stamp(move.until),
        }
        for move in moves
    ]


def deposited(club: Club, receipt: Receipt) -> dict[str, object]:
    """Return what was posted, and which lines were not."""
    payload = sessionm.deposit_answer(club.engine, receipt)["payload"]
    details = [{**row, "amount": int(Decimal(row["amount"]))} for row in payload["details"]]
    return {
        "status": "ok",
        "payload": {**payload, "details": details},
        "repeated": receipt.repeated,
        "tier_changes": tier_changes(receipt.moves),
    }


def sources(club: Club, now: datetime) -> list[dict[str, object]]:
    """Return the sources: what each issued, and what is left of its stock for each account."""
    issued = sessionm.issued(club.engine)
    return [
        {
            "point_source_id": source.id,
            "issued": _plain(issued.get(source.id, CENT * 0)),
            "stock": None if source.stock is None else source.stock.model_dump(mode="json"),
            "accounts": [
                {
                    "point_account_id": account,
                    "stock_left": _plain(club.engine.in_stock(source.id, AccountName(account), now)),
                }
                for account in source.accounts
            ],
        }
        for source in club.economy.sources
    ]


def _plain(value: object) -> object:
    """Points are whole numbers."""
    return int(value) if isinstance(value, Decimal) else value
