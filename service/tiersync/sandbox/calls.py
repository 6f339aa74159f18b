"""Pure. The log of API calls: a ring of finished calls, and counts that outlive it."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

#: Longest text kept of what a caller sent; the log must not grow with it.
TEXT_MAX = 200


@dataclass(slots=True)
class Call:
    """One API call; filled in while it is being answered. `effect` says whether it changed anything."""

    sequence: int
    at: datetime
    method: str
    path: str
    family: str
    customer: int | None = None
    action: str | None = None
    tier: str | None = None
    program: int | None = None
    status: int | None = None
    code: int | None = None
    fault: str | None = None
    effect: bool = False
    finished: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the call as GET /sandbox/calls shows it."""
        return {
            "sequence": self.sequence,
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "method": self.method,
            "path": self.path,
            "family": self.family,
            "customer": self.customer,
            "action": self.action,
            "tier": self.tier,
            "program": self.program,
            "status": self.status,
            "code": self.code,
            "fault": self.fault,
            "effect": self.effect,
            "finished": self.finished,
        }


class CallLog:
    """The last `kept_max` calls and the counts of all of them. A status of None means that no answer was sent."""

    def __init__(self, kept_max: int) -> None:
        self._ring: deque[Call] = deque(maxlen=kept_max)
        self.running = 0
        self._running_for: Counter[int] = Counter()
        self.clear()

    def clear(self) -> None:
        """Forget everything but the calls still running."""
        self._ring.clear()
        self.total = 0
        self.running_max = self.running
        self.running_max_per_customer = max(self._running_for.values(), default=0)
        self._per_minute: Counter[datetime] = Counter()

    def begin(self, at: datetime, method: str, path: str, family: str) -> Call:
        """Count a call that has arrived."""
        self.total += 1
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        self._per_minute[at.replace(second=0, microsecond=0)] += 1
        call = Call(self.total, at, method, path[:TEXT_MAX], family)
        self._ring.append(call)
        return call

    def begin_for(self, call: Call, customer: int | None) -> None:
        """Note whom a call is about."""
        call.customer = customer
        if customer is not None:
            self._running_for[customer] += 1
            self.running_max_per_customer = max(self.running_max_per_customer, self._running_for[customer])

    def finish(self, call: Call) -> None:
        """Count a call that is over, answered or not."""
        call.finished = True
        self.running -= 1
        if call.customer is not None:
            self._running_for[call.customer] -= 1
            if not self._running_for[call.customer]:
                del self._running_for[call.customer]

    def since(self, sequence: int, limit: int) -> list[Call]:
        """Return up to `limit` calls after `sequence`, oldest first."""
        skip = max(0, sequence - (self.total - len(self._ring)))
        return list(islice(self._ring, skip, skip + limit))

    def per_minute(self) -> Iterator[tuple[str, int]]:
        """Yield the calls of each clock minute, oldest first."""
        for minute in sorted(self._per_minute):
            yield minute.strftime("%Y-%m-%dT%H:%MZ"), self._per_minute[minute]
