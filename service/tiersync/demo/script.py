"""Scenario files: TOML read into values. Whatever is wrong with one is said with its line and its field.

A file says who there is (organisation, programmes, people, groups; an economy or a business for the other two faces)
and what happens when, with what must be true then. `docs/scenarios.md` tells how to write one.
"""

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from tiersync.errors import LoyaltyError
from tiersync.sandbox.crm.models import Business as BusinessSeed
from tiersync.sandbox.crm.offers import Offer, Scheme, SpendCondition
from tiersync.sandbox.programme_seeds import ProgrammeSeed, programme_of, scheme_of
from tiersync.sandbox.sessionm.economy import Economy
from tiersync.sandbox.switches import OrganisationSwitches

FILE_BYTES_MAX = 1_000_000

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,49}$")]
"""How the file calls a person, a group or a value it keeps."""

Points = Annotated[float, Field(ge=0, le=10**12, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=10**12, allow_inf_nan=False)]
Route = Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|DELETE) [/{][^?#]*$")]
Body = dict[str, Any]


class ScriptError(Exception):
    """A scenario file cannot be read; the message names file, line and field."""


class Strict(BaseModel):
    """Frozen, and nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(Strict):
    """A customer who is there from the beginning."""

    name: Name
    id: PositiveInt
    mobile: str | None = None
    email: str | None = None
    external_id: str | None = Field(default=None, alias="externalId")
    status: str = "ACTIVE"


class Group(Strict):
    """A group that is there from the beginning; `tier` is where everybody in it begins."""

    name: Name
    external_id: str = Field(alias="externalId")
    primary: Name
    secondaries: list[Name] = []
    max_size: PositiveInt | None = Field(default=None, alias="maxGroupSize")
    tier: str | None = None


class Buys(Strict):
    """A transaction; `fields` are its extended fields, without `group` the buyer's default group is meant."""

    who: Name
    amount: Amount
    bill: str
    fields: dict[str, str] = {}
    group: Name | None = None
    program: int | None = None


class Returns(Strict):
    """A bill comes back, all of it or so much of its `amount`."""

    who: Name
    bill: str
    amount: Amount | None = None


class Redeems(Strict):
    """Points are redeemed: from one's own wallet or the `group`'s, of one programme or of all of them."""

    who: Name
    points: Points
    group: Name | None = None
    program: int | None = None
    all_programmes: bool = False


class Transfers(Strict):
    """Points move between people, or between a member and a group; `by` is the member who moves them."""

    points: Points
    giver: Name = Field(alias="from")
    taker: Name = Field(alias="to")
    by: Name | None = None
    program: int | None = None
    all_programmes: bool = False


class Joins(Strict):
    """Somebody enters a group."""

    who: Name
    group: Name
    role: Literal["primary", "secondary"] = "secondary"
    permissions: list[str] = []
    default: bool = True


class Leaves(Strict):
    """Somebody leaves a group."""

    who: Name
    group: Name


class Permits(Strict):
    """A member's permissions are replaced."""

    who: Name
    group: Name
    permissions: list[str]


class MovesIn(Strict):
    """The custom job: what a member earned alone goes to the wallet of the group."""

    who: Name
    group: Name


class Keep(Strict):
    """Names for what an answer says, each with its place in the answer."""

    people: dict[Name, str] = {}
    groups: dict[Name, str] = {}
    values: dict[Name, str] = {}


class Expect(Strict):
    """What must be true after a happening. Without `refused` the call itself must succeed."""

    refused: int | None = None
    answer: Body = {}
    points: dict[Name, Points | dict[str, Points]] = {}
    wallets: dict[Name, Points | dict[str, Points]] = {}
    tiers: dict[Name, str | dict[str, str]] = {}
    members: dict[Name, list[Name]] = {}


VERBS = ("buys", "returns", "redeems", "transfers", "joins", "leaves", "permits", "moves_in", "switches", "call")


class Happening(Strict):
    """Something happens (one of VERBS), or only time passes, and something must be true then."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    at: AwareDatetime | None = None
    buys: Buys | None = None
    returns: Returns | None = None
    redeems: Redeems | None = None
    transfers: Transfers | None = None
    joins: Joins | None = None
    leaves: Leaves | None = None
    permits: Permits | None = None
    moves_in: MovesIn | None = None
    switches: Body | None = None
    call: Route | None = None
    query: Body = {}
    body: Body | list[Any] | None = None
    keep: Keep = Keep()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        given = [verb for verb in VERBS if getattr(self, verb) is not None]
        if len(given) > 1:
            raise ValueError(f"one thing happens at a time, here are {' and '.join(given)}")
        if self.call is None and (self.query or self.body is not None):
            raise ValueError("query and body belong to call")
        if not given and (self.expect.refused is not None or self.expect.answer or self.keep != Keep()):
            raise ValueError(f"nothing is asked that could be answered; one of {', '.join(VERBS)} is missing")
        if self.expect.refused is not None and self.keep != Keep():
            raise ValueError("of what is refused there is nothing to keep")
        return self

    @property
    def verb(self) -> Strict | Body | str | None:
        """What happens, None if only time passes."""
        found: list[Strict | Body | str] = [getattr(self, verb) for verb in VERBS if getattr(self, verb) is not None]
        return found[0] if found else None


class Business(BusinessSeed):
    """A business with what it has beside the scheme and offers that every business begins with."""

    schemes: tuple[Scheme, ...] = ()
    spend_conditions: tuple[SpendCondition, ...] = ()
    offers: tuple[Offer, ...] = ()


class Script(Strict):
    """A scenario. `through` the service, every active secondary must be in its primary's tier at the end."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    title: str
    story: str = ""
    through: Literal["service", "sandbox"]
    begins: AwareDatetime
    organisation: OrganisationSwitches = OrganisationSwitches()
    programmes: list[ProgrammeSeed] = Field(default=[], alias="programme")
    people: list[Person] = Field(default=[], alias="person")
    groups: list[Group] = Field(default=[], alias="group")
    economy: Economy | None = None
    business: Business | None = None
    happenings: Annotated[list[Happening], Field(alias="happening", min_length=1)]

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        for what, rows in (("person", self.people), ("group", self.groups)):
            names = [row.name for row in rows]
            for position, name in enumerate(names):
                if name in names[:position]:
                    raise Misplaced(f"there are two {name!r}", what, position)
        if {person.name for person in self.people} & {group.name for group in self.groups}:
            raise ValueError("a person and a group share one name")
        if self.through == "service" and not self.programmes:
            raise ValueError("a scenario through the service needs a programme whose tiers are kept in step")
        self._programmes_are_sound()
        self._dates_rise()
        self._names_are_known()
        return self

    @property
    def default_program(self) -> int:
        """The id of the programme that is meant where none is named: the one that says so, else the first."""
        found = [row for row in self.programmes if row.default] or self.programmes
        return found[0].id if found else 0

    def _programmes_are_sound(self) -> None:
        for position, row in enumerate(self.programmes):
            try:
                programme_of(row)
                scheme_of(row, "draft").check()
            except LoyaltyError as refused:
                raise Misplaced(str(refused), "programme", position) from refused

    def _dates_rise(self) -> None:
        last = self.begins
        for position, happening in enumerate(self.happenings):
            if happening.at is not None and happening.at < last:
                raise Misplaced(f"at {happening.at} lies before what happened at {last}", "happening", position)
            last = happening.at or last

    def _names_are_known(self) -> None:
        people, groups = {person.name for person in self.people}, {group.name for group in self.groups}
        for position, group in enumerate(self.groups):
            for name in {group.primary, *group.secondaries} - people:
                raise Misplaced(f"there is no person {name!r}", "group", position)
        for position, happening in enumerate(self.happenings):
            people |= happening.keep.people.keys()
            groups |= happening.keep.groups.keys()
            for field, name, known in _named(happening, people, groups):
                if name not in known:
                    raise Misplaced(f"{field}: {name!r} is not known by then", "happening", position)


class Misplaced(ValueError):  # noqa: N818 - what pydantic wants
    """Something in the nth row of a table is wrong."""

    def __init__(self, message: str, table: str, position: int) -> None:
        super().__init__(message)
        self.loc: tuple[str | int, ...] = (table, position)


def _named(happening: Happening, people: set[str], groups: set[str]) -> Iterator[tuple[str, str, set[str]]]:
    """Every name that a happening and its expectations use, with where, and the names there are."""
    verb, expect = happening.verb, happening.expect
    kinds = {"who": people, "by": people, "group": groups, "giver": people | groups, "taker": people | groups}
    if isinstance(verb, Strict):
        for field, known in kinds.items():
            name = getattr(verb, field, None)
            if name is not None:
                yield field, name, known
    for field, names, known in (
        ("expect.points", expect.points, people),
        ("expect.tiers", expect.tiers, people),
        ("expect.wallets", expect.wallets, groups),
        ("expect.members", expect.members, groups),
    ):
        yield from ((field, name, known) for name in names)
    for row in expect.members.values():
        yield from (("expect.members", name, people) for name in row)


def read(path: Path) -> Script:
    """Read a scenario file. Raises `ScriptError`, naming the line and the field."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror or error}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ScriptError(f"{path}: longer than {FILE_BYTES_MAX} bytes")
    try:
        text = content.decode("utf-8")
        return Script.model_validate(_dated(tomllib.loads(text)))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScriptError(f"{path}: {error}") from error
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        cause = first.get("ctx", {}).get("error")
        where = cause.loc if isinstance(cause, Misplaced) else tuple(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ScriptError(f"{path}, line {line_of(text, where)}, {field_of(where)}: {message}") from wrong


def _dated(whole: dict[str, Any]) -> dict[str, Any]:
    """A scenario that begins on a day begins as that day does."""
    begins = whole.get("begins")
    if isinstance(begins, date) and not isinstance(begins, datetime):
        whole["begins"] = f"{begins.isoformat()}T00:00:00Z"
    return whole


def field_of(where: tuple[str | int, ...]) -> str:
    """Name a place in the file as its author counts: happening 3, buys.amount."""
    parts = [str(part) for part in where]
    if len(where) > 1 and isinstance(where[1], int):
        parts = [f"{where[0]} {where[1] + 1}", ".".join(parts[2:])]
        return ", ".join(part for part in parts if part)
    return ".".join(parts) or "the whole file"


def line_of(text: str, where: tuple[str | int, ...]) -> int:
    """Find the line a place in the file is on, as near as its tables' headings and keys tell."""
    lines = text.splitlines()
    if not where:
        return 1
    at, rest = 0, list(where)
    table = str(rest.pop(0))
    if rest and isinstance(rest[0], int):
        position = rest.pop(0)
        headings = [number for number, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{table}\s*\]\]", line)]
        at = headings[int(position)] if int(position) < len(headings) else 0
    else:
        rest.insert(0, table)
    for key in rest:
        found = _next_line(lines, at, str(key), table)
        if found is None:
            break
        at = found
    return at + 1


def _next_line(lines: list[str], begin: int, key: str, table: str) -> int | None:
    for number in range(begin, len(lines)):
        if number > begin and re.match(rf"\s*\[\[\s*{table}\s*\]\]", lines[number]):
            return None
        if re.match(rf"\s*\[*\s*([\w-]+\.)*\"?{re.escape(key)}\"?\s*[\]=.]", lines[number]):
            return number
    return None
