"""What the service says about itself: a log, metrics and traces. Ids only, never personal data."""

from tiersync.telemetry.logs import FIELDS, configure_logging
from tiersync.telemetry.metrics import CONTENT_TYPE, Metrics
from tiersync.telemetry.tracing import Ids, Traces, traces

__all__ = ["CONTENT_TYPE", "FIELDS", "Ids", "Metrics", "Traces", "configure_logging", "traces"]
