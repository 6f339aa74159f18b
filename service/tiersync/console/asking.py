"""What may be asked of the page: the queries, checked, and the links that repeat them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tiersync.intake import EventStatus
from tiersync.store import Selection
from tiersync.webhook import INT64_MAX

FILTERS: Final = ("id", "status", "reason", "org", "program", "customer", "group", "since", "until")


def _instant(value: Any) -> Any:
    """An ISO date or time, UTC unless it says otherwise, as epoch milliseconds."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date or time such as 2026-01-31T08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


Number = Annotated[int, Field(ge=0, le=INT64_MAX)]
Instant = Annotated[int, BeforeValidator(_instant), Field(ge=0, le=INT64_MAX)]


class Filter(BaseModel):
    """Which events. An empty field asks nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str | None = Field(None, max_length=1000)
    status: EventStatus | None = None
    reason: str | None = Field(None, max_length=200, pattern=r"^[^\x00]*$")
    org: Number | None = None
    program: Number | None = None
    customer: Number | None = None
    group: Number | None = None
    since: Instant | None = None
    until: Instant | None = None

    @property
    def selection(self) -> Selection:
        """As the store wants it."""
        values = self.model_dump(exclude={"id", "customer"})
        return Selection(ids=(self.id,) if self.id else (), involving=self.customer, **values)

    @property
    def empty(self) -> bool:
        """Say whether it selects every event."""
        return not self.model_dump(exclude_none=True)


class Page(BaseModel):
    """Where in a list: after the one, or before the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    before: Number | None = None
    after: Number = 0


def given(query: Mapping[str, Any]) -> dict[str, str]:
    """The filter fields of a query or a form that are filled in, as they were typed."""
    return {name: str(query[name]).strip() for name in FILTERS if str(query.get(name, "")).strip()}


def read(query: Mapping[str, str]) -> tuple[Filter | None, str]:
    """Check a filter; without one, a sentence that names the field."""
    try:
        return Filter.model_validate(query), ""
    except ValidationError as error:
        return None, problem(error)


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, with the field's name."""
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].removeprefix('Value error, ')}"


def link(path: str, query: Mapping[str, Any], **more: Any) -> str:
    """An address with a query; what is None is left out."""
    asked = {name: value for name, value in {**query, **more}.items() if value is not None}
    return f"{path}?{urlencode(asked)}" if asked else path
