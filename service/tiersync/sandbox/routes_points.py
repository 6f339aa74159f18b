"""Redeeming points in the words of v1.1: is redeemable, redeem, history (`contracts/capillary.md` 3.9, seed 002)."""

from collections.abc import Mapping
from decimal import Decimal

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId, Group, Person
from tiersync.sandbox.amounts import amount_of, plain
from tiersync.sandbox.answers import Answer, answer_v1, item_status
from tiersync.sandbox.ask import INVALID, Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.core import customer_named
from tiersync.sandbox.core import group_named as group_behind
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.routes_transactions import FAILED, PARTLY, buyer, group_named
from tiersync.sandbox.verbs import Verb
from tiersync.sandbox.wallets import Redemption, Wish
from tiersync.sandbox.world import World

DONE = 800
POINTS_INVALID = 801
TOO_MANY_PLACES = 878
PLACES_MAX = 3
BATCH_MAX = 100
TEXT_MAX = 200


def about(world: World, ask: Ask) -> CustomerId | None:
    """Say whose points a query asks about, as far as that can be seen."""
    try:
        return buyer(world, ask.query).id
    except LoyaltyError:
        return None


def is_redeemable(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Say whether points could be redeemed now, and what they are worth."""
    person = buyer(desk.world, ask.query)
    points = _points(ask.query.get("points"))
    programme = desk.world.programmes.find(ask.require("program_id"))
    wish = Wish(person.id, points, programme, _wallet(desk, person, ask.query), ask.flag("group_redemption"))
    shown: dict[str, object] = {"points": plain(points), "points_currency_ratio": str(programme.ratio)}
    try:
        worth = desk.wallets.redeemable(wish, ask.now)
    except LoyaltyError as refused:
        status = item_status(refused.code or FAILED, str(refused), success=False)
        content = {"points": {"redeemable": {**shown, "is_redeemable": "false", "item_status": status}}}
        return answer_v1(content, FAILED, "All requests have failed due to errors")
    status = item_status(DONE, "Points can be redeemed", success=True)
    value = {"points_redeem_value": plain(worth), "points_redeem_local_value": plain(worth), "input_type": "points"}
    return answer_v1({"points": {"redeemable": {**shown, "is_redeemable": "true", **value, "item_status": status}}})


def redeem(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Redeem points, each on its own; the same external_reference_number again gets the first answer."""
    root = ask.fields().get("root")
    items = root.get("redeem") if isinstance(root, dict) else None
    if not isinstance(items, list) or not 0 < len(items) <= BATCH_MAX:
        raise LoyaltyError(f"root.redeem must be a list of 1 to {BATCH_MAX} redemptions", INVALID)
    rows: list[dict[str, object]] = []
    failures = 0
    for item in items:
        try:
            redemption, repeated = desk.wallets.redeem(_wish(desk, ask, item), ask.now)
        except LoyaltyError as refused:
            failures += 1
            rows.append({"item_status": item_status(refused.code or FAILED, str(refused), success=False)})
            continue
        call.effect = call.effect or not repeated
        rows.append(_redeemed(desk, redemption))
    content = {"responses": {"points": rows}}
    if failures == len(rows):
        return answer_v1(content, FAILED, "All requests have failed due to errors")
    return answer_v1(content, PARTLY, "One or more requests have failed") if failures else answer_v1(content)


def redemptions(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """List a customer's redemptions, each with the programmes it drew on."""
    person = buyer(desk.world, ask.query)
    found = desk.wallets.history(person.id)
    limit, offset = ask.count("points_limit", 10), ask.count("points_offset", 0)
    points = [_listed(each) for each in found[offset : offset + limit]]
    customer = {
        "mobile": person.mobile,
        "email": person.email,
        "external_id": person.external_id,
        "firstname": person.first_name,
        "lastname": person.last_name,
        "points_count": len(found),
        "redemptions": {"points": {"point": points}},
    }
    return answer_v1({"customer": customer})


def _wish(desk: Desk, ask: Ask, item: object) -> Wish:
    if not isinstance(item, dict):
        raise LoyaltyError("a redemption must be an object", INVALID)
    customer = item.get("customer")
    person = buyer(desk.world, customer if isinstance(customer, dict) else {})
    return Wish(
        customer=person.id,
        points=_points(item.get("points_redeemed")),
        programme=desk.world.programmes.find_or_default(ask.query.get("program_id")),
        group=_wallet(desk, person, {**ask.query, **item}),
        grouped=item.get("group_redemption") in (True, "true"),
        reference=_text(item.get("external_reference_number")),
        number=_text(item.get("transaction_number")),
    )


def _wallet(desk: Desk, person: Person, names: Mapping[str, object]) -> Group | None:
    """Return the group whose wallet is meant, None for the customer's own. Refuses with 1632 and 1647."""
    if names.get("use_default_user_group2") in (True, "true"):
        return desk.wallets.default_group(person.id)
    return group_named(desk.world, names)


def _points(value: object) -> Decimal:
    points = amount_of(value, "points", POINTS_INVALID, places_max=20)
    return amount_of(str(points), "points", TOO_MANY_PLACES, PLACES_MAX)


def _text(value: object) -> str:
    return str(value)[:TEXT_MAX] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _redeemed(desk: Desk, redemption: Redemption) -> dict[str, object]:
    wish = redemption.wish
    person = desk.world.people.require(wish.customer)
    row: dict[str, object] = {
        "mobile": person.mobile,
        "email": person.email,
        "external_id": person.external_id,
        "user_id": person.id,
        "points_redeemed": str(wish.points),
        "redeemed_value": plain(redemption.worth),
        "balance": plain(redemption.left),
        "redemption_id": redemption.id,
        "item_status": item_status(DONE, "Points redeemed successfully", success=True),
    }
    return {**row, "is_group_redemption": True} if wish.grouped or redemption.givers else row


def _listed(redemption: Redemption) -> dict[str, object]:
    wish = redemption.wish
    return {
        "id": redemption.id,
        "points_redeemed": plain(wish.points),
        "redeemed_value": plain(redemption.worth),
        "transaction_number": wish.number,
        "external_reference_number": wish.reference,
        "redeemed_time": redemption.at.strftime("%Y-%m-%d %H:%M:%S"),
        "program_id": wish.programme.id,
        "group_redemption": wish.grouped,
        "user_group2_id": None if wish.group is None else wish.group.id,
        "redemption_breakup_by_program": [
            {
                "programId": share.programme,
                "pointsRedeemed": plain(share.points),
                "programCurrentPoints": plain(share.left),
            }
            for share in redemption.shares
        ],
        "redemption_breakup_by_member": [
            {
                "entityType": "USER" if group_behind(holder) is None else "USERGROUP2",
                "entityId": customer_named(holder) or group_behind(holder),
                "pointsRedeemed": plain(points),
            }
            for holder, points in redemption.givers
        ],
    }


OK = {"success": "true", "code": 200, "message": "Success"}

VERBS = (
    Verb(
        "GET",
        "/v1.1/points/isredeemable",
        is_redeemable,
        "Whether points can be redeemed, and their value",
        "v1",
        "points",
        customer=about,
        query=(
            ("mobile", "919988123456"),
            ("points*", "1"),
            ("program_id*", "973"),
            ("group_redemption", "false"),
            ("user_group2_id", "3918893"),
        ),
        example={"response": {"status": OK, "points": {"redeemable": {"points": 1, "is_redeemable": "true"}}}},
    ),
    Verb(
        "POST",
        "/v1.1/points/redeem",
        redeem,
        "Redeem points of a customer or group, of one programme or of all",
        "v1",
        "points",
        query=(("program_id", "973"), ("user_group2_id", "3918893")),
        body={
            "root": {
                "redeem": [
                    {
                        "points_redeemed": 1,
                        "customer": {"mobile": "919988123456"},
                        "external_reference_number": "ref-0001",
                        "transaction_number": "bill-0001",
                        "group_redemption": False,
                    }
                ]
            }
        },
        example={"response": {"status": OK, "responses": {"points": [{"points_redeemed": "1", "balance": 99}]}}},
    ),
    Verb(
        "GET",
        "/v1.1/customer/redemptions",
        redemptions,
        "A customer's redemptions with redemption_breakup_by_program",
        "v1",
        "points",
        customer=about,
        query=(("mobile", "919988123456"), ("points_limit", "10"), ("points_offset", "0")),
        example={"response": {"status": OK, "customer": {"redemptions": {"points": {"point": []}}}}},
    ),
)
