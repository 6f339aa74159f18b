"""Pure. What one call came to, and when to try again.

An `Outcome` is a value, never an exception. `decide` turns it into a `Decision`; the long schedule lives here and
nowhere else (the short burst inside one attempt lives in `capillary.client`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Applied:
    """Capillary did it. `tier_name` is the tier it says the customer holds now, or None where it does not say."""

    tier_name: str | None = None


@dataclass(frozen=True, slots=True)
class Already:
    """The customer was there before we came, or an earlier call of ours had worked."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Not ours to adjust, by policy or because the member left."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """A passing fault.

    `in_doubt` says that the call may have had its effect; `after_s` is what Capillary asked us to wait, in seconds.
    `code` is Capillary's body code, or the HTTP status where the body has none, or 0 where there was no answer.
    """

    reason: str
    code: int = 0
    message: str = ""
    in_doubt: bool = False
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Capillary will not do it, however often it is asked."""

    reason: str
    code: int = 0
    message: str = ""


Outcome = Applied | Already | Skipped | TryAgain | Refused


@dataclass(frozen=True, slots=True)
class Schedule:
    """The delays before attempts 2, 3, ... in seconds; the last one repeats until `attempts_max` attempts were made.

    `jitter_share` spreads each delay by up to this share either way. No delay is longer than `delay_s_max`, whatever
    Capillary's Retry-After says.
    """

    delays_s: Sequence[float] = (2, 10, 60, 300, 1800, 7200, 21600)
    attempts_max: int = 12
    delay_s_max: float = 21600
    jitter_share: float = 0.2


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more is owed."""


@dataclass(frozen=True, slots=True)
class Again:
    """Due again at `due_at`, epoch milliseconds."""

    due_at: int


@dataclass(frozen=True, slots=True)
class Dead:
    """Not tried again by itself; kept with its reason."""

    reason: str


Decision = Done | Again | Dead


def decide(outcome: Outcome, attempt: int, now: int, schedule: Schedule, dice: float) -> Decision:
    """Decide what follows the outcome of attempt number `attempt` (the first is 1).

    `now` is epoch milliseconds; `dice` is a number in [0, 1) that the caller drew.
    """
    match outcome:
        case Applied() | Already() | Skipped():
            return Done()
        case Refused(reason=reason):
            return Dead(reason)
        case TryAgain(reason=reason) if attempt >= schedule.attempts_max:
            return Dead(f"{reason}_attempts_spent")
        case TryAgain(after_s=after_s):
            return Again(now + int(1000 * _delay_s(attempt, after_s, schedule, dice)))
        case _:  # pragma: no cover
            assert_never(outcome)


def _delay_s(attempt: int, after_s: float | None, schedule: Schedule, dice: float) -> float:
    planned = schedule.delays_s[min(attempt, len(schedule.delays_s)) - 1]
    jittered = planned * (1 + schedule.jitter_share * (2 * dice - 1))
    # Retry-After is a floor: jitter may lengthen what was asked for, never shorten it.
    return min(max(jittered, (after_s or 0) * (1 + schedule.jitter_share * dice)), schedule.delay_s_max)
