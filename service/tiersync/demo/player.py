"""The hands of a scenario file: its happenings as HTTP calls, the sandbox's clock, and what must be true after each."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from pydantic_core import to_jsonable_python

from tiersync.demo.asking import (
    Cast,
    Request,
    Unanswered,
    at,
    given,
    mobile_of,
    number,
    refusal,
    request_of,
    seed_of,
    shown,
)
from tiersync.demo.processes import DemoError
from tiersync.demo.script import Expect, Happening, Script
from tiersync.demo.views import Sandbox, Service

SETTLE_S_MAX: Final = 30
LOOK_S: Final = 0.05
#: The sandbox's clock goes so far at once, and no further.
CLOCK_STEP: Final = timedelta(days=3_650)
#: A balance is found by asking what can be redeemed: so much more than it cannot.
LEAST: Final = 0.001
INSUFFICIENT: Final = 818

Tell = Callable[[str, str, str], None]
"""Shows a line: when, what, and what came of it."""


class Player:
    """One performance of a scenario. `service` is there if the scenario goes through it.

    `failures` are expectations that were not met, each with the happening it belongs to.
    """

    def __init__(self, script: Script, sandbox: Sandbox, service: Service | None, credentials: tuple[str, str]) -> None:
        self._script, self._sandbox, self._service = script, sandbox, service
        username, password = credentials
        hashed = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
        self._api = httpx.Client(base_url=sandbox.url, auth=(username, hashed), timeout=15, trust_env=False)
        self._cast = Cast()
        self._program = script.default_program
        self.happenings = 0
        self.expectations = 0
        self.failures: list[str] = []

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def play(self, tell: Tell) -> None:
        """Play it from the beginning to the end. Raises `DemoError` where it cannot go on."""
        self._set_clock(self._script.begins)
        self._set_up()
        for position, happening in enumerate(self._script.happenings, start=1):
            where = f"happening {position} ({happening.text})"
            try:
                wrong = list(self._play(happening))
            except (Unanswered, DemoError) as error:
                raise DemoError(f"{self._script.name}, {where}: {error}") from error
            self.failures += [f"{where}: {each}" for each in wrong]
            when = self._now().strftime("%Y-%m-%d %H:%M")
            tell(when, happening.text, "; ".join(wrong))
            self.happenings += 1

    # Setting the scene.

    def _set_up(self) -> None:
        script = self._script
        self._must(Request("PUT", "/sandbox/faults", {}, {"organisation": given(script.organisation)}))
        if script.programmes or script.people or script.groups:
            answer = self._must(Request("POST", "/sandbox/seed", {}, seed_of(script)))
            rows = zip(script.groups, answer["groups"], strict=True)
            self._cast.groups = {group.name: row["id"] for group, row in rows}
        self._cast.people = {person.name: person.id for person in script.people}
        self._cast.mobiles = {person.name: mobile_of(person) for person in script.people}
        if script.economy is not None:
            self._must(Request("PUT", "/sessionm/api/1.0/economy", {"replace": "true"}, given(script.economy)))
        if script.business is not None:
            self._open_business(given(script.business))

    def _open_business(self, business: dict[str, Any]) -> None:
        """A business, then what it has more of than its defaults, each by its own route."""
        more = {part: business.pop(part, []) for part in ("schemes", "spend_conditions", "offers")}
        name = self._must(Request("POST", "/crm/businesses", {}, business))["id"]
        for part, rows in more.items():
            for row in rows:
                self._must(Request("POST", f"/crm/businesses/{name}/{part.replace('_', '-')}", {}, row))

    def _must(self, request: Request) -> Any:
        status, body = self._ask(request)
        if (refused := refusal(status, body)) is not None:
            raise DemoError(f"{request.method} {request.path} was refused: {refused[0]} {refused[1]}")
        return body

    # Happenings.

    def _play(self, happening: Happening) -> Iterator[str]:
        """Let it happen; yields what is not as expected."""
        if happening.at is not None:
            self._set_clock(happening.at)
        request = request_of(happening, self._cast)
        if request is not None:
            status, body = self._ask(request)
            yield from self._answered(happening, status, body)
        self._settle()
        yield from self._found(happening.expect)

    def _answered(self, happening: Happening, status: int, body: Any) -> Iterator[str]:
        expect, refused = happening.expect, refusal(status, body)
        if expect.refused is not None:
            self.expectations += 1
            if refused is None:
                yield f"should have been refused with {expect.refused}, and was done: {shown(body)}"
            elif refused[0] != expect.refused:
                yield f"should have been refused with {expect.refused}, was with {refused[0]} {refused[1]}"
        elif refused is not None:
            raise DemoError(f"refused with {refused[0]} {refused[1]}")
        for path, wanted in expect.answer.items():
            try:
                actual = at(body, self._cast.filled(path))
            except Unanswered as missing:
                self.expectations += 1
                yield str(missing)
            else:
                yield from self._compare(path, self._cast.filled(wanted), actual)
        keep = happening.keep
        for name, path in keep.people.items():
            self._cast.people[name] = at(body, path)
            self._cast.mobiles[name] = self._mobile(self._cast.people[name])
        self._cast.groups.update({name: at(body, path) for name, path in keep.groups.items()})
        self._cast.values.update({name: at(body, path) for name, path in keep.values.items()})

    def _mobile(self, customer: int) -> str:
        profile = self._must(Request("GET", f"/v2/customers/{customer}"))
        found: str = at(profile, "profiles.0.identifiers.type=mobile.value")
        return found

    def _compare(self, what: str, wanted: Any, actual: Any) -> Iterator[str]:
        self.expectations += 1
        wanted = to_jsonable_python(wanted)
        if wanted != actual:
            yield f"{what} should be {shown(wanted)}, is {shown(actual)}"

    # What must be true.

    def _found(self, expect: Expect) -> Iterator[str]:
        for name, row in expect.points.items():
            for program, wanted in self._by_program(row):
                self.expectations += 1
                yield from self._points(name, program, wanted)
        for name, row in expect.wallets.items():
            group = self._group(self._cast.groups[name])
            for program, wanted in self._by_program(row):
                held = at(group, f"pointsSummaries.programId={program}.loyaltyPoints")
                yield from self._compare(f"the points of {name} in programme {program}", number(wanted), held)
        for name, levels in expect.tiers.items():
            for program, tier in self._by_program(levels):
                yield from self._compare(f"the tier of {name} in programme {program}", tier, self._tier(name, program))
        for name, members in expect.members.items():
            rows = self._group(self._cast.groups[name])["fleetGroupUsers"]
            there = {row["userId"]: row["primaryMember"] for row in rows if row["active"]}
            called = {customer: person for person, customer in self._cast.people.items()}
            actual = sorted(there, key=lambda customer: not there[customer])
            names = [called.get(customer, str(customer)) for customer in actual]
            yield from self._compare(f"the members of {name}", _primary_first(members), _primary_first(names))

    def _by_program(self, wanted: Any) -> list[tuple[int, Any]]:
        """One value is about the default programme, a table names others by their ids."""
        if isinstance(wanted, Mapping):
            return [(int(program), value) for program, value in wanted.items()]
        return [(self._program, wanted)]

    def _points(self, name: str, program: int, wanted: float) -> Iterator[str]:
        """What somebody has: so much can be redeemed, and not a bit more."""
        more = f"{wanted + LEAST:.3f}"
        said = {str(points): self._redeemable(name, program, points) for points in (str(number(wanted)), more)}
        codes = {points: code for points, code in said.items() if float(points) > 0}
        if codes[more] not in {None, INSUFFICIENT}:
            raise DemoError(f"the points of {name} in programme {program} cannot be seen: code {codes[more]}")
        if codes[more] is None:
            yield f"{name} should have {wanted:g} points in programme {program}, and has more"
        elif codes.get(str(number(wanted))) == INSUFFICIENT:
            yield f"{name} should have {wanted:g} points in programme {program}, and has fewer"

    def _redeemable(self, name: str, program: int, points: str) -> int | None:
        query = {"id": self._cast.people[name], "points": points, "program_id": program, "group_redemption": "false"}
        refused = refusal(*self._ask(Request("GET", "/v1.1/points/isredeemable", query)))
        return None if refused is None else refused[0]

    def _group(self, group: int) -> Any:
        return self._must(Request("GET", "/v2/userGroup2", {"id": group, "programDetails": "true"}))

    def _tier(self, name: str, program: int) -> str:
        path = f"/v2/customers/{self._cast.people[name]}/tierDetails"
        found: str = at(self._must(Request("GET", path, {"programId": program})), "programTiers.0.currentTierName")
        return found

    # Time.

    def _now(self) -> datetime:
        return datetime.fromisoformat(self._sandbox.ask("GET", "/sandbox/clock")["now"])

    def _set_clock(self, to: datetime) -> None:
        """Move the clock ahead; what was to happen earlier than it now is happens now."""
        now = self._now()
        if to < now - timedelta(days=1):
            raise DemoError(f"the scenario is at {to}, and the sandbox's clock, which goes forward only, at {now}")
        while now < to:
            now = min(now + CLOCK_STEP, to)
            self._sandbox.ask("PUT", "/sandbox/clock", {"now": now.isoformat()})

    def _settle(self) -> None:
        """Wait until every webhook is delivered and every event of the service is worked off."""
        if self._service is None:
            return
        deadline = time.monotonic() + SETTLE_S_MAX
        while not self._is_quiet(self._service):
            if time.monotonic() > deadline:
                raise DemoError(f"service and webhooks did not come to rest within {SETTLE_S_MAX} s")
            time.sleep(LOOK_S)

    def _is_quiet(self, service: Service) -> bool:
        before = self._sandbox.ask("GET", "/sandbox/deliveries", limit=0)
        if before["pending"] or any(event["status"] == "pending" for event in service.events()):
            return False
        after: dict[str, Any] = self._sandbox.ask("GET", "/sandbox/deliveries", limit=0)
        return bool(before == after)

    def _ask(self, request: Request) -> tuple[int, Any]:
        query = {name: str(value) for name, value in request.query.items()}
        body = to_jsonable_python(request.body)
        try:
            answer = self._api.request(request.method, request.path, params=query, json=body)
            return answer.status_code, answer.json()
        except httpx.HTTPError as error:
            raise DemoError(f"{request.method} {request.path} was not answered: {error}") from error
        except ValueError as error:
            raise DemoError(f"{request.method} {request.path} was not answered in JSON: {answer.text[:200]}") from error


def _primary_first(names: list[str]) -> list[str]:
    return [*names[:1], *sorted(names[1:])]
