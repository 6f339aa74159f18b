"""The traces: one from a webhook through its commit to every call, exported over OTLP when `OTEL_*` says where to.

    POST /webhooks/capillary        the delivery; continues the trace of an incoming traceparent
    ├── store.receive               its commit
    └── turn                        the first turn at the key that it made due
        ├── capillary.members       a call
        └── adjustment              one attempt at one secondary
            └── capillary.adjust    its calls

A later turn (a retry by the schedule, the next life after a crash, a replay) is a trace of its own, linked to the
delivery, whose traceparent is stored with the event. Spans carry ids only. Without a collector nothing of this is
imported, and `Traces` does nothing.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tiersync.errors import SettingsError

TRACEPARENT: Final = "traceparent"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_FLUSH_S_MAX: Final = 5.0
_NOTHING: Final = nullcontext()
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_FAILED: Final = Status(StatusCode.ERROR)

Ids = Mapping[str, int | str | None]
"""What a span may carry: whose it is, how it ended."""


class Traces:
    """Nothing is traced. What is traced is one level below: `_Traced`."""

    def delivery(self, traceparent: str | None, seconds: float) -> AbstractContextManager[str | None]:  # noqa: ARG002
        """A delivery that came `seconds` ago; gives the traceparent to store with it."""
        return _NOTHING

    def commit(self) -> AbstractContextManager[None]:
        """The commit that stores a delivery."""
        return _NOTHING

    def turn(self, traceparent: str | None, *, first: bool, ids: Callable[[], Ids]) -> AbstractContextManager[None]:  # noqa: ARG002
        """A turn at a key, for the event that came with `traceparent`; `first` if none was made since it came."""
        return _NOTHING

    def adjustment(
        self,
        traceparent: str | None,  # noqa: ARG002
        *,
        first: bool,  # noqa: ARG002
        ids: Callable[[], Ids],  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """An attempt at one secondary; `traceparent` is that of its event if it is not the turn's."""
        return _NOTHING

    def called(self, call: str, seconds: float, answer: str) -> None:
        """A call to Capillary that has just ended."""

    def ended(self, ids: Callable[[], Ids], *, well: bool = True) -> None:
        """Say how the span that runs now came out."""


class _Traced(Traces):
    """Spans by OpenTelemetry. `now_ns` is the epoch in nanoseconds."""

    def __init__(self, tracer: Tracer, now_ns: Callable[[], int]) -> None:
        self._tracer, self._now_ns = tracer, now_ns

    @contextmanager
    def _span(self, name: str, **more: Any) -> Iterator[None]:
        # What an exception says may quote what it choked on: a span only knows that there was one.
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False, **more
        ) as span:
            try:
                yield
            except BaseException:
                span.set_status(_FAILED)
                raise

    @contextmanager
    def delivery(self, traceparent: str | None, seconds: float) -> Iterator[str | None]:
        parent, start = trace.set_span_in_context(_remote(traceparent)), self._before(seconds)
        with self._span("POST /webhooks/capillary", context=parent, kind=SpanKind.SERVER, start_time=start):
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            yield carrier.get(TRACEPARENT)

    def commit(self) -> AbstractContextManager[None]:
        return self._span("store.receive")

    def turn(self, traceparent: str | None, *, first: bool, ids: Callable[[], Ids]) -> AbstractContextManager[None]:
        origin = _remote(traceparent)
        return self._span(
            "turn",
            context=trace.set_span_in_context(origin if first else trace.INVALID_SPAN),
            kind=SpanKind.CONSUMER,
            attributes=_attributes(ids()),
            links=[] if first else _links(origin),
        )

    def adjustment(
        self, traceparent: str | None, *, first: bool, ids: Callable[[], Ids]
    ) -> AbstractContextManager[None]:
        turn, origin = trace.get_current_span(), _remote(traceparent)
        own = first and origin.get_span_context().is_valid  # the call belongs to the trace of the event that owes it
        return self._span(
            "adjustment",
            context=trace.set_span_in_context(origin if own else turn),
            attributes=_attributes(ids()),
            links=_links(turn if own else origin),
        )

    def called(self, call: str, seconds: float, answer: str) -> None:
        span = self._tracer.start_span(
            f"capillary.{call}",
            kind=SpanKind.CLIENT,
            start_time=self._before(seconds),
            attributes={"tiersync.answer": answer},
        )
        if answer != "ok":
            span.set_status(_FAILED)
        span.end(self._now_ns())

    def ended(self, ids: Callable[[], Ids], *, well: bool = True) -> None:
        span = trace.get_current_span()
        span.set_attributes(_attributes(ids()))
        if not well:
            span.set_status(_FAILED)

    def _before(self, seconds: float) -> int:
        return self._now_ns() - int(seconds * 1e9)


def _remote(traceparent: str | None) -> Span:
    """The span that a traceparent names; one that is none starts a trace of its own."""
    if traceparent is None:
        return trace.INVALID_SPAN
    return trace.get_current_span(_PROPAGATOR.extract({TRACEPARENT: traceparent}, context=Context()))


def _links(span: Span) -> list[Link]:
    context = span.get_span_context()
    return [Link(context)] if context.is_valid else []


def _attributes(ids: Ids) -> dict[str, int | str]:
    return {f"tiersync.{name}": value for name, value in ids.items() if value is not None}


def collector() -> str | None:
    """Where spans go, by the standard variables; None if nowhere. Raises `SettingsError` for a protocol but HTTP."""
    said = {name: os.environ.get(name, "").strip() for name in (*_ENDPOINTS, *_PROTOCOLS)}
    where = said[_ENDPOINTS[0]] or said[_ENDPOINTS[1]]
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not where or off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none":
        return None
    for name in _PROTOCOLS:
        if said[name] not in {"", "http/protobuf"}:
            raise SettingsError(f"{name}: only OTLP over HTTP is spoken. Example: {name}=http/protobuf")
    return where


@asynccontextmanager
async def traces(version: str, now_ns: Callable[[], int]) -> AsyncIterator[Traces]:
    """Trace for the time of the block if a collector is configured; what is left is sent at its end."""
    if collector() is None:
        yield Traces()
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.version": version}
    if "OTEL_SERVICE_NAME" not in os.environ and "service.name" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        named["service.name"] = "tiersync"
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield _Traced(provider.get_tracer("tiersync", version), now_ns)
    finally:
        # A collector that is away must not hold up the end: a thread of its own, waited for so long and no longer.
        flush = threading.Thread(target=provider.shutdown, name="traces-flush", daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, _FLUSH_S_MAX)
