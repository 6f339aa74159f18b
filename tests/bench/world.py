"""Pure. The made-up world of the bench: customers, groups and the webhooks about them.

Primary number N leads a group of itself and the customers that follow it. The stub computes groups from the primary's
id alone, and the driver knows from the same rule which adjustments must arrive.
"""

import json
from collections.abc import Iterator
from typing import Final

ORG: Final = 50614
PROGRAM: Final = 1427
TIERS: Final = ("SilverP2", "GoldP2", "Diamond")
WANTED: Final = TIERS[1]
SECRET: Final = "Bearer-bench"
WEBHOOK_PATH: Final = "/webhooks/capillary"
MEMBERS_MAX: Final = 100_000
_CREATED_AT: Final = 1_772_000_000_000


def primary(number: int) -> int:
    """The customer id of primary `number`, counted from 0."""
    return MEMBERS_MAX * (number + 1)


def secondaries(primary_id: int, size: int) -> range:
    """The other members of a group of `size`."""
    return range(primary_id + 1, primary_id + size)


def webhook(number: int) -> bytes:
    """The tier event about primary `number`, in the form of contracts/examples/tier-upgraded.json."""
    return json.dumps(
        {
            "eventName": "tierUpgraded",
            "eventId": f"00c8084c-0db4-4411-875b-{number:012d}",
            "orgId": ORG,
            "refId": f"{ORG}_iLsAlmiyX8",
            "apiRequestId": "a07a098f6c10459da0fd41cd6abc8172",
            "createdAt": _CREATED_AT + number,
            "data": {
                "customerIdentifiers": {"customerId": primary(number), "instore": {"mobile": "919845600000"}},
                "loyaltyProgramDetails": {
                    "id": PROGRAM,
                    "name": "EMF_autoProgram2",
                    "isDefault": False,
                    "pointsToCurrencyRatio": 1,
                    "tiers": [{"tierNumber": place, "tierName": name} for place, name in enumerate(TIERS, start=1)],
                },
                "loyaltyProgramId": PROGRAM,
                "previousTierNumber": 1,
                "upgradedTierNumber": TIERS.index(WANTED) + 1,
                "tierExpiryDate": "2121-04-27",
                "notes": "Upgrading to Slab : Slab[2]: Name GoldP2 Description test , Criteria: Primary",
                "upgradeType": "STRATEGY",
            },
            "loyaltyEventId": "iLsAlmiyX8",
        }
    ).encode()


def requests(numbers: range) -> Iterator[bytes]:
    """The deliveries of these primaries' webhooks, as HTTP/1.1 requests."""
    for number in numbers:
        body = webhook(number)
        yield (
            f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {SECRET}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
