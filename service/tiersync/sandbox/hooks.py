"""Pure. Webhooks as they are registered (`contracts/capillary.md` 2.1): reading, keeping, showing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from tiersync.errors import LoyaltyError
from tiersync.sandbox.tiers import stamp_v3

EVENT_NAMES_NULL = 51_003
CONNECTIONS_NOT_POSITIVE = 51_007
CONNECTIONS_MISSING = 300_004
INVALID = 400
UNKNOWN = 404

INSTORE = "INSTORE"
METHODS = ("POST", "PUT", "GET", "DELETE")
CONNECTIONS_MAX = 1_000
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook; `names` are the events it gets."""

    id: int
    name: str
    url: str
    consumer_group: str
    created_on: datetime
    names: frozenset[str]
    connections: int
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = ()
    active: bool = True
    sla_s: int | None = None
    identifiers: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Say whether an event of this name is delivered here."""
        return self.active and name in self.names

    @property
    def instore(self) -> bool:
        """Whether customers come with mobile, e-mail and external id; by default there is the customer id only."""
        return INSTORE in self.identifiers

    def as_json(self) -> dict[str, object]:
        """Return the webhook as the v3 API shows it; noOfRetryAttempts is 0 in all samples, whatever is retried."""
        return {
            "webHookId": self.id,
            "name": self.name,
            "webHookUrl": self.url,
            "webHookType": "HTTP",
            "methodType": self.method,
            "eventNames": sorted(self.names),
            "maxAllowedConnections": self.connections,
            "slaInSeconds": self.sla_s,
            "webHookHeaders": dict(self.headers),
            "active": self.active,
            "customerIdentifiersToBeEnriched": list(self.identifiers),
            "consumerGroupId": self.consumer_group,
            "noOfRetryAttempts": 0,
            "tillDetailsEnrichmentEnabled": False,
            "storeDetailsEnrichmentEnabled": False,
            "awardedReferenceEnrichmentEnabled": False,
            "availablePointsBalanceEnrichmentEnabled": False,
            "attribution": {"createdOn": stamp_v3(self.created_on), "createdBy": {"id": 75_155_297, "type": "TILL"}},
        }


class Hooks:
    """All webhooks of the organisation, the deactivated ones too."""

    def __init__(self) -> None:
        self._by_id: dict[int, Hook] = {}

    def __iter__(self) -> Iterator[Hook]:
        return iter(tuple(self._by_id.values()))

    def get(self, number: int | None) -> Hook:
        """Return a webhook; refuses with 404."""
        hook = None if number is None else self._by_id.get(number)
        if hook is None:
            raise LoyaltyError("webhook not found", UNKNOWN)
        return hook

    def add(self, hook: Hook) -> Hook:
        """Register a webhook; its name must be new. Its id is handed out here."""
        if any(hook.name == other.name for other in self):
            raise LoyaltyError(f"webhook name {hook.name} exists", INVALID)
        kept = replace(hook, id=len(self._by_id) + 1)
        self._by_id[kept.id] = kept
        return kept

    def put(self, hook: Hook) -> Hook:
        """Replace a webhook by its new version."""
        self._by_id[hook.id] = hook
        return hook

    def deactivate(self, number: int) -> Hook:
        """Make a webhook inactive, which is what deleting it means."""
        return self.put(replace(self.get(number), active=False))

    def clear(self) -> None:
        """Forget all of them."""
        self._by_id.clear()


def read(body: Mapping[str, object], base: Hook) -> Hook:
    """Read a request body over `base`; refuses with 51003, 51007, 300004 and 400."""
    names = body.get("eventNames")
    if names is None:
        raise LoyaltyError("eventNames cannot be null", EVENT_NAMES_NULL)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise LoyaltyError("eventNames must be an array of event names", INVALID)
    method = str(body.get("methodType", base.method)).upper()
    if method not in METHODS or body.get("webHookType", "HTTP") != "HTTP":
        raise LoyaltyError("webHookType must be HTTP and methodType one of POST, PUT, GET, DELETE", INVALID)
    name, active, sla = body.get("name", base.name), body.get("active", base.active), body.get("slaInSeconds")
    if not isinstance(name, str) or not name:
        raise LoyaltyError("name is mandatory", INVALID)
    if not isinstance(active, bool):
        raise LoyaltyError("active must be true or false", INVALID)
    identifiers = body.get("customerIdentifiersToBeEnriched", [])
    return replace(
        base,
        name=name,
        url=_url(body.get("webHookUrl", base.url)),
        names=frozenset(names),
        connections=_connections(body),
        method=method,
        headers=_headers(body.get("webHookHeaders", dict(base.headers))),
        active=active,
        sla_s=sla if isinstance(sla, int) else None,
        identifiers=tuple(map(str, identifiers)) if isinstance(identifiers, list) else (),
    )


def _url(value: object) -> str:
    try:
        parts = urlsplit(value) if isinstance(value, str) and value.isascii() and value.isprintable() else None
        usable = parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise LoyaltyError("webHookUrl must be an http or https address", INVALID)
    return str(value)


def _connections(body: Mapping[str, object]) -> int:
    """Read maxAllowedConnections; 10.99 is known to have been truncated to 10."""
    value = body.get("maxAllowedConnections")
    if value is None:
        raise LoyaltyError("maxAllowedConnections is missing", CONNECTIONS_MISSING)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1:
        raise LoyaltyError("maxAllowedConnections must be greater than 0", CONNECTIONS_NOT_POSITIVE)
    return int(min(value, CONNECTIONS_MAX))


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise LoyaltyError("webHookHeaders must be an object", INVALID)
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name) or not isinstance(text, str) or not HEADER_VALUE.fullmatch(text):
            raise LoyaltyError("webHookHeaders has a name or value that HTTP does not allow", INVALID)
    return tuple(value.items())
