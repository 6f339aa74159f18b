"""Capillary as cheap as it can be: a raw protocol on uvloop that answers at once and counts the calls.

    GET  /v2/userGroup2?primaryUserId=N                        the group that `world` computes from N
    GET  /v2/customers/N/tierDetails                           the lowest tier
    POST /v2/slab/manualSlabAdjustment?…&identifierValue=N     the wanted tier, as if it had been set
    PUT  /bench/latency/MS                                     take so long to answer from now on
    PUT  /bench/groups/SIZE                                    forget every call; groups have SIZE members from now on
    GET  /bench/count                                          how many adjustments arrived, and when the last one did
    GET  /bench/calls                                          every adjustment and every first look at a group

Instants are seconds of the machine's monotonic clock, the same in every process.
"""

import asyncio
import json
import re
import sys
import time
from collections import Counter
from functools import lru_cache
from typing import Any, Final, cast

import uvloop

from tests.bench import world

_GROUP: Final = b"/v2/userGroup2?primaryUserId="
_ADJUST: Final = b"/v2/slab/manualSlabAdjustment?"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CUSTOMER: Final = re.compile(rb"identifierValue=(\d+)")


class Seen:
    """What arrived since the last reset."""

    def __init__(self, group_size: int) -> None:
        self.group_size = group_size
        self.adjusted: Counter[tuple[int, str]] = Counter()
        self.count = 0
        self.last_at = 0.0
        self.first_calls: dict[int, float] = {}

    def group(self, primary: int) -> bytes:
        """Answer a look at a group."""
        self.first_calls.setdefault(primary, time.monotonic())
        return _group(primary, self.group_size)

    def adjust(self, customer: int, body: bytes) -> bytes:
        """Count an adjustment and say that it was done."""
        tier = json.loads(body).get("toSlabName")
        self.adjusted[customer, tier] += 1
        self.count += 1
        self.last_at = time.monotonic()
        return _adjusted(customer, tier)

    def calls(self) -> dict[str, Any]:
        """All of it."""
        adjusted = [(customer, tier, times) for (customer, tier), times in self.adjusted.items()]
        return {"adjusted": adjusted, "first_calls": list(self.first_calls.items())}


@lru_cache(maxsize=16)
def _group(primary: int, size: int) -> bytes:
    def user(customer: int, *, leads: bool) -> dict[str, Any]:
        return {
            "userId": customer,
            "groupId": primary + 7,
            "defaultGroup": True,
            "primaryMember": leads,
            "active": True,
        }

    users = [user(primary, leads=True), *(user(customer, leads=False) for customer in world.secondaries(primary, size))]
    return json.dumps(
        {
            "id": primary + 7,
            "externalId": f"group_{primary}",
            "groupStatus": "ACTIVE",
            "fleetGroupUsers": users,
            "totalActiveMembers": size,
            "totalExitedMembers": 0,
            "warnings": [{"status": False, "code": 1656, "message": "Fleet group do not have a mapped hierarchy"}],
        }
    ).encode()


def _tier(customer: int) -> bytes:
    tier = {"programId": world.PROGRAM, "currentTierName": world.TIERS[0], "currentTierSerialNumber": 1}
    return json.dumps({"entityId": customer, "entityType": "CUSTOMER", "programTiers": [tier], "warnings": []}).encode()


def _adjusted(customer: int, tier: str) -> bytes:
    return (
        f'{{"programId":{world.PROGRAM},"entityId":{customer},"sideEffects":[{{"entityType":"USER",'
        f'"previousSlabName":"SilverP2","previousSlabNumber":1,"upgradedSlabName":"{tier}","upgradedSlabNumber":2,'
        '"slabExpiryDate":"30th Nov, 2099","type":"slab"}],"warnings":[]}'
    ).encode()


class Capillary(asyncio.Protocol):
    """One kept-alive connection."""

    seen = Seen(group_size=0)
    latency_s = 0.0

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        data = self._pending + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, end + 1)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(data) < stop:
                break
            method, target, _ = data[: data.index(b"\r\n")].split(b" ")
            self._answer(method, target, data[end + 4 : stop])
            data = data[stop:]
        self._pending = data

    def _answer(self, method: bytes, target: bytes, body: bytes) -> None:
        status, answer = b"200 OK", b"{}"
        if target.startswith(_ADJUST) and (customer := _CUSTOMER.search(target)):
            answer = self.seen.adjust(int(customer[1]), body)
        elif target.startswith(_GROUP):
            answer = self.seen.group(int(target[len(_GROUP) :]))
        elif target.startswith(b"/v2/customers/"):
            answer = _tier(int(target.split(b"/")[3]))
        elif target == b"/bench/count":
            answer = json.dumps({"count": self.seen.count, "last_at": self.seen.last_at}).encode()
        elif target == b"/bench/calls":
            answer = json.dumps(self.seen.calls()).encode()
        elif method == b"PUT" and target.startswith(b"/bench/groups/"):
            type(self).seen = Seen(int(target.rpartition(b"/")[2]))
        elif method == b"PUT" and target.startswith(b"/bench/latency/"):
            type(self).latency_s = int(target.rpartition(b"/")[2]) / 1000
        else:
            status = b"404 Not Found"
        assert self._transport is not None
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        said = head % (status, len(answer)) + answer
        if self.latency_s and target.startswith(b"/v2/"):
            asyncio.get_running_loop().call_later(self.latency_s, self._transport.write, said)
        else:
            self._transport.write(said)


async def serve(port: int) -> None:
    """Serve until ended from outside."""
    server = await asyncio.get_running_loop().create_server(Capillary, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
