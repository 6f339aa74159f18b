"""What the SessionM face refuses, and that it says which field is to blame."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.sandbox_kit import Lab
from tests.contract.sessionm_kit import ANN, balances, coffee_club, deposit, post


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A sandbox with the coffee club, and Ann in it."""
    async with coffee_club() as running:
        yield running


LATER, ITEM = "2199-01-01T00:00:00Z", {"id": "1", "amount": "1.00"}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("events", {"external_id": "bob", "events": {"e": {"transaction_id": "1"}}}, 404, "external_id"),
        ("events", {"user_id": "nobody", "events": {"e": {"transaction_id": "1"}}}, 404, "user_id"),
        ("events", {"events": {"e": {"transaction_id": "1"}}}, 422, "body"),
        ("events", {**ANN, "events": {"deposit": {"transaction_id": "1"}}}, 422, "events"),
        ("events", {**ANN, "events": {"TIER_PROMOTED": {"transaction_id": "1"}}}, 422, "events"),
        ("events", {**ANN, "events": {"e": {"transaction_id": "1", "qty": 0}}}, 422, "events.e.qty"),
        ("events", {**ANN, "events": {"e": {"transaction_id": "1", "date": "2026-01-01"}}}, 422, "events.e.date"),
        ("transactions", {**ANN, "transaction_id": "p", "items": []}, 422, "items"),
        (
            "events",
            {**ANN, "events": {"web_login": {"transaction_id": "1", "date": LATER}}},
            422,
            "events.web_login.date",
        ),
        ("transactions", {**ANN, "transaction_id": "p", "date": LATER, "items": [ITEM]}, 422, "date"),
        (
            "transactions",
            {**ANN, "transaction_id": "p", "items": [{"id": "1", "amount": "-1.00"}]},
            422,
            "items.0.amount",
        ),
        ("user_points/balance", {**ANN, "point_account_ids": ["nowhere"]}, 404, "point_account_id"),
        ("user_points/spend", {**ANN, "transaction_id": "s", "amount": -5}, 422, "amount"),
    ],
)
async def test_bad_input_is_refused_by_its_field(
    lab: Lab, path: str, body: dict[str, Any], status: int, field: str
) -> None:
    """Unknown customers are 404, anything malformed is 422, both name the field, and nothing is written."""
    refused = await post(lab, path, **body)

    assert refused.status_code == status, refused.text
    assert refused.json()["error"]["field"].startswith(field)
    assert await balances(lab) == {"status": 0, "beans": 0}


async def test_a_negative_deposit_is_refused_even_if_partial(lab: Lab) -> None:
    """An amount below zero is never a line that may fail: the request is refused by that line."""
    refused = await deposit(lab, {"amount": 5}, {"amount": -3}, allow_partial_success=True)

    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "deposit_details.1.amount")
    assert await balances(lab) == {"status": 0, "beans": 0}
