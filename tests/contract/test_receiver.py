"""What the receiver answers and keeps: each row of the table of answers, and who is believed to be the sender."""

import base64
import gzip
import hmac
import json
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from starlette.datastructures import Headers

from tests.conftest import WEBHOOK_SECRET, Service, ServiceFactory
from tiersync.receiver import Secrets

EVENT = {
    "eventName": "tierUpgraded",
    "eventId": "00c8084c-0db4-4411-875b-21249dbfc4d8",
    "orgId": 50614,
    "createdAt": 1_619_517_441_506,
    "data": {
        "customerIdentifiers": {"customerId": 406_273_266},
        "loyaltyProgramDetails": {"id": 1427, "tiers": [{"tierNumber": 2, "tierName": "GoldP2"}]},
        "loyaltyProgramId": 1427,
        "upgradedTierNumber": 2,
    },
}
RAW = json.dumps(EVENT).encode()


def changed(**fields: Any) -> bytes:
    """The event with other fields of its envelope."""
    return json.dumps({**EVENT, **fields}).encode()


def with_data(**fields: Any) -> bytes:
    """The event with other fields in its data."""
    return changed(data={**EVENT["data"], **fields})  # type: ignore[dict-item]


async def kept(running: Service) -> list[dict[str, Any]]:
    """What is stored, the newest first."""
    return list((await running.ask("/api/events")).json()["events"])


async def counted(running: Service, answer: str) -> float:
    """How many deliveries got this answer, according to the metrics."""
    text = (await running.client.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith(f'tiersync_deliveries_total{{answer="{answer}"}}')]
    return float(lines[0].split()[-1]) if lines else 0


KEPT: dict[str, tuple[bytes, str, str | None, str]] = {
    "new": (RAW, "accepted", None, "pending"),
    "wrapped": (b'[{"body": %s}]' % RAW, "accepted", None, "pending"),
    "no event of ours": (changed(eventName="pointsRedeemed"), "ignored", "event_not_used", "ignored"),
    "of a group": (
        with_data(entityInformation={"entityId": 1, "entityType": "USERGROUP2"}),
        "ignored",
        "entity_is_group",
        "ignored",
    ),
    "without a program": (
        with_data(loyaltyProgramId=None, loyaltyProgramDetails=None),
        "accepted",
        "program_unknown",
        "dead",
    ),
    "no JSON": (b"\xff\xfe\x00 not json", "quarantined", "not_json", "quarantined"),
    "empty": (b"", "quarantined", "not_json", "quarantined"),
    "several events": (b"[%s, %s]" % (RAW, RAW), "quarantined", "not_one_event", "quarantined"),
    "a fractional customer": (
        with_data(customerIdentifiers={"customerId": 1.5}),
        "quarantined",
        "field_invalid",
        "quarantined",
    ),
    "disagreeing customers": (
        with_data(entityInformation={"entityId": 1, "entityType": "USER"}),
        "quarantined",
        "customer_disagrees",
        "quarantined",
    ),
}


@pytest.mark.parametrize(("body", "answer", "reason", "status"), KEPT.values(), ids=KEPT)
async def test_what_is_authentic_is_answered_200_and_kept_whole(
    service: ServiceFactory, body: bytes, answer: str, reason: str | None, status: str
) -> None:
    """Every authentic delivery is answered 200 with what became of it, and stored with its bytes as they came."""
    async with service() as running:
        response = await running.deliver(body)

        told = response.json()
        assert (200, answer, reason) == (response.status_code, told["status"], told.get("reason"))
        (row,) = await kept(running)
        assert (told["event_id"], told["org"], status) == (row["event_id"], row["org"], row["status"])
        shown = await running.ask(f"/api/events/{row['org']}/{row['event_id']}", body=True)
        assert body.decode("utf-8", "replace") == shown.json()["body"]
        assert 1 == await counted(running, answer)


async def test_the_same_event_again_is_a_duplicate(service: ServiceFactory) -> None:
    """A second delivery of an event is answered 200 duplicate and counted on the stored one."""
    async with service() as running:
        answers = [(await running.deliver(body)).json()["status"] for body in (RAW, RAW, changed(refId="other"))]

        assert ["accepted", "duplicate", "duplicate"] == answers
        assert [2] == [row["duplicates"] for row in await kept(running)]


async def test_a_quarantined_claim_to_an_id_hides_no_event(service: ServiceFactory) -> None:
    """An unreadable delivery does not use up the event id that it claims: the readable one that follows is accepted."""
    async with service() as running:
        answers = [
            (await running.deliver(body)).json()["status"] for body in (with_data(upgradedTierNumber="gold"), RAW)
        ]

        assert ["quarantined", "accepted"] == answers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/webhooks/capillary", 405), ("PUT", "/webhooks/capillary", 405), ("POST", "/webhooks/other", 404)],
)
async def test_what_is_no_delivery_is_not_kept(service: ServiceFactory, method: str, path: str, status: int) -> None:
    """Another method or path is refused, whatever it carries."""
    async with service() as running:
        response = await running.client.request(method, path, content=RAW, headers={"Authorization": WEBHOOK_SECRET})

        assert status == response.status_code
        assert [] == await kept(running)


WRONG = {
    "missing": {},
    "empty": {"Authorization": ""},
    "a prefix": {"Authorization": WEBHOOK_SECRET[:-1]},
    "longer": {"Authorization": WEBHOOK_SECRET + "x"},
    "another case": {"Authorization": WEBHOOK_SECRET.upper()},
    "a scheme before it": {"Authorization": f"Bearer {WEBHOOK_SECRET}"},
    "not ASCII": {"Authorization": "s\xe9cret"},
    "in another header": {"X-Authorization": WEBHOOK_SECRET},
    "a signature nobody asked for": {"webhook-signature": "v1,AAAA", "webhook-id": "1", "webhook-timestamp": "1"},
}


