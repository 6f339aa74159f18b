"""What the service says about itself: structlog events and Prometheus metrics. Ids only, never personal data."""

import logging
import sys
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def configure_logging(level: str, form: str) -> None:
    """Log to stderr from `level` on; `form` is json, console, or auto (console on a terminal)."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak only when something is wrong: their request lines would hold what ours must not.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", force=True)


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        """All of them, at zero."""
        self.registry = CollectorRegistry()
        self.deliveries = Counter(
            "tiersync_deliveries", "Webhook deliveries, by answer.", ["answer"], registry=self.registry
        )
        self.answer_seconds = Histogram(
            "tiersync_answer_seconds", "From the request to its answer.", buckets=_SECONDS, registry=self.registry
        )
        self.adjustments = Counter(
            "tiersync_adjustments",
            "Attempts at adjustments, by outcome.",
            ["outcome", "reason"],
            registry=self.registry,
        )
        self.adjustment_seconds = Histogram(
            "tiersync_adjustment_seconds",
            "From an attempt's begin to its outcome on disk.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.calls = Counter(
            "tiersync_capillary_calls",
            "Calls to Capillary, by call and answer.",
            ["call", "answer"],
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            "tiersync_capillary_call_seconds",
            "One call to Capillary.",
            ["call"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.oldest_due_seconds = Gauge(
            "tiersync_oldest_due_seconds", "How long the longest waiting due key has waited.", registry=self.registry
        )
        self.gate_closed_seconds = Gauge(
            "tiersync_gate_closed_seconds",
            "For how long no call goes out, because Capillary said later.",
            ["org"],
            registry=self.registry,
        )
        self.breaker_state = Gauge(
            "tiersync_breaker_state",
            "How the breaker stands: 0 closed, 1 half-open, 2 open.",
            ["org"],
            registry=self.registry,
        )
        self.org_paused = Gauge(
            "tiersync_org_paused", "1 while an operator has paused the org.", ["org"], registry=self.registry
        )
        self.keys_due = Gauge("tiersync_keys_due", "Keys whose time has come.", registry=self.registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Measure `value` whenever the metrics are read."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def called(self, call: str, seconds: float, answer: str) -> None:
        """Count a call to Capillary."""
        self.calls.labels(call, answer).inc()
        self.call_seconds.labels(call).observe(seconds)

    def settled(self, outcome: str, reason: str, seconds: float) -> None:
        """Count an attempt at an adjustment."""
        self.adjustments.labels(outcome, reason).inc()
        self.adjustment_seconds.observe(seconds)

    def answered(self, answer: str, seconds: float) -> None:
        """Count a delivery."""
        self.deliveries.labels(answer).inc()
        self.answer_seconds.observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
