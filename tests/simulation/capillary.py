"""Capillary as the simulation needs it: groups, tiers, four calls, and every way in which a call goes wrong.

It stands at the seam of `capillary.transport`, so that all of the client above it is the real one. What a call does
happens in the world, not in the process that made it: it happens even if that process is dead by then.
"""

import asyncio
import contextvars
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.loop import PROCESS, SimulatedLoop
from tiersync.capillary.outcome import Answer
from tiersync.capillary.transport import NoAnswer, NotSent

Json = dict[str, Any]

PROGRAM: Final = 973
TIERS: Final = ("Silver", "Gold", "Diamond", "Platinum")
CALL_S_MAX: Final = 0.4
FAULTS: Final = (
    "not_sent",
    "lost_before",
    "lost_after",
    "error_before",
    "error_after",
    "busy",
    "locked",
    "unreadable",
    "error_in_200",
)


@dataclass(slots=True)
class Group:
    """One group; members are customer → still active."""

    number: int
    primary: int
    members: dict[int, bool]


@dataclass(slots=True)
class Capillary:
    """The world outside. `faults` is how many calls will still go wrong; `watch` sees each adjustment begin."""

    loop: SimulatedLoop
    dice: random.Random
    groups: dict[int, Group]
    tiers: dict[int, int]
    faults: int = 0
    watch: Callable[[int, int], None] = lambda _member, _primary: None
    left_at: dict[int, float] = field(default_factory=dict)
    in_flight: Counter[int] = field(default_factory=Counter)
    called_at: list[float] = field(default_factory=list)
    in_doubt: set[tuple[int, str]] = field(default_factory=set)
    sent_in_doubt: list[str] = field(default_factory=list)

    def group_of(self, member: int) -> Group:
        """The group that somebody is or was in."""
        return next(group for group in self.groups.values() if member in group.members)

    async def send(
        self, method: str, url: str, _headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Send one request; the answer comes after a drawn time, or never."""
        fault = self._fault()
        if fault == "not_sent":
            await asyncio.sleep(self._while())
            raise NotSent("nobody listens")
        answered: asyncio.Future[Answer] = self.loop.create_future()
        there, back = self._while(), self._while()
        self.called_at.append(self.loop.time())
        member = self._adjusted(method, url)
        if member is not None:
            self.watch(member, self.group_of(member).primary)
            self.in_flight[member] += 1
            self._look_at(member, str(body))

        def happen() -> None:
            answer = self._answer(method, url, body, fault)
            if member is not None:
                self.in_flight[member] -= 1
            if fault not in {"lost_before", "lost_after"}:
                self.loop.call_later(back, deliver, answer, context=contextvars.Context())

        def deliver(answer: Answer) -> None:
            if not answered.done():
                answered.set_result(answer)
                # Whoever sent it knows now, unless that answer says nothing about the effect.
                if member is not None and fault not in {"error_before", "error_after", "unreadable"}:
                    self.in_doubt.discard((member, str(body)))

        self.loop.call_later(there, happen, context=contextvars.Context())
        try:
            async with asyncio.timeout(timeout_s):
                return await answered
        except TimeoutError:
            raise NoAnswer("no answer in time") from None

    def _look_at(self, member: int, body: str) -> None:
        """A change whose effect nobody knows is not sent again before its member's tier was read."""
        change = (member, body)
        if change in self.in_doubt:
            self.sent_in_doubt.append(f"{self.loop.time():.3f}: {process_name()} sends again to {member}: {body}")
        self.in_doubt.add(change)  # until it is answered

    async def close(self) -> None:
        """Nothing to close."""

    def _while(self) -> float:
        return self.dice.choice((0.0, 0.001, 0.01, 0.05, 0.15))

    def _fault(self) -> str | None:
        if not self.faults or self.dice.random() > 0.3:
            return None
        self.faults -= 1
        return self.dice.choice(FAULTS)

    @staticmethod
    def _adjusted(method: str, url: str) -> int | None:
        found = re.search(r"identifierValue=(\d+)", url)
        return int(found[1]) if method == "POST" and found else None

    def _answer(self, method: str, url: str, body: bytes | None, fault: str | None) -> Answer:
        match fault:
            case "lost_before":
                return _said(0, {})
            case "error_before":
                return _said(500, {"errors": [{"code": 500, "message": "before"}]})
            case "busy":
                return Answer(429, {"retry-after": "1"}, b"")
            case "locked":
                return _said(400, {"errors": [{"code": 521, "message": "customer is locked"}]})
            case "error_in_200":
                return _said(200, {"errors": [{"code": 4001, "message": "no authorisation status"}]})
        answer = self._works(method, url, body)
        match fault:
            case "error_after":
                return _said(500, {"errors": [{"code": 500, "message": "after"}]})
            case "unreadable":
                return Answer(200, {}, b"<html>soon</html>")
        return answer

    def _works(self, method: str, url: str, body: bytes | None) -> Answer:
        if (asked := re.search(r"primaryUserId=(\d+)", url)) is not None:
            return self._group(int(asked[1]))
        if (asked := re.search(r"/v2/customers/(\d+)/tierDetails", url)) is not None:
            number = self.tiers[int(asked[1])]
            self.in_doubt = {change for change in self.in_doubt if change[0] != int(asked[1])}
            tier = {"programId": PROGRAM, "currentTierName": TIERS[number - 1], "currentTierSerialNumber": number}
            return _said(200, {"programTiers": [tier]})
        member = self._adjusted(method, url)
        assert member is not None, url
        assert body is not None, url
        return self._adjust(member, json.loads(body))

    def _group(self, primary: int) -> Answer:
        group = self.groups.get(primary)
        if group is None:
            return _said(400, {"errors": [{"code": 1632, "message": "no group has this primary"}]})
        users = [{"userId": primary, "active": True, "primaryMember": True, "defaultGroup": True}]
        users += [
            {"userId": member, "active": active, "primaryMember": False, "defaultGroup": True}
            for member, active in group.members.items()
        ]
        return _said(200, {"id": group.number, "groupStatus": "ACTIVE", "fleetGroupUsers": users})

    def _adjust(self, member: int, said: Json) -> Answer:
        now = self.tiers[member]
        then = TIERS.index(said["toSlabName"]) + 1 if "toSlabName" in said else now
        if said["slabAction"] == "UPGRADE" and then <= now:
            return _said(400, {"errors": [{"code": 8925, "message": "not higher"}]})
        self.tiers[member] = then
        return _said(200, {"sideEffects": [{"upgradedSlabName": TIERS[then - 1]}]})


def _said(status: int, body: Json) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def process_name() -> str:
    """Who is running now; for the watch."""
    process = PROCESS.get()
    return process.name if process is not None else "the world"
