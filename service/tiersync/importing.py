"""Taking events in from JSON Lines, through the door of a delivery: for the day after a disaster.

A line is what `tiersync export events --bodies` wrote, or the body of a webhook as it is.
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from tiersync import intake
from tiersync.fanout import Policy
from tiersync.intake import Arrival
from tiersync.store import Store
from tiersync.webhook import INT64_MAX

TOGETHER = 200
REFUSED: Final = "refused"
NO_BODY: Final = "body: missing; export with --bodies"


def _decoded(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise ValueError("is not base64") from None


class _Exported(BaseModel):
    """What is needed of an exported event; the rest follows from its body."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    body: Annotated[bytes, BeforeValidator(_decoded)]
    received_at: int = Field(ge=0, le=INT64_MAX)


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one line: an answer as a delivery's, or refused with the problem, which names the field."""

    number: int
    result: str
    problem: str | None = None


async def take_in(
    store: Store, lines: Iterable[bytes], orgs: Mapping[int, Policy], *, bytes_max: int, now: Callable[[], int]
) -> AsyncIterator[Line]:
    """Store the event of each line; what is stored already is a duplicate. Raises `StoreUnavailable`."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while batch := list(islice(numbered, TOGETHER)):
        read = [(number, _arrival(line, orgs, bytes_max, now())) for number, line in batch]
        # They share a commit, and are stored in the order of the lines.
        stored = iter(await asyncio.gather(*(store.receive(item) for _, item in read if isinstance(item, Arrival))))
        for number, item in read:
            if isinstance(item, Arrival):
                yield Line(number, next(stored).receipt)
            else:
                yield Line(number, REFUSED, item)


def _arrival(line: bytes, orgs: Mapping[int, Policy], bytes_max: int, now: int) -> Arrival | str:
    """The arrival of one line, or what is wrong with it."""
    try:
        found: Any = from_json(line)
    except ValueError as error:
        return f"not JSON: {str(error).partition(' at line')[0]}"  # of one line its place says nothing
    if not isinstance(found, dict):
        return "must be a JSON object"
    if "eventName" in found:
        body, received_at = line.strip(), now
    else:
        try:
            exported = _Exported.model_validate(found)
        except ValidationError as error:
            if "body" not in found:
                return NO_BODY
            first = error.errors(include_input=False, include_url=False)[0]
            field = str(first["loc"][0])
            return f"{field}: {first['msg'].removeprefix('Value error, ')}"
        body, received_at = exported.body, exported.received_at
    if len(body) > bytes_max:
        return f"body: {len(body)} bytes; TIERSYNC_BODY_BYTES_MAX is {bytes_max}"
    return intake.admit(body, received_at, orgs)
