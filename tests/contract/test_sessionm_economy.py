"""Publishing a point economy by HTTP, and what an economy may not be."""

from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest

from tests.contract.sandbox_kit import Lab
from tests.contract.sessionm_kit import ANN, API, coffee_club, post
from tiersync.sandbox.sessionm.example import COFFEE_CLUB


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A sandbox with the coffee club, and Ann in it."""
    async with coffee_club() as running:
        yield running


async def test_ranks_order_and_limits_bound_a_published_economy(lab: Lab) -> None:
    """Of one event, the outcome of the lower rank is written first, and a limit of two pays two of three times."""
    economy = {
        "name": "Two outcomes",
        "sources": [{"id": "s", "accounts": ["a"]}],
        "accounts": [{"id": "a", "maximum_balance": 100}],
        "behaviors": [
            {
                "id": "b",
                "event": "visit",
                "rules": [{"context": {"page": "shop"}}, {"context": {"page": "blog"}}],
                "join": "or",
                "outcomes": [
                    {"source": "s", "points": 7, "rank": 2},
                    {"source": "s", "points": 5, "rank": 1, "limit": {"count": 2, "per": "week"}},
                ],
            }
        ],
    }
    published = await lab.client.put(f"{API}/economy", params={"replace": "true"}, json=economy)
    await post(lab, "customers", external_id="ann")

    answers = [
        (await post(lab, "events", **ANN, events={"visit": {"transaction_id": name, "qty": n, "context": {"page": p}}}))
        for name, n, p in [("1", 3, "shop"), ("2", 1, "blog"), ("3", 1, "help")]
    ]

    assert published.status_code == 201
    assert [[row["amount"] for row in answer.json()["events"][0]["points"]] for answer in answers] == [
        [10, 21],
        [7],
        [],
    ]


async def test_an_economy_is_replaced_only_on_purpose(lab: Lab) -> None:
    """With customers there, publishing is refused unless `replace` says that they may go."""
    refused = await lab.client.put(f"{API}/economy", json=COFFEE_CLUB)
    replaced = await lab.client.put(f"{API}/economy", params={"replace": "true"}, json=COFFEE_CLUB)
    gone = await lab.client.get(f"{API}/customers/external/ann")

    assert (refused.status_code, refused.json()["error"]["field"]) == (409, "replace")
    assert (replaced.status_code, gone.status_code) == (201, 404)


def broken(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the coffee club with one part of it changed."""
    economy = deepcopy(COFFEE_CLUB)
    part: Any = economy
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return economy


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("sources", 0, "accounts"), ["nowhere"], "nowhere"),
        (("accounts",), [*COFFEE_CLUB["accounts"], {"id": "status"}], "status"),
        (("accounts", 1, "expiry"), {"policy": "rolling", "days": 0}, "days"),
        (("accounts", 1, "expiry"), {"policy": "rolling", "days": 9, "into": "nowhere"}, "nowhere"),
        (("behaviors", 0, "outcomes", 0, "source"), "bonus", "status"),
        (("behaviors", 0, "outcomes", 0, "points"), -1, "points"),
        (("tier_systems", 0, "account"), "nowhere", "nowhere"),
        (("tier_systems", 0, "levels", 2, "entrance", "points"), 10, "rise"),
    ],
)
async def test_an_economy_that_does_not_fit_is_refused(
    lab: Lab, path: tuple[str | int, ...], value: Any, said: str
) -> None:
    """A name that is not defined, or a value out of bounds, is named in the refusal; the economy in force stays."""
    economy = broken(path, value)
    if said == "status" and path[0] == "behaviors":
        economy["behaviors"][0]["outcomes"][0]["accounts"] = ["status"]

    refused = await lab.client.put(f"{API}/economy", params={"replace": "true"}, json=economy)
    kept = await lab.client.get(f"{API}/economy")

    assert refused.status_code == 422
    assert said in refused.json()["error"]["message"]
    assert [row["id"] for row in kept.json()["accounts"]] == ["status", "beans"]
    assert (await lab.client.get(f"{API}/customers/external/ann")).status_code == 200
