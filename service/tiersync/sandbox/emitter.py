"""Delivers events to webhooks with the documented semantics (`contracts/capillary.md` 2.2).

Per webhook one queue: at most `maxAllowedConnections` deliveries at a time; while an event is being repeated no newer
one is started (head-of-line). 2xx is delivered; 400, 401, 403, 404, 405, 410, 413, 415 and 422 drop the event for ever;
everything else, a timeout and a broken connection are repeated with exponential backoff for as long as the window says.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

import httpx

from tiersync.sandbox.faults import Travel
from tiersync.sandbox.hooks import Hook, Hooks
from tiersync.sandbox.settings import SandboxSettings
from tiersync.sandbox.tiers import stamp_v3

DROP = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})
REORDER_WAIT_S = 0.2
ATTEMPTS_KEPT = 50

State = Literal["pending", "retrying", "delivered", "dropped", "expired", "lost"]
FINAL: frozenset[State] = frozenset({"delivered", "dropped", "expired", "lost"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event, ready to be sent; `bodies` are those with and without enriched identifiers, as far as wanted."""

    id: str
    name: str
    ref_id: str
    request_id: str
    customer: int | None
    created_at: datetime
    bodies: Mapping[bool, bytes]
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: an HTTP status, or what went wrong without one."""

    at: datetime
    took_ms: int
    status: int | None = None
    error: str | None = None


@dataclass(slots=True)
class Delivery:
    """One event on its way to one webhook; mutable because it is on its way."""

    sequence: int
    hook: int
    event: Event
    body: bytes
    state: State = "pending"
    copy: int = 0
    tries: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=ATTEMPTS_KEPT))

    def as_json(self) -> dict[str, object]:
        """Return the delivery as GET /sandbox/deliveries shows it."""
        return {
            "sequence": self.sequence,
            "webHookId": self.hook,
            "eventId": self.event.id,
            "eventName": self.event.name,
            "customer": self.event.customer,
            "createdAt": stamp_v3(self.event.created_at),
            "state": self.state,
            "copy": self.copy,
            "tries": self.tries,
            "attempts": [
                {"at": stamp_v3(a.at), "status": a.status, "error": a.error, "tookMs": a.took_ms} for a in self.attempts
            ],
        }


@dataclass(slots=True)
class _Lane:
    """The queue of one webhook."""

    waiting: deque[Delivery] = field(default_factory=deque)
    held: list[Delivery] = field(default_factory=list)
    windows: int = 0
    running: int = 0
    retrying: int = 0


class Emitter:
    """Delivers without ever making the caller wait: `emit` only queues."""

    def __init__(
        self,
        settings: SandboxSettings,
        hooks: Hooks,
        client: Callable[[], httpx.AsyncClient],
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._hooks = hooks
        self._make_client = client
        self._client: httpx.AsyncClient | None = None
        self._clock = clock
        self._sleep = sleep
        self._base_s = settings.retry_base_ms / 1000
        self._max_s = settings.retry_max_ms / 1000
        self._timeout_s = settings.webhook_timeout_ms / 1000
        self._window = timedelta(seconds=settings.retry_window_s)
        self._lanes: dict[int, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log: deque[Delivery] = deque(maxlen=settings.delivery_log_max)
        self.total = 0
        self.counts: dict[State, int] = dict.fromkeys(("pending", "retrying", *sorted(FINAL)), 0)

    # What others call.

    def emit(self, event: Event, travel: Travel, reorder: int) -> None:
        """Queue an event for every webhook that wants it."""
        for hook in self._hooks:
            if not hook.wants(event.name):
                continue
            for copy in range(1 + travel.copies):
                delivery = self._enter(hook, event, copy)
                if travel.lost:
                    self._move(delivery, "lost")
                elif travel.delay_ms:
                    self._spawn(self._queue_later(delivery, travel.delay_ms / 1000))
                else:
                    self._queue(delivery, reorder)

    def pump(self) -> None:
        """Start what may be started; to be called after a webhook was changed."""
        for number, lane in self._lanes.items():
            self._pump(number, lane)

    def deliveries(self) -> Iterator[Delivery]:
        """Yield the deliveries that are kept, oldest first."""
        return iter(self._log)

    def since(self, sequence: int, limit: int) -> list[Delivery]:
        """Return up to `limit` deliveries after `sequence`, oldest first."""
        skip = max(0, sequence - (self.total - len(self._log)))
        return list(islice(self._log, skip, skip + limit))

    def clear(self) -> None:
        """Stop every delivery and forget all of them."""
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.held.clear()
        self._lanes.clear()
        for task in self._tasks:
            task.cancel()
        self._log.clear()
        self.total = 0
        self.counts = dict.fromkeys(self.counts, 0)

    async def aclose(self) -> None:
        """Stop cleanly; what was not delivered is gone, as everything here is in memory."""
        self.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    # Queues.

    def _enter(self, hook: Hook, event: Event, copy: int) -> Delivery:
        self.total += 1
        self.counts["pending"] += 1
        delivery = Delivery(self.total, hook.id, event, event.bodies[hook.instore], copy=copy)
        self._log.append(delivery)
        return delivery

    def _move(self, delivery: Delivery, state: State) -> None:
        self.counts[delivery.state] -= 1
        self.counts[state] += 1
        delivery.state = state
        if state in FINAL:
            delivery.ended_at = self._clock()

    def _queue(self, delivery: Delivery, reorder: int) -> None:
        lane = self._lanes.setdefault(delivery.hook, _Lane())
        if reorder > 1:
            lane.held.append(delivery)
            if len(lane.held) == 1:
                self._spawn(self._release_later(delivery.hook, lane, lane.windows))
            if len(lane.held) < reorder:
                return
            lane.held.reverse()
            self._release(delivery.hook, lane)
            return
        lane.waiting.append(delivery)
        self._pump(delivery.hook, lane)

    def _release(self, number: int, lane: _Lane) -> None:
        lane.windows += 1
        lane.waiting.extend(lane.held)
        lane.held.clear()
        self._pump(number, lane)

    async def _release_later(self, number: int, lane: _Lane, window: int) -> None:
        await self._sleep(REORDER_WAIT_S)
        if lane.windows == window:
            self._release(number, lane)

    async def _queue_later(self, delivery: Delivery, seconds: float) -> None:
        await self._sleep(seconds)
        self._queue(delivery, 0)

    def _pump(self, number: int, lane: _Lane) -> None:
        while lane.waiting and not lane.retrying and lane.running < self._hooks.get(number).connections:
            lane.running += 1
            self._spawn(self._deliver(number, lane, lane.waiting.popleft()))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One delivery.

    async def _deliver(self, number: int, lane: _Lane, delivery: Delivery) -> None:
        """Repeat one event until it is decided; holds its place in the lane meanwhile."""
        delivery.started_at = self._clock()
        try:
            while (state := await self._try(self._hooks.get(number), delivery)) == "retrying":
                lane.retrying += delivery.state == "pending"
                self._move(delivery, state)
                await self._sleep(min(self._max_s, self._base_s * 2 ** min(delivery.tries - 1, 30)))
            lane.retrying -= delivery.state == "retrying"
            self._move(delivery, state)
        finally:
            lane.running -= 1
            self._pump(number, lane)

    async def _try(self, hook: Hook, delivery: Delivery) -> State:
        if not hook.active:
            return "dropped"
        began = self._clock()
        status, error = await self._send(hook, delivery)
        ended = self._clock()
        delivery.tries += 1
        delivery.attempts.append(Attempt(began, (ended - began) // timedelta(milliseconds=1), status, error))
        if delivery.started_at is not None and ended - delivery.started_at >= self._window:
            return "delivered" if delivered(status) else "expired"
        return verdict(status)

    async def _send(self, hook: Hook, delivery: Delivery) -> tuple[int | None, str | None]:
        """Make one call; returns its status, or what happened instead of one."""
        headers = {"Content-Type": "application/json", **dict(hook.headers)}
        if delivery.event.encoding is not None:
            headers["Content-Encoding"] = delivery.event.encoding
        self._client = self._client or self._make_client()
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.request(hook.method, hook.url, content=delivery.body, headers=headers)
        except TimeoutError:
            return None, "timeout"
        except (httpx.ConnectError, httpx.ConnectTimeout, OSError):
            return None, "connection failed"  # the transport calls a refused connection a ConnectTimeout
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as wrong:
            return None, type(wrong).__name__
        return response.status_code, None


def delivered(status: int | None) -> bool:
    """Say whether a status means that the event arrived."""
    return status is not None and 200 <= status < 300  # noqa: PLR2004 - 2xx


def verdict(status: int | None) -> State:
    """Say what an answer (None: there was none) makes of an event."""
    if delivered(status):
        return "delivered"
    return "dropped" if status in DROP else "retrying"
