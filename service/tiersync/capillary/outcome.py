"""Pure. Reading an answer of Capillary: the body's code first, the HTTP status second.

An answer can be a failure inside HTTP 200 (`errors[]`), a success with `status:false` inside `warnings`, an empty
400, or a page of HTML from a gateway in between (contracts/capillary.md 1.4-1.6, 3.6).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from tiersync.capillary.codes import CODES, Code, Reaction
from tiersync.fanout import Group, Held, Member, Tier
from tiersync.retry import Applied, Refused, TryAgain
from tiersync.webhook import INT64_MAX

MESSAGE_CHARS_MAX: Final = 200
_UNREADABLE: Final = TryAgain("unreadable_answer", in_doubt=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NotPrimary:
    """The customer leads no group."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


Id = Annotated[int, Field(gt=0, le=INT64_MAX)]


class _User(_Wire):
    user_id: Id
    active: bool
    primary_member: bool = False
    default_group: bool = False


class _Group(_Wire):
    id: Id
    group_status: str = "ACTIVE"
    fleet_group_users: tuple[_User, ...] | None = None


class _ProgramTier(_Wire):
    program_id: int
    current_tier_name: str | None = None
    current_tier_serial_number: Annotated[int, Field(le=INT64_MAX)] | None = None
    tier_expiry_date: str | None = None


class _Tiers(_Wire):
    program_tiers: tuple[_ProgramTier, ...] | None = None


class _SideEffect(_Wire):
    upgraded_slab_name: str | None = None


class _Adjusted(_Wire):
    side_effects: tuple[_SideEffect, ...] | None = None


def read_group(answer: Answer) -> Group | NotPrimary | TryAgain | Refused:
    """Read the answer of `GET /v2/userGroup2?primaryUserId=` (3.2)."""
    content = read_content(answer)
    if isinstance(content, Refused) and content.code in _NOT_PRIMARY:
        return NotPrimary()
    if not isinstance(content, dict):
        return content
    try:
        body = _Group.model_validate(content)
    except ValidationError:
        return _UNREADABLE
    members = tuple(
        Member(user.user_id, user.primary_member, user.active, user.default_group)
        for user in body.fleet_group_users or ()
    )
    return Group(body.id, body.group_status.upper() == "ACTIVE", members)


_NOT_PRIMARY: Final = frozenset(code for code, entry in CODES.items() if entry.reaction is Reaction.NOT_PRIMARY)


def read_tier(answer: Answer, program: int) -> Held | TryAgain | Refused:
    """Read the answer of `GET /v2/customers/{id}/tierDetails` (3.7)."""
    content = read_content(answer)
    if not isinstance(content, dict):
        return content
    try:
        body = _Tiers.model_validate(content)
    except ValidationError:
        return _UNREADABLE
    for tier in body.program_tiers or ():
        if tier.program_id == program and tier.current_tier_name:
            number = tier.current_tier_serial_number
            if number is None:
                return _UNREADABLE
            # One page says that the top tier reads -1, its sample does not; -1 can only mean "none is above".
            return Held(Tier(number if number > 0 else INT64_MAX, tier.current_tier_name), _day(tier.tier_expiry_date))
    return Held(None)


def _day(value: str | None) -> date | None:
    try:
        return date.fromisoformat((value or "")[:10])
    except ValueError:
        return None


def read_adjustment(answer: Answer) -> Applied | TryAgain | Refused:
    """Read the answer of `POST /v2/slab/manualSlabAdjustment` (3.6)."""
    content = read_content(answer)
    if not isinstance(content, dict):
        return content
    try:
        effects = _Adjusted.model_validate(content).side_effects or ()
    except ValidationError:
        return _UNREADABLE
    return Applied(effects[0].upgraded_slab_name if effects else None)


def read_token(answer: Answer) -> tuple[str, float] | TryAgain | Refused:
    """Read the answer of `POST /v3/oauth/token/generate` (1.2): the token and the seconds it lives."""
    content = read_content(answer)
    if not isinstance(content, dict):
        return content
    data = content.get("data")
    token = data.get("accessToken") if isinstance(data, dict) else None
    ttl = data.get("ttlSeconds") if isinstance(data, dict) else None
    # What is not printable cannot be sent in a header.
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token) or not isinstance(ttl, int | float):
        return TryAgain("unreadable_answer")
    return token, float(ttl)


def read_content(answer: Answer) -> dict[str, Any] | TryAgain | Refused:
    """The body of an answer that says yes; else what is wrong with it."""
    body = _json(answer.body)
    error = _first_error(body)
    succeeded = 200 <= answer.status < 300  # noqa: PLR2004 - HTTP
    if error is None and succeeded:
        return body if isinstance(body, dict) else _UNREADABLE
    code, message = error or (None, "")
    message = message or ("" if isinstance(body, dict) else _plain(answer.body))
    known = CODES.get(code) if code is not None else None
    if known is None and not succeeded:
        known = CODES.get(answer.status) or _by_class(answer.status)
    shown = code if code is not None else answer.status
    if known is None:
        return Refused("refused", shown, message)
    return _outcome(known, shown, message, answer)


def _outcome(known: Code, code: int, message: str, answer: Answer) -> TryAgain | Refused:
    if known.reaction in {Reaction.SOON, Reaction.LATER}:
        return TryAgain(known.reason, code, message, known.in_doubt, retry_after_s(answer.headers))
    return Refused(known.reason, code, message)


def _by_class(status: int) -> Code:
    if status >= 500:  # noqa: PLR2004
        return CODES[500]
    if 300 <= status < 400:  # noqa: PLR2004
        return Code(Reaction.REFUSED, "redirected", "redirects are not followed: check the base address")
    return CODES[400]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _first_error(body: Any) -> tuple[int | None, str] | None:
    """The first entry of `errors`, preferring one whose code is documented; None if there is no error."""
    if not isinstance(body, dict):
        return None
    errors = body.get("errors")
    found = [_code_and_message(entry) for entry in errors if entry] if isinstance(errors, list) else []
    status = body.get("status")
    if not found and (status is False or (isinstance(status, str) and status.lower() == "false")):
        found = [_code_and_message(body)]
    return next((entry for entry in found if entry[0] in CODES), found[0] if found else None)


def _code_and_message(entry: Any) -> tuple[int | None, str]:
    if not isinstance(entry, dict):
        return None, _said(entry)
    code = entry.get("code")
    whole = str(code).removesuffix(".0") if isinstance(code, int | float | str) else ""
    # A code is at most a handful of digits; anything longer is not one.
    number = int(whole) if whole.isascii() and whole.isdigit() and len(whole) <= len("999999999") else None
    return number, _said(entry.get("message"))


def _said(message: Any) -> str:
    return _plain(message.encode("utf-8", "replace")) if isinstance(message, str) else ""


def _plain(body: bytes) -> str:
    """A line without markup, and without what a terminal or a database would stumble over."""
    text = re.sub(r"<[^>]*>", " ", body[: 20 * MESSAGE_CHARS_MAX].decode("utf-8", "replace"))
    words = "".join(char for char in text if char.isprintable() or char.isspace()).split()
    return " ".join(words)[:MESSAGE_CHARS_MAX]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds of a Retry-After header, in either of its forms; a date counts from the answer's own Date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= len("999999999"):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        sent = parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):  # an offset may be beyond all bounds
        return None
    return max(0.0, (_utc(until) - _utc(sent)).total_seconds())


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
