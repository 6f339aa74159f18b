"""What the SessionM and the CRM.COM face share: bodies into models, refusals into JSON, models into schemas.

A face renames and never decides. Its handlers take the face and the request; whatever the core or a model refuses
becomes `{"error": {"message", "field"}}` with a status below 500, and changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer, error_own
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.verbs import Handler, Verb

FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
CENT = Decimal("0.01")
CREATED, NOT_FOUND, CONFLICT, UNPROCESSABLE = 201, 404, 409, 422

Face = TypeVar("Face")
Model = TypeVar("Model", bound=BaseModel)


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """The face refuses a request, and says which field is to blame."""

    def __init__(self, message: str, field: str, status: int = UNPROCESSABLE) -> None:
        super().__init__(message)
        self.field, self.status = field, status


def _within(at: datetime) -> datetime:
    if not FIRST <= at < LAST:
        raise ValueError(f"must lie between {FIRST.year} and {LAST.year}")
    return at


Moment = Annotated[AwareDatetime, AfterValidator(_within)]
"""An instant with its time zone."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,79}$")]
"""An id that fits into a path."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Money = Annotated[Decimal, Field(ge=0, le=10**9, decimal_places=2, allow_inf_nan=False)]
Sum = Annotated[Decimal, Field(gt=0, le=10**9, decimal_places=2, allow_inf_nan=False)]
"""Money above zero."""
Percent = Annotated[Decimal, Field(gt=0, le=100, decimal_places=4, allow_inf_nan=False)]


class Body(BaseModel):
    """A body: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def read(ask: Ask, model: type[Model]) -> Model:
    """Return the body as a model, no body being an empty one.

    Refused with 400 if it is no JSON object, with 422 and the field if it is wrong.
    """
    body = ask.json() if ask.body else {}
    if not isinstance(body, dict):
        raise Refused("the body must be a JSON object", "body", 400)
    try:
        return model.model_validate(body)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise Refused(f"{field}: {first['msg']}", field) from wrong


@contextmanager
def about(field: str) -> Iterator[None]:
    """Say which field it is about when the core refuses."""
    try:
        yield
    except LoyaltyError as refused:
        raise Refused(str(refused), field) from refused


def found(table: Mapping[str, Model | Any], key: str, what: str, status: int = NOT_FOUND) -> Any:
    """Return a row of a table; an unknown one is refused, with 404 unless told otherwise."""
    if key not in table:
        raise Refused(f"there is no {what} {key[:80]!r}", what.replace(" ", "_") + "_id", status)
    return table[key]


def happened_at(said: datetime | None, now: datetime, field: str) -> datetime:
    """Return when something happened, now unless it is said; what is still to come is refused."""
    if said is not None and said > now:
        raise Refused(f"{field}: {stamp(said)} is still to come, the sandbox's clock shows {stamp(now)}", field)
    return said or now


def bind(prefix: str, face: Face, work: Callable[[Face, Ask], Answer]) -> Handler:
    """Make a handler of a route out of work on a face."""

    def handle(_desk: Desk, ask: Ask, _call: Call) -> Answer:
        try:
            return work(face, ask)
        except Refused as refused:
            return error_own(str(refused), refused.status, field=refused.field)
        except LoyaltyError as refused:
            return error_own(str(refused), refused.code if refused.code == 400 else UNPROCESSABLE, field=None)  # noqa: PLR2004

    handle.__name__ = f"{prefix}_{work.__name__}"
    return handle


@dataclass(frozen=True, slots=True)
class Row:
    """One route of a face, before the face exists."""

    method: str
    path: str
    work: Callable[[Any, Ask], Answer]
    summary: str
    model: type[BaseModel] | None = None
    body: object = None
    example: object = None
    query: tuple[tuple[str, str], ...] = ()


def verbs(prefix: str, face: object, rows: tuple[Row, ...]) -> tuple[Verb, ...]:
    """Return the routes of a face, under its prefix."""
    return tuple(
        Verb(
            row.method,
            f"/{prefix}{row.path}",
            bind(prefix, face, row.work),
            row.summary,
            "own",
            query=row.query,
            body=row.body,
            example=row.example,
            schema=None if row.model is None else schema_of(row.model),
        )
        for row in rows
    )


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a model without references, so that it can stand anywhere in the document."""
    whole = model.model_json_schema()
    definitions = whole.pop("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(definitions[part["$ref"].rpartition("/")[2]])
            return {key: inline(value) for key, value in part.items() if key not in {"title", "discriminator"}}
        return [inline(each) for each in part] if isinstance(part, list) else part

    schema: dict[str, Any] = inline(whole)
    return schema


def money(amount: Decimal) -> str:
    """Money as it is answered: a decimal string with two places."""
    return str(amount.quantize(CENT, ROUND_HALF_UP))


def stamp(at: datetime) -> str:
    """Write an instant in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