async def test_every_wrong_secret_gets_the_same_answer(service: ServiceFactory) -> None:
    """Whatever is wrong with a credential, the answer is the same 401 to the byte; nothing is kept, all are counted."""
    async with service() as running:
        responses = [
            await running.client.post(
                "/webhooks/capillary",
                content=RAW,
                headers=[(k.encode(), v.encode("latin-1")) for k, v in wrong.items()],
            )
            for wrong in WRONG.values()
        ]

        assert {401} == {response.status_code for response in responses}
        assert 1 == len({(response.content, *response.headers.items()) for response in responses})
        assert [] == await kept(running)
        assert len(WRONG) == await counted(running, "unauthorized")


async def test_several_secrets_live_at_once(service: ServiceFactory) -> None:
    """While a secret is being replaced, the old and the new one are both accepted, in the header that is configured."""
    async with service(webhook_header="X-Webhook-Key", webhook_secrets=["new", "old", "s\xe9cret"]) as running:
        statuses = [
            (
                await running.client.post(
                    "/webhooks/capillary", content=RAW, headers=[(b"X-Webhook-Key", secret.encode())]
                )
            ).status_code
            for secret in ("new", "old", "s\xe9cret", "older")
        ]

        assert [200, 200, 200, 401] == statuses


def test_nothing_is_never_a_secret() -> None:
    """A sender without a credential is refused even if a blank one were among the secrets."""
    secrets = Secrets("Authorization", [b"", b"real"], [], 300)

    assert [False, False, True] == [
        secrets.accept_header(Headers(sent)) for sent in ({}, {"Authorization": ""}, {"Authorization": "real"})
    ]


KEYS = [b"k" * 24, b"K" * 32]
SECRETS = ["whsec_" + base64.b64encode(key).decode() for key in KEYS]


def signed(body: bytes = RAW, key: bytes = KEYS[0], age_s: int = 0, version: str = "v1", **sent: str) -> dict[str, str]:
    """The headers of a Standard Webhooks delivery; `sent` replaces what was signed by something else."""
    stamp = str(int(time.time()) - age_s)
    digest = hmac.digest(key, b"msg_1." + stamp.encode() + b"." + body, sha256)
    return {
        "webhook-id": sent.get("id", "msg_1"),
        "webhook-timestamp": sent.get("stamp", stamp),
        "webhook-signature": sent.get("signature", f"{version},{base64.b64encode(digest).decode()}"),
    }


SIGNED: dict[str, tuple[Callable[[], dict[str, str]], int]] = {
    "right": (signed, 200),
    "right, with the key that goes": (lambda: signed(key=KEYS[1]), 200),
    "almost too old": (lambda: signed(age_s=250), 200),
    "two, one of them right": (
        lambda: {name: value.replace("v1,", "v1,AAAA v1,") for name, value in signed().items()},
        200,
    ),
    "too old": (lambda: signed(age_s=1000), 401),
    "too early": (lambda: signed(age_s=-1000), 401),
    "by another key": (lambda: signed(key=b"x" * 24), 401),
    "over another body": (lambda: signed(RAW + b" "), 401),
    "over another id": (lambda: signed(id="msg_2"), 401),
    "of another instant": (lambda: signed(age_s=1, stamp=str(int(time.time()) + 1)), 401),
    "of no instant": (lambda: signed(stamp=""), 401),
    "of an odd instant": (lambda: signed(stamp="\u00b2"), 401),
    "of an endless instant": (lambda: signed(stamp="9" * 5000), 401),
    "of another version": (lambda: signed(version="v2"), 401),
    "empty": (lambda: signed(signature=""), 401),
    "not base64": (lambda: signed(signature="v1,\u00e9"), 401),
}


@pytest.mark.parametrize(("headers", "status"), SIGNED.values(), ids=SIGNED)
async def test_a_signature_must_be_fresh_and_over_these_bytes(
    service: ServiceFactory, headers: Callable[[], dict[str, str]], status: int
) -> None:
    """A Standard Webhooks signature by any live key is accepted if it is fresh and over this id, instant and body."""
    async with service(webhook_secrets=[], webhook_signing_secrets=SECRETS) as running:
        response = await running.client.post(
            "/webhooks/capillary",
            content=RAW,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers().items()],
        )

        assert status == response.status_code
        assert (status == 200) == bool(await kept(running))


async def test_a_signature_is_over_the_bytes_on_the_wire(service: ServiceFactory) -> None:
    """A compressed delivery is signed as it is sent, compressed."""
    packed = gzip.compress(RAW)
    async with service(webhook_secrets=[], webhook_signing_secrets=SECRETS) as running:
        statuses = [
            (
                await running.client.post(
                    "/webhooks/capillary", content=packed, headers={**headers, "Content-Encoding": "gzip"}
                )
            ).status_code
            for headers in (signed(packed), signed(RAW))
        ]

        assert [200, 401] == statuses


async def test_a_header_and_signatures_live_side_by_side(service: ServiceFactory) -> None:
    """Where both are configured either proves the sender, and without either nobody is believed."""
    async with service(webhook_signing_secrets=SECRETS) as running:
        by_header = await running.deliver(RAW)
        by_signature = await running.client.post("/webhooks/capillary", content=RAW, headers=signed())
        by_nothing = await running.client.post("/webhooks/capillary", content=RAW)

        assert [200, 200, 401] == [answer.status_code for answer in (by_header, by_signature, by_nothing)]
