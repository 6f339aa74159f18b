"""Pure. One request as the handlers see it, and reading values out of it without ever failing oddly."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json

from tiersync.errors import LoyaltyError
from tiersync.sandbox.ids import number

INVALID = 400

SOURCES = frozenset(
    {
        "INSTORE",
        "FACEBOOK",
        "WEB_ENGAGE",
        "WECHAT",
        "MARTJACK",
        "TMALL",
        "TAOBAO",
        "JD",
        "ECOMMERCE",
        "WEBSITE",
        "LINE",
        "MOBILE_APP",
    }
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `params` are the named parts of the path; the last of equal query keys counts."""

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    now: datetime
    request_id: str

    def json(self) -> object:
        """Return the body as JSON; refuses with 400."""
        if not self.body:
            raise LoyaltyError("a JSON body is mandatory here", INVALID)
        try:
            return from_json(self.body, allow_inf_nan=False)
        except ValueError as wrong:
            raise LoyaltyError(f"body is not JSON: {wrong}", INVALID) from wrong

    def fields(self) -> dict[str, object]:
        """Return the body as a JSON object; refuses with 400."""
        body = self.json()
        if not isinstance(body, dict):
            raise LoyaltyError("body must be a JSON object", INVALID)
        return body

    def items(self) -> list[object]:
        """Return the body as a JSON array; refuses with 400."""
        body = self.json()
        if not isinstance(body, list):
            raise LoyaltyError("body must be a JSON array", INVALID)
        return body

    def flag(self, name: str) -> bool:
        """Read a query flag; anything but "true" is false."""
        return self.query.get(name, "").lower() == "true"

    def count(self, name: str, default: int) -> int:
        """Read a whole number of the query that is not negative; refuses with 400."""
        text = self.query.get(name)
        if text is None:
            return default
        value = number(text)
        if value is None:
            raise LoyaltyError(f"{name} must be a whole number, not {text[:40]}", INVALID)
        return value

    def require(self, name: str) -> str:
        """Read a query value that must be there; refuses with 400."""
        value = self.query.get(name)
        if not value:
            raise LoyaltyError(f"{name} is mandatory", INVALID)
        return value

    def source(self) -> str:
        """Read `source`, which is case-sensitive; refuses with 400."""
        value = self.require("source")
        if value not in SOURCES and value != "ALL":
            raise LoyaltyError(f"source {value[:40]} is unknown", INVALID)
        return value
