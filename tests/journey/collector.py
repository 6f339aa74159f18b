"""A collector for traces: takes OTLP over HTTP on a loopback port, and keeps what it was sent."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.journey.kit import listening, serving


@dataclass(frozen=True, slots=True)
class Span:
    """A span as it was exported; ids are hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: Mapping[str, Any]
    failed: bool


@dataclass(slots=True)
class Collector:
    """What was exported until now: the spans, and the requests as they came."""

    url: str
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a service needs to export its spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def named(self, name: str, **attributes: Any) -> list[Span]:
        """The spans of a name whose attributes are as given."""
        wanted = {f"tiersync.{key}": value for key, value in attributes.items()}
        return [span for span in self.spans if span.name == name and wanted.items() <= span.attributes.items()]

    async def take(self, request: Request) -> Response:
        """Answer an export."""
        body = await request.body()
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_read(span) for span in scope.spans]
        return Response(media_type="application/x-protobuf")


def _read(span: Any) -> Span:
    given = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
    links = tuple(link.trace_id.hex() for link in span.links)
    failed = span.status.code == 2  # STATUS_CODE_ERROR
    return Span(span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), links, given, failed)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Run a collector for the time of the block."""
    at = listening()
    collector = Collector(f"http://127.0.0.1:{at.getsockname()[1]}")
    routes = [Route("/v1/traces", collector.take, methods=["POST"])]
    async with serving(Starlette(routes=routes), at):
        yield collector
