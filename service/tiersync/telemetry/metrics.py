"""The metrics: rate, errors, duration and saturation of every stage, in Prometheus' text format."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RECONCILED: Final = (
    *("in_step", "spared", "drifted", "under_way", "unread", "without_group"),
    *("repaired", "skipped", "dead"),
)
_ATTEMPTS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
_OPERATIONS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_CODES_MAX: Final = 64
ANSWERS: Final = (
    *("accepted", "duplicate", "ignored", "quarantined"),
    *("unauthorized", "too_large", "overloaded", "slow_body", "store_unavailable", "failed", "disconnected"),
)
"""What a delivery may be answered. Told from the start: Prometheus sees no rise in what was not there before."""


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        """All of them, at zero."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._codes: set[int] = set()
        self.build = Info("tiersync_build", "What runs here.", registry=registry)
        self.deliveries = Counter(
            "tiersync_deliveries", "Webhook deliveries, by answer.", ["answer"], registry=registry
        )
        for answer in ANSWERS:
            self.deliveries.labels(answer)
        self.answer_seconds = Histogram(
            "tiersync_answer_seconds", "From the request to its answer.", buckets=_SECONDS, registry=registry
        )
        self.adjustments = Counter(
            "tiersync_adjustments",
            "Attempts at adjustments, by outcome, reason and Capillary's code.",
            ["outcome", "reason", "code"],
            registry=registry,
        )
        self.adjustment_seconds = Histogram(
            "tiersync_adjustment_seconds",
            "From an attempt's begin to its outcome on disk.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.adjustment_attempts = Histogram(
            "tiersync_adjustment_attempts",
            "Attempts that an adjustment took until it was done or dead.",
            buckets=_ATTEMPTS,
            registry=registry,
        )
        self.reconciled = Counter(
            "tiersync_reconciled_members",
            "Members that a reconcile looked at, by what it found, and what became of those it found elsewhere.",
            ["result"],
            registry=registry,
        )
        for result in _RECONCILED:  # a series that begins at 0 shows its first increase
            self.reconciled.labels(result)
        self.reconcile_interval = Gauge(
            "tiersync_reconcile_interval_seconds",
            "How often groups are compared by schedule; 0: only when asked for.",
            ["org"],
            registry=registry,
        )
        self.reconcile_finished = Gauge(
            "tiersync_reconcile_finished_timestamp_seconds",
            "When the last reconcile of an org's groups ended; before the first, when it or this process began.",
            ["org"],
            registry=registry,
        )
        self.calls = Counter(
            "tiersync_capillary_calls", "Calls to Capillary, by call and answer.", ["call", "answer"], registry=registry
        )
        self.call_seconds = Histogram(
            "tiersync_capillary_call_seconds", "One call to Capillary.", ["call"], buckets=_SECONDS, registry=registry
        )
        self.gate_wait_seconds = Histogram(
            "tiersync_gate_wait_seconds",
            "How long a call waited for a place within the org's limits.",
            ["org"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.gate_closed_seconds = Gauge(
            "tiersync_gate_closed_seconds",
            "For how long no call goes out, because Capillary said later.",
            ["org"],
            registry=registry,
        )
        self.breaker_state = Gauge(
            "tiersync_breaker_state",
            "How the breaker stands: 0 closed, 1 half-open, 2 open.",
            ["org"],
            registry=registry,
        )
        self.org_paused = Gauge(
            "tiersync_org_paused", "1 while an operator has paused the org.", ["org"], registry=registry
        )
        self.calls_open = Gauge("tiersync_calls_open", "Calls that are out.", ["org"], registry=registry)
        self.keys_due = Gauge("tiersync_keys_due", "Keys whose time has come.", registry=registry)
        self.oldest_due_seconds = Gauge(
            "tiersync_oldest_due_seconds", "How long the longest waiting due key has waited.", registry=registry
        )
        self.oldest_pending_seconds = Gauge(
            "tiersync_oldest_pending_seconds", "Age of the oldest event that is not finished.", registry=registry
        )
        self.dead_events = Gauge(
            "tiersync_dead_events", "Events that are dead now, by reason.", ["reason"], registry=registry
        )
        self.commit_seconds = Histogram(
            "tiersync_commit_seconds", "One commit, from its begin to the disk.", buckets=_SECONDS, registry=registry
        )
        self.commit_operations = Histogram(
            "tiersync_commit_operations", "Store operations in one commit.", buckets=_OPERATIONS, registry=registry
        )
        self.commit_failures = Counter("tiersync_commit_failures", "Commits that failed.", registry=registry)
        # Looking a child up by its labels costs more than counting; there are few of them, and they stay.
        self._delivery, self._adjustment = cache(self.deliveries.labels), cache(self.adjustments.labels)
        self._call, self._call_seconds = cache(self.calls.labels), cache(self.call_seconds.labels)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Measure `value` whenever the metrics are read."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def called(self, call: str, seconds: float, answer: str) -> None:
        """Count a call to Capillary."""
        self._call(call, answer).inc()
        self._call_seconds(call).observe(seconds)

    def settled(self, outcome: str, reason: str, code: int | None, attempt: int, seconds: float) -> None:
        """Count an attempt at an adjustment; `attempt` counts from 1."""
        self._adjustment(outcome, reason, self._bounded(code)).inc()
        self.adjustment_seconds.observe(seconds)
        if outcome != "again":
            self.adjustment_attempts.observe(attempt)

    def _bounded(self, code: int | None) -> str:
        """Whoever answers our calls must not be able to make up series without end."""
        if code is None:
            return ""
        if code not in self._codes and len(self._codes) >= _CODES_MAX:
            return "other"
        self._codes.add(code)
        return str(code)

    def compared(self, result: str, count: int = 1) -> None:
        """Count members that a reconcile looked at, or repaired."""
        self.reconciled.labels(result).inc(count)

    def scheduled(self, org: int, every_s: float, now: int) -> None:
        """Say how often an org's groups are compared; `now` is epoch milliseconds."""
        self.reconcile_interval.labels(org).set(every_s)
        self.reconcile_finished.labels(org).set(now / 1000)

    def passed(self, ended: Mapping[int, int]) -> None:
        """Say when each org's last reconcile ended, epoch milliseconds."""
        for org, instant in ended.items():
            self.reconcile_finished.labels(org).set(instant / 1000)

    def answered(self, answer: str, seconds: float) -> None:
        """Count a delivery."""
        self._delivery(answer).inc()
        self.answer_seconds.observe(seconds)

    @contextmanager
    def commit(self, operations: int) -> Iterator[None]:
        """Measure a commit of so many operations."""
        self.commit_operations.observe(operations)
        with self.commit_failures.count_exceptions(), self.commit_seconds.time():
            yield

    def backlog(self, now: int, keys_due: int, due_since: int | None, pending_since: int | None) -> None:
        """Say what waits. Instants are epoch milliseconds, None for nothing."""
        self.keys_due.set(keys_due)
        self.oldest_due_seconds.set(_age_s(now, due_since))
        self.oldest_pending_seconds.set(_age_s(now, pending_since))

    def dead(self, by_reason: Mapping[str, int]) -> None:
        """Say how many events are dead."""
        self.dead_events.clear()
        for reason, events in by_reason.items():
            self.dead_events.labels(reason).set(events)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)


def _age_s(now: int, since: int | None) -> float:
    return 0 if since is None else max(0, now - since) / 1000
