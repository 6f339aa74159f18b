"""What the demo sees of the two halves: the sandbox's control API and the service's operator API."""

from collections.abc import Mapping
from typing import Any, Final

import httpx

from tiersync.demo.processes import DemoError

_PAGE: Final = 200


class _View:
    """A JSON API on loopback."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False)

    def ask(self, method: str, path: str, body: Any = None, **query: object) -> Any:
        """Make one call; raises `DemoError` if it is refused or not answered."""
        given = {name: str(value) for name, value in query.items()}
        try:
            response = self._client.request(method, path, json=body, params=given)
        except httpx.HTTPError as error:
            raise DemoError(f"{method} {self.url}{path} was not answered: {error}") from None
        if not response.is_success:
            raise DemoError(f"{method} {self.url}{path} was answered with {response.status_code}: {response.text}")
        return response.json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Sandbox(_View):
    """Capillary, as far as this demo is concerned."""

    def calls(self, since: int) -> list[dict[str, Any]]:
        """The calls after number `since`, as far as they have begun."""
        found: list[dict[str, Any]] = self.ask("GET", "/sandbox/calls", since=since)["calls"]
        return found

    def calls_total(self) -> int:
        """How many calls were made."""
        return int(self.ask("GET", "/sandbox/calls", limit=0)["total"])

    def deliveries_pending(self) -> int:
        """How many webhook deliveries are still under way."""
        return int(self.ask("GET", "/sandbox/deliveries", limit=0)["pending"])

    def decide(self, customer: int, program: int, tier: str | None) -> dict[str, Any]:
        """Let the core decide a tier (None: renew the one held); the answer names the events that were emitted."""
        body = {"programId": program, **({"action": "renew"} if tier is None else {"tier": tier})}
        found: dict[str, Any] = self.ask("POST", f"/sandbox/customers/{customer}/tier", body)
        return found

    def tiers(self, group: str, program: int) -> dict[int, str]:
        """The tier of each member of a group, past members included."""
        standings = self.ask("GET", "/sandbox/state", group=group)["standings"]
        return {each["customer"]: each["tier"] for each in standings if each["programId"] == program}

    def converged(self, program: int) -> bool:
        """Whether the sandbox itself finds every secondary in its primary's tier."""
        return bool(self.ask("GET", "/sandbox/converged", programId=program)["converged"])


class Service(_View):
    """The operator API of the service."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__(url, {"Authorization": f"Bearer {token}"})

    def events(self, **query: object) -> list[dict[str, Any]]:
        """Every stored event that the query selects, the oldest first."""
        found: list[dict[str, Any]] = []
        more: dict[str, object] = {}
        while True:
            page = self.ask("GET", "/api/events", limit=_PAGE, **query, **more)
            found += page["events"]
            if page["next"] is None:
                return found[::-1]
            more = {"before": page["next"]}

    def adjustments(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Every adjustment owed because of an event."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = self.ask("GET", f"/api/events/{event['org']}/{event['event_id']}", limit=_PAGE, after=after)
            found += page["adjustments"]
            if page["next"] is None:
                return found
            after = page["next"]
