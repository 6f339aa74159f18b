"""Pure. Which fault hits which call: counters over the switches, no dice but a hash of seed, switch and count.

`Faults` keeps one counter per switch that is on. `plan` counts a call against all of them and says what happens to it;
while nothing is switched on for a family that costs one dictionary look-up.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import TypeVar, cast

from tiersync.sandbox.patch import Unpatchable, merge
from tiersync.sandbox.switches import (
    CallFaults,
    Copies,
    Family,
    Late,
    Latency,
    RateLimited,
    SlowBody,
    Switches,
    When,
)

#: Faults that only change how a call goes; every other field of `CallFaults` that is a fault decides its outcome.
MODIFIERS = ("latency", "slow_body", "gzip")
OUTCOMES = tuple(name for name in CallFaults.model_fields if name not in MODIFIERS)

W = TypeVar("W", bound=When)


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one call. `outcome` names the fault that decides it, None if the call goes its normal way."""

    names: tuple[str, ...] = ()
    outcome: str | None = None
    parameters: When | None = None
    latency_ms: int = 0
    slow_body: SlowBody | None = None
    gzip: bool = False
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Travel:
    """What happens to one event on its way out."""

    copies: int = 0
    delay_ms: int = 0
    lost: bool = False


NOTHING = Plan()
STRAIGHT = Travel()


def fraction(seed: int, name: str, count: int) -> float:
    """Return a number in [0, 1) that depends on its arguments alone."""
    digest = blake2b(f"{seed}:{name}:{count}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(slots=True)
class _Armed:
    """A fault that is on, and how many calls it has seen; mutable because it counts."""

    name: str
    switch: str
    when: When
    seen: int = 0
    minute: datetime | None = None
    let_through: int = 0

    def hits(self, customer: int | None) -> bool:
        """Count a call and say whether the fault hits it."""
        when = self.when
        if when.customers is not None and customer not in when.customers:
            return False
        self.seen += 1
        seen = self.seen
        return (
            (when.first is None or seen <= when.first)
            and (when.after is None or seen > when.after)
            and (when.every is None or seen % when.every == 0)
            and (when.share is None or fraction(when.seed, self.name, seen) < when.share)
        )

    def spent(self, now: datetime) -> bool:
        """Say whether the calls of this clock minute are used up; lets one more through if not."""
        if not isinstance(self.when, RateLimited) or self.when.per_minute is None:
            return True
        minute = now.replace(second=0, microsecond=0)
        if minute != self.minute:
            self.minute, self.let_through = minute, 0
        if self.let_through >= self.when.per_minute:
            return True
        self.let_through += 1
        return False


class Faults:
    """The switches as they are now, with their counters."""

    def __init__(self) -> None:
        self.switches = Switches()
        self._armed: dict[str, dict[str, _Armed]] = {}

    def change(self, patch: object) -> Unpatchable | None:
        """Merge a partial JSON object; counters of the switches it names start again. Returns why not, if refused."""
        patched = merge(self.switches, patch)
        if isinstance(patched, Unpatchable):
            return patched
        self._arm(patched.switches, patched.touched)
        return None

    def reset(self) -> None:
        """Bring every switch back to its default."""
        self._armed.clear()
        self.switches = Switches()

    def plan(self, family: Family, customer: int | None, now: datetime) -> Plan:
        """Count a call of this family and say what happens to it."""
        if not self._armed:
            return NOTHING
        hit = {
            switch: armed
            for section in ("all", family)
            for switch, armed in self._armed.get(section, {}).items()
            if armed.hits(customer) and armed.spent(now)
        }
        return _plan(hit, now) if hit else NOTHING

    def travel(self, customer: int | None) -> Travel:
        """Count an event and say how it travels."""
        armed = self._armed.get("events")
        if not armed:
            return STRAIGHT
        hit = {switch: each.when for switch, each in armed.items() if each.hits(customer)}
        copies, late = hit.get("duplicate"), hit.get("stale")
        return Travel(
            copies=copies.copies if isinstance(copies, Copies) else 0,
            delay_ms=late.delay_ms if isinstance(late, Late) else 0,
            lost="lost" in hit,
        )

    def _arm(self, switches: Switches, touched: frozenset[str]) -> None:
        before, self._armed, self.switches = self._armed, {}, switches
        for section in Switches.model_fields:
            faults = getattr(switches, section)
            for switch in type(faults).model_fields:
                when = getattr(faults, switch)
                if not isinstance(when, When):
                    continue
                name = f"{section}.{switch}"
                old = before.get(section, {}).get(switch)
                armed = old if old is not None and name not in touched else _Armed(name, switch, when)
                self._armed.setdefault(section, {})[switch] = armed


def _plan(hit: dict[str, _Armed], now: datetime) -> Plan:
    outcome = next((hit[name] for name in OUTCOMES if name in hit), None)
    latency, slow = _parameters(hit, "latency", Latency), _parameters(hit, "slow_body", SlowBody)
    names = [hit[name] for name in MODIFIERS if name in hit] + ([outcome] if outcome else [])
    latency_ms = 0
    if latency is not None:
        part = fraction(latency.seed, hit["latency"].name, hit["latency"].seen)
        latency_ms = latency.ms + int(latency.jitter_ms * part)
    return Plan(
        names=tuple(armed.name for armed in names),
        outcome=outcome.switch if outcome else None,
        parameters=outcome.when if outcome else None,
        latency_ms=latency_ms,
        slow_body=slow,
        gzip="gzip" in hit,
        retry_after_s=_retry_after(outcome.when, now) if outcome else None,
    )


def _parameters(hit: dict[str, _Armed], switch: str, kind: type[W]) -> W | None:
    return cast("W", hit[switch].when) if switch in hit and isinstance(hit[switch].when, kind) else None


def _retry_after(when: When, now: datetime) -> int | None:
    """Seconds to name in Retry-After; 0 asks for the rest of the minute."""
    if not isinstance(when, RateLimited) or when.retry_after_s is None:
        return None
    return when.retry_after_s or 60 - now.second
