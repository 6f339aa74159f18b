"""Bodies made to harm: the parser must neither fall over nor take for ever, and what is authentic is kept."""

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from tests.conftest import ServiceFactory

STEP_S_MAX = 20
DEPTH = 200_000
HEAD = '{"eventName": "tierUpgraded", "eventId": "e1", "orgId": 1, "data": '


@pytest.mark.parametrize(
    "body",
    [
        "[" * DEPTH,
        "[" * DEPTH + "]" * DEPTH,
        HEAD + '{"a":' * DEPTH + "1" + "}" * DEPTH + "}",
        HEAD + '{"customerIdentifiers": {"customerId": ' + "9" * 500_000 + "}}}",
        HEAD + '{"customerIdentifiers": {"customerId": 1e400}, "upgradedTierNumber": NaN}}',
        HEAD + '"' + "\\ud800" * 1000 + '"}',
        "\ufeff" + HEAD + "{}}",
    ],
    ids=["deep and broken", "deep", "deep inside", "endless number", "no number", "half characters", "byte order mark"],
)
async def test_a_monstrous_body_is_kept_and_answered(service: ServiceFactory, body: str) -> None:
    """It is answered 200 and stored whole, with a reason; the next delivery is served as ever."""
    async with service(body_bytes_max=4_000_000) as running:
        monster = await asyncio.wait_for(running.deliver(body.encode()), STEP_S_MAX)
        following = await running.deliver({"eventName": "other", "eventId": "e2", "orgId": 1})
        kept = (await running.ask("/api/events")).json()["events"]

    assert [200, 200] == [monster.status_code, following.status_code]
    assert 2 == len(kept)


async def test_no_address_in_a_body_is_ever_called(service: ServiceFactory) -> None:
    """An event full of addresses makes the service connect to nobody but the configured API."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/"
        body = {
            "eventName": "tierUpgraded", "eventId": url, "orgId": 1, "refId": url, "callback": url, "createdAt": url,
            "data": {"customerIdentifiers": {"customerId": url, "url": url}, "notes": url, "loyaltyProgramId": url},
        }  # fmt: skip
        async with service() as running:
            answer = await running.deliver(json.dumps(body).encode(), Referer=url, Host=url[7:-1], Origin=url)
            called = None
            with suppress(BlockingIOError):
                called = trap.accept()

    assert 200 == answer.status_code
    assert called is None
