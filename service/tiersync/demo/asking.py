"""Pure. From a happening to the call that makes it happen, and from an answer to what it says.

`Cast` knows who and what the names of a scenario stand for.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from tiersync.demo.script import (
    Buys,
    Happening,
    Joins,
    Leaves,
    MovesIn,
    Permits,
    Person,
    Redeems,
    Returns,
    Script,
    Transfers,
)

SOURCE = "INSTORE"
PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9 _-]*)(\.mobile)?\}")


class Unanswered(Exception):  # noqa: N818 - said to whoever wrote the scenario
    """A name or a place in an answer leads nowhere; the message says where it ended."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to the sandbox."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(slots=True)
class Cast:
    """The names of a scenario: people and groups by their ids, kept values, mobiles."""

    people: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    mobiles: dict[str, str] = field(default_factory=dict)

    def filled(self, value: Any) -> Any:
        """Put what names in braces stand for into a value, `{Ann}` or `{Ann.mobile}`. Raises `Unanswered`."""
        match value:
            case str():
                whole = PLACEHOLDER.fullmatch(value)
                return self._meant(whole) if whole else PLACEHOLDER.sub(lambda found: str(self._meant(found)), value)
            case dict():
                return {self.filled(key): self.filled(each) for key, each in value.items()}
            case list():
                return [self.filled(each) for each in value]
            case _:
                return value

    def _meant(self, found: re.Match[str]) -> Any:
        name, mobile = found.groups()
        tables: tuple[Mapping[str, Any], ...] = (self.mobiles,) if mobile else (self.people, self.groups, self.values)
        for table in tables:
            if name in table:
                return table[name]
        raise Unanswered(f"nothing is known as {found.group()}")


def mobile_of(person: Person) -> str:
    """Return somebody's mobile number; who was given none has one made of the id."""
    return person.mobile or f"91{person.id:010}"


