"""Every documented code, in every carrier in which it may come: the body's code decides, then the HTTP status."""

from typing import Any

import pytest

from tests.contract.capillary_kit import line
from tiersync.capillary import NotPrimary
from tiersync.capillary.codes import CODES
from tiersync.fanout import Move
from tiersync.retry import Refused, TryAgain

ROWS: dict[int, TryAgain | Refused] = {
    201: TryAgain("batch_failed_partly", 201, in_doubt=True),
    400: Refused("refused", 400),
    401: TryAgain("not_authenticated", 401),
    403: Refused("not_authorised", 403),
    404: Refused("no_such_resource", 404),
    405: Refused("bad_request", 405),
    408: TryAgain("server_error", 408, in_doubt=True),
    415: Refused("bad_request", 415),
    429: TryAgain("rate_limited", 429),
    461: TryAgain("search_busy", 461),
    500: TryAgain("server_error", 500, in_doubt=True),
    502: TryAgain("server_error", 502, in_doubt=True),
    503: TryAgain("server_error", 503, in_doubt=True),
    504: TryAgain("server_error", 504, in_doubt=True),
    521: TryAgain("customer_locked", 521),
    1060: Refused("bad_request", 1060),
    1061: Refused("bad_request", 1061),
    1064: Refused("org_invalid", 1064),
    1101: Refused("program_invalid", 1101),
    1619: Refused("group_invalid", 1619),
    1620: Refused("not_in_group", 1620),
    1621: Refused("customer_not_found", 1621),
    1632: Refused("not_primary", 1632),
    1635: Refused("bad_request", 1635),
    3045: Refused("customer_barred", 3045),
    4000: Refused("not_authorised", 4000),
    4001: TryAgain("authorisation_down", 4001),
    8015: Refused("customer_not_found", 8015),
    8069: Refused("customer_merged", 8069),
    8917: Refused("bad_request", 8917),
    8920: Refused("bad_request", 8920),
    8921: Refused("bad_request", 8921),
    8923: Refused("tier_name_invalid", 8923),
    8925: Refused("not_higher", 8925),
    11030: Refused("customer_invalid", 11030),
}
STATUSES = [code for code in ROWS if 300 <= code < 600]
CARRIERS: dict[str, dict[str, Any]] = {
    "200": {"status": 200},
    "400": {"status": 400},
    "500": {"status": 500},
}


def test_every_documented_code_has_a_row() -> None:
    """A code that is added to the product is added here, with what it must mean."""
    assert ROWS.keys() == CODES.keys()


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("code", ROWS)
async def test_a_code_in_the_body_decides_whatever_the_status(code: int, carrier: str) -> None:
    """Capillary puts errors into 200 and gateways put their own status on top: the code is what was meant."""
    body = {"warnings": [], "errors": [{"status": False, "code": code, "message": ""}]}
    async with line() as to:
        route = to.answer(**CARRIERS[carrier], json=body)
        result = await to.capillary.adjust(2, 973, Move.UPGRADE, "Gold", None, "why", to.until)

    assert ROWS[code] == result
    assert route.call_count == (3 if code in {461, 521, 4001} else 1)


@pytest.mark.parametrize("body", [{"json": {}}, {"html": ""}, {"json": {"errors": None}}, {"json": {"errors": []}}])
@pytest.mark.parametrize("code", STATUSES)
async def test_without_a_code_in_the_body_the_status_decides(code: int, body: dict[str, Any]) -> None:
    """An empty body, an empty object and no error at all are the same silence."""
    async with line() as to:
        to.answer(code, **body)
        result = await to.capillary.adjust(2, 973, Move.UPGRADE, "Gold", None, "why", to.until)

    assert ROWS[code] == result


async def test_only_the_primarys_own_code_says_that_a_customer_leads_no_group() -> None:
    """Every other refusal of the member list is a failure: reading it as "no group" would drop the event silently."""
    found = {}
    for code in ROWS:
        async with line() as to:
            to.answer(json={"errors": [{"code": code}]})
            found[code] = await to.capillary.members(1, to.until)

    assert [code for code, result in found.items() if isinstance(result, NotPrimary)] == [1632]
    assert all(isinstance(result, TryAgain | Refused) for code, result in found.items() if code != 1632)
