"""Pure. The breaker of one org's Capillary: closed → open → half-open, with the clock as an argument.

A run of failures that speak of Capillary being away opens it. While it is open no call is made. When its pause is over
one reading goes through as a probe: an answer closes it, a failure opens it again for longer.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

AWAY: Final = frozenset(
    {
        "no_answer",
        "not_connected",
        "server_error",
        "unreadable_answer",
        "search_busy",
        "authorisation_down",
        "not_authenticated",
        "no_token",
    }
)
"""The reasons that say something about Capillary as a whole, and nothing about one customer.

Being told to come later (429) is no absence: the gate closes for that.
"""


class State(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaks:
    """When a breaker opens and for how long. `failures_max` 0: never.

    A probe that has said nothing for `probe_s_max` seconds is given up, and another one may go.
    """

    failures_max: int
    pause_s: float
    pause_s_max: float
    probe_s_max: float


@dataclass(frozen=True, slots=True)
class Breaker:
    """How things stand. `until` is the second before which no call is made; `pause_s` is the last pause."""

    breaks: Breaks
    state: State = State.CLOSED
    failures: int = 0
    until: float = 0.0
    pause_s: float = 0.0
    reason: str | None = None

    def admits(self, now: float, *, reading: bool) -> bool:
        """Say whether a call may be made. Only a reading may probe: made twice it does no harm."""
        return self.state is State.CLOSED or (reading and now >= self.until)

    def probed(self, now: float) -> "Breaker":
        """An admitted call begins."""
        if self.state is State.CLOSED:
            return self
        return replace(self, state=State.HALF_OPEN, until=now + self.breaks.probe_s_max)

    def answered(self, *, probe: bool) -> "Breaker":
        """Capillary answered a call, whatever it said. What was sent before the pause began does not end it."""
        if self.state is State.CLOSED:
            return replace(self, failures=0) if self.failures else self
        return Breaker(self.breaks) if probe else self

    def failed(self, now: float, reason: str, *, probe: bool) -> "Breaker":
        """A call failed, for a reason in `AWAY`."""
        if self.state is not State.CLOSED:
            return self.opened(now, reason, min(2 * self.pause_s, self.breaks.pause_s_max)) if probe else self
        opens = 0 < self.breaks.failures_max <= self.failures + 1
        counted = replace(self, failures=self.failures + 1)
        return counted.opened(now, reason, self.breaks.pause_s) if opens else counted

    def opened(self, now: float, reason: str, pause_s: float) -> "Breaker":
        """No call is made for so long."""
        return replace(self, state=State.OPEN, until=now + pause_s, pause_s=pause_s, reason=reason)
