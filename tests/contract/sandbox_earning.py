"""What the tests of earning and redeeming stand on: a programme with rules, and the calls a till makes."""

from typing import Any

import httpx

from tests.contract.sandbox_kit import MOTHER, PROGRAM, Json, Lab

SWIPED = "currentTxn.extField_member_card_swiped"
GOLD_FROM = 1_000

RULED: Json = {
    "id": PROGRAM,
    "name": "Fashion",
    "default": True,
    "tiers": [
        {"name": "Silver"},
        {"name": "Gold", "threshold": GOLD_FROM, "renewAt": 500},
        {"name": "Diamond", "threshold": 5000, "renewAt": 2000},
    ],
    "strategy": {"basis": "LIFETIME_PURCHASES", "pooled": True, "validity": {"months": 12}, "downgrade": "ONE_BELOW"},
    "workflows": [
        {
            "name": "earn",
            "branches": [
                {
                    "condition": f'{SWIPED}=="No" || {SWIPED}.isNull()',
                    "action": "individual",
                    "pointsPerCurrency": "0.1",
                },
                {"condition": f'{SWIPED}=="Yes"', "action": "group", "pointsPerCurrency": "0.1"},
            ],
        }
    ],
    "pointsExpiry": {"months": 12},
}
SHORT_LIVED: Json = {
    "id": 983,
    "name": "Coffee",
    "tiers": ["Base"],
    "pointsPerCurrency": 1,
    "pointsExpiry": {"days": 30},
}


async def plant(lab: Lab, *programmes: Json, **changes: Any) -> None:
    """Plant the ruled programme, with changes, and further ones."""
    await lab.seed(programmes=[{**RULED, **changes}, *programmes])


async def buy(
    lab: Lab, number: str, amount: Any, customer: int = MOTHER, swiped: str | None = "Yes", **more: Any
) -> Any:
    """Send a transaction; returns the answer."""
    fields = {} if swiped is None else {"member_card_swiped": swiped}
    body = {"billNumber": number, "billAmount": amount, "extendedFields": fields, **more}
    return await lab.client.post("/v2/transactions", params=by_id(customer), json=body)


async def give_back(lab: Lab, number: str, kind: str = "FULL", customer: int = MOTHER, **more: Any) -> httpx.Response:
    """Return a transaction, or part of it."""
    body = {"type": "RETURN", "returnType": kind, "billNumber": number, **more}
    return await lab.client.post("/v2/transactions", params=by_id(customer), json=body)


async def redeem(lab: Lab, points: Any, customer: int = MOTHER, query: Json | None = None, **item: Any) -> Json:
    """Redeem points; returns the one item of the answer."""
    body = {"root": {"redeem": [{"points_redeemed": points, "customer": {"id": customer}, **item}]}}
    answer = await lab.client.post("/v1.1/points/redeem", params={"program_id": PROGRAM, **(query or {})}, json=body)
    return dict(answer.json()["response"]["responses"]["points"][0])


async def points_of(lab: Lab, customer: int = MOTHER, program: int = PROGRAM) -> int:
    """Read a customer's own points in a programme."""
    shown = (await lab.client.get(f"/sandbox/customers/{customer}")).json()
    return int({row["programId"]: row["points"] for row in shown["programmes"]}[program])


async def group_summary(lab: Lab) -> Json:
    """Read the family's own points and tier."""
    return dict((await lab.group(id=3918893, programDetails="true"))["pointsSummaries"][0])


async def everything(lab: Lab) -> list[Json]:
    """Read all there is about the organisation, to compare before and after."""
    paths = ["/sandbox/state", "/v2/userGroup2?id=3918893&programDetails=true", f"/sandbox/customers/{MOTHER}"]
    return [(await lab.client.get(path)).json() for path in paths]


def by_id(customer: int) -> dict[str, Any]:
    """Name a customer in a query."""
    return {"identifierName": "id", "identifierValue": str(customer)}


def code_of(answer: httpx.Response) -> int:
    """Return the code an answer is refused with, in v2 or in v1.1 (of the first item, if there are items)."""
    body = answer.json()
    if "errors" in body:
        return int(body["errors"][0]["code"])
    response = body["response"]
    for key in ("responses", "transactions", "points"):
        if key in response:
            inner = next(iter(response[key].values()))
            return int((inner[0] if isinstance(inner, list) else inner)["item_status"]["code"])
    return int(response["status"]["code"])


def moved(answer: httpx.Response) -> list[tuple[int, Any]]:
    """Return what the side effects of a transaction say: (who, points or tier)."""
    effects = answer.json()["sideEffects"]
    return [(each["entityId"], each.get("awardedPoints", each.get("upgradedSlabName"))) for each in effects]
