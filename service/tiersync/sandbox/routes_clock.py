"""The sandbox's clock: see it, move it ahead. What falls due meanwhile is done, in order."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.seeds import readable
from tiersync.sandbox.verbs import Verb

#: A step may trigger a review per customer and turn; longer ways are gone in several steps.
STEP_MAX = timedelta(days=3_660)
LAST = datetime(3000, 1, 1, tzinfo=UTC)


class Step(BaseModel):
    """How far ahead."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: Annotated[int, Field(ge=0, le=3_660)] = 0
    hours: Annotated[int, Field(ge=0, le=100_000)] = 0
    minutes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    seconds: Annotated[int, Field(ge=0, le=10_000_000)] = 0


class Setting(BaseModel):
    """Where to set the clock: `now`, or `advance` from where it stands; neither only does what is due."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    now: AwareDatetime | None = None
    advance: Step | None = None


def show(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Tell the sandbox's time."""
    return Answer(_shown(desk))


def move(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Move the clock ahead; renewals, downgrades, expiries and scheduled batches until then happen at their times."""
    try:
        setting = Setting.model_validate_json(ask.body or b"{}")
    except ValidationError as wrong:
        raise readable(wrong) from wrong
    to = ask.now
    if setting.now is not None:
        if setting.advance is not None:
            raise LoyaltyError("give one of now and advance")
        to = setting.now.astimezone(UTC)
    elif setting.advance is not None:
        to += timedelta(**setting.advance.model_dump())
    if to - ask.now > STEP_MAX or to >= LAST:
        raise LoyaltyError(f"the clock goes at most {STEP_MAX.days} days at once, and stays before {LAST.year}")
    events = desk.move(to)
    return Answer({**_shown(desk), "eventIds": events})


def _shown(desk: Desk) -> dict[str, object]:
    return {
        "now": desk.clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "scheduled": [at.astimezone(UTC).isoformat().replace("+00:00", "Z") for at in desk.planned],
    }


SHOWN = {"now": "2026-03-10T12:00:00.000Z", "scheduled": []}

VERBS = (
    Verb("GET", "/sandbox/clock", show, "The sandbox's time", "own", example=SHOWN),
    Verb(
        "PUT",
        "/sandbox/clock",
        move,
        "Move the clock ahead; batches, reviews and expiries on the way happen",
        "own",
        body={"advance": {"days": 31}},
        example={**SHOWN, "eventIds": []},
    ),
)