def given(model: BaseModel) -> dict[str, Any]:
    """Return what the file gives of something, in the words of the sandbox."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def seed_of(script: Script) -> dict[str, Any]:
    """Return the body of `POST /sandbox/seed`."""
    people = {person.name: person.id for person in script.people}
    return {
        "programmes": [given(row) for row in script.programmes],
        "customers": [
            {
                "id": person.id,
                "firstName": person.name,
                "mobile": mobile_of(person),
                "email": person.email,
                "externalId": person.external_id,
                "status": person.status,
            }
            for person in script.people
        ],
        "groups": [
            {
                "externalId": group.external_id,
                "groupName": group.name,
                "maxGroupSize": group.max_size,
                "primary": people[group.primary],
                "secondaries": [people[name] for name in group.secondaries],
                "tier": group.tier,
            }
            for group in script.groups
        ],
    }


def request_of(happening: Happening, cast: Cast) -> Request | None:
    """Return the call that makes something happen, None if only time passes. Raises `Unanswered`."""
    match happening.verb:
        case None:
            return None
        case str() as route:
            method, _, path = route.partition(" ")
            return Request(method, cast.filled(path), cast.filled(happening.query), cast.filled(happening.body))
        case Buys() as verb:
            return _purchase(verb, cast)
        case Returns() as verb:
            return _return(verb, cast)
        case Redeems() as verb:
            return _redemption(verb, cast)
        case Transfers() as verb:
            return _transfer(verb, cast)
        case Joins() | Leaves() | Permits() | MovesIn() as verb:
            return _membership(verb, cast)
        case dict() as switches:
            return Request("PUT", "/sandbox/faults", {}, cast.filled(switches))
        case other:  # pragma: no cover
            raise AssertionError(f"{other!r} has no call")


def _customer(name: str, cast: Cast) -> dict[str, Any]:
    return {"identifierName": "id", "identifierValue": cast.people[name], "source": SOURCE}


def _purchase(verb: Buys, cast: Cast) -> Request:
    body: dict[str, Any] = {
        "type": "REGULAR",
        "billNumber": verb.bill,
        "billAmount": verb.amount,
        "extendedFields": verb.fields,
    }
    if verb.group is not None:
        body["userGroup2Id"] = cast.groups[verb.group]
    if verb.program is not None:
        body["programId"] = verb.program
    return Request("POST", "/v2/transactions", _customer(verb.who, cast), body)


def _return(verb: Returns, cast: Cast) -> Request:
    body: dict[str, Any] = {"type": "RETURN", "returnType": "FULL", "billNumber": verb.bill}
    if verb.amount is not None:
        body |= {"returnType": "AMOUNT", "billAmount": verb.amount}
    return Request("POST", "/v2/transactions", _customer(verb.who, cast), body)


def _membership(verb: Joins | Leaves | Permits | MovesIn, cast: Cast) -> Request:
    customer, group = cast.people[verb.who], cast.groups[verb.group]
    match verb:
        case Joins():
            row = {
                "userId": customer,
                "primaryMember": verb.role == "primary",
                "permissions": verb.permissions,
                "defaultGroup": verb.default,
                "active": True,
            }
            return Request("POST", "/v2/userGroup2/join", {"id": group}, [row])
        case Leaves():
            query = {"source": SOURCE, "identifierName": "mobile", "identifierValue": cast.mobiles[verb.who]}
            return Request("DELETE", f"/v2/userGroup2/{group}/leave", query)
        case Permits():
            permits = [{"userId": customer, "permissions": ",".join(verb.permissions)}]
            return Request("PUT", "/v2/userGroup2/members/permissions", {"id": group}, permits)
        case MovesIn():
            return Request("POST", "/sandbox/jobs/move-points", {}, {"customer": customer, "group": group})


def _redemption(verb: Redeems, cast: Cast) -> Request:
    query: dict[str, Any] = {} if verb.program is None else {"program_id": verb.program}
    if verb.group is not None:
        query["user_group2_id"] = cast.groups[verb.group]
    row = {
        "points_redeemed": number(verb.points),
        "customer": {"id": cast.people[verb.who]},
        "group_redemption": verb.all_programmes,
    }
    return Request("POST", "/v1.1/points/redeem", query, {"root": {"redeem": [row]}})


def _transfer(verb: Transfers, cast: Cast) -> Request:
    body: dict[str, Any] = {"pointsToBeTransferred": number(verb.points)}
    if verb.program is not None:
        body["programId"] = verb.program
    if verb.all_programmes:
        body["group_transfer"] = True
    names = {"from": verb.giver, "to": verb.taker}
    if cast.groups.keys().isdisjoint(names.values()):
        for side, name in names.items():
            body[f"{side}CustomerIdentifier"] = {"type": "ID", "value": str(cast.people[name])}
        return Request("POST", "/v2/points/transfer", {}, body)
    for side, name in names.items():
        if name in cast.groups:
            body[f"{side}Entity"] = {"type": "USERGROUP2", "id": cast.groups[name]}
        else:
            body[f"{side}Entity"] = {"type": "CUSTOMER", "id": cast.people[name]}
    if verb.by is not None:
        body["transferredBy"] = {"id": cast.people[verb.by]}
    return Request("POST", "/v2/points/userGroup2/transfer", {}, body)


def number(value: float) -> int | float:
    """Write a whole number without a point."""
    return int(value) if value == int(value) else value


# Answers.


def refusal(status: int, body: Any) -> tuple[int, str] | None:
    """Return code and message with which a call, or any item of it, was refused; None if it was not.

    Capillary hides refusals of items in answers of HTTP 200 and 201.
    """
    for row in _rows(body):
        errors, item = row.get("errors"), row.get("item_status")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            return int(errors[0].get("code", status)), str(errors[0].get("message", ""))
        if isinstance(item, dict) and str(item.get("success")).lower() == "false":
            return int(item.get("code", status)), str(item.get("message", ""))
    if status < 400:  # noqa: PLR2004 - HTTP
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return status, str(error.get("message", "") if isinstance(error, dict) else body)


def _rows(body: Any) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
        for each in body.values():
            yield from _rows(each)
    elif isinstance(body, list):
        for each in body:
            yield from _rows(each)


def at(body: Any, path: str) -> Any:
    """Return what is at a place of an answer. Raises `Unanswered` if there is no such place.

    The place's parts stand between dots: a key, a position in a list, `key=value` for the first row of a list that has
    it, or `count` for how many rows there are.
    """
    found = body
    for part in path.split("."):
        match found:
            case dict() if part in found:
                found = found[part]
            case list() if part == "count":
                found = len(found)
            case list() if part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            case list() if "=" in part:
                found = _row_with(found, *part.split("=", 1), path=path)
            case _:
                raise Unanswered(f"the answer has no {path!r}: {part!r} is missing in {shown(found)}")
    return found


def _row_with(rows: list[Any], key: str, value: str, *, path: str) -> Any:
    for row in rows:
        if isinstance(row, dict) and key in row and shown(row[key]).strip('"') == value:
            return row
    raise Unanswered(f"the answer has no {path!r}: no row of {shown(rows)} has {key}={value}")


def shown(value: Any) -> str:
    """Write a value for a person, as JSON and not endlessly."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else f"{text[:300]}…"  # noqa: PLR2004 - a few lines
