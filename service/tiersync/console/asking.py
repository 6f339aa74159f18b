"""What may be asked of the page: the queries, checked, and the links that repeat them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tiersync.intake import EventStatus
from tiersync.store import Keys, Selection
from tiersync.webhook import INT64_MAX

FILTERS: Final = ("id", "status", "reason", "org", "program", "customer", "group", "since", "until")
GROUPS: Final = ("org", "program", "group", "primary", "since", "dry_run", "rate")
_EVENTS_A_SECOND_MAX: Final = 10_000
_CALLS_A_MINUTE_MAX: Final = 100_000
_DIGITS_MAX: Final = len(str(INT64_MAX))

M = TypeVar("M", bound=BaseModel)


def _whole(least: int, most: int, must: str) -> BeforeValidator:
    """A whole number as it is typed; `must` says what it has to be."""

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX and least <= int(value) <= most:
            return int(value)
        raise ValueError(f"must be {must}")

    return BeforeValidator(check)


def _instant(value: Any) -> Any:
    """An ISO date or time, UTC unless it says otherwise, as epoch milliseconds."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date or time such as 2026-01-31T08:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


Number = Annotated[int, _whole(0, INT64_MAX, "a whole number, such as 50614"), Field(ge=0, le=INT64_MAX)]
Id = Annotated[int, _whole(1, INT64_MAX, "an id: a whole number, such as 566998132")]
EventsASecond = Annotated[
    int, _whole(1, _EVENTS_A_SECOND_MAX, f"a whole number of events a second, from 1 to {_EVENTS_A_SECOND_MAX}")
]
CallsAMinute = Annotated[
    int, _whole(1, _CALLS_A_MINUTE_MAX, f"a whole number of calls a minute, from 1 to {_CALLS_A_MINUTE_MAX}")
]
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


class Groups(BaseModel):
    """Which groups are reconciled, and how. An empty field asks nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    org: Number | None = None
    program: Number | None = None
    group: Id | None = None
    primary: Id | None = None
    since: Instant | None = None
    dry_run: bool = False
    rate: CallsAMinute | None = None

    @model_validator(mode="after")
    def _one_group(self) -> Self:
        if self.group is not None and self.primary is not None:
            raise ValueError("group: name the group or its primary, not both")
        return self

    @property
    def keys(self) -> Keys:
        """As the store wants it."""
        return Keys(**self.model_dump(exclude={"rate"}))


class Pace(BaseModel):
    """How fast a replay or a purge goes; nothing typed is as fast as possible."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rate: EventsASecond | None = None


class Page(BaseModel):
    """Where in a list: after the one, or before the other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    before: Number | None = None
    after: Number = 0


def given(query: Mapping[str, Any], names: Sequence[str] = FILTERS) -> dict[str, str]:
    """The fields of a query or a form that are filled in, as they were typed."""
    return {name: str(query[name]).strip() for name in names if str(query.get(name, "")).strip()}


def read(query: Mapping[str, str], model: type[M]) -> tuple[M | None, str]:
    """Check what was asked; if it is wrong, a sentence that names the field."""
    try:
        return model.model_validate(query), ""
    except ValidationError as error:
        return None, problem(error)


def problem(error: ValidationError) -> str:
    """The first thing that is wrong, with the field's name."""
    first = error.errors(include_input=False, include_url=False)[0]
    said = first["msg"].removeprefix("Value error, ")
    return f"{first['loc'][0]}: {said}" if first["loc"] else said


def link(path: str, query: Mapping[str, Any], **more: Any) -> str:
    """An address with a query; what is None is left out."""
    asked = {name: value for name, value in {**query, **more}.items() if value is not None}
    return f"{path}?{urlencode(asked)}" if asked else path
