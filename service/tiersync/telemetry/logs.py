"""The log: structlog events with stable names, and no other fields than those that may be there."""

import json
import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace

from tiersync.telemetry.tracing import collector

FIELDS: Final = frozenset(
    {
        *("event", "level", "timestamp", "logger", "exception", "error", "message", "trace_id"),
        *("org", "program", "customer", "member", "event_id", "event_row", "sync", "generation"),
        *("job", "kind", "by", "status", "matched", "done", "events", "members", "problem"),
        *("answer", "name", "reason", "outcome", "decision", "code", "attempt", "closed", "due_at", "seconds"),
        *("role", "host", "port", "version"),
    }
)
"""Whatever else is handed to the log is left out of it: what is not named here was not looked at for personal data."""

Entry = MutableMapping[str, Any]


def configure_logging(level: str, form: str, stream: TextIO | None = None) -> None:
    """Log to stderr from `level` on; `form` is json, console, or auto (console on a terminal)."""
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    plain = structlog.processors.JSONRenderer(serializer=_json)
    renderer = structlog.dev.ConsoleRenderer(colors=_coloured(out)) if console else plain
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_add_trace] if collector() else []),
            _tell_exception,
            _keep_allowed,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    # Libraries speak only when something is wrong: their request lines would hold what ours must not.
    logging.basicConfig(level=logging.WARNING, handlers=[_FromLibraries()], force=True)


_ENCODER: Final = json.JSONEncoder(default=str)


def _json(entry: Entry, **_: Any) -> str:
    return _ENCODER.encode(entry)


def _coloured(out: TextIO) -> bool:
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _add_trace(_logger: Any, _method: str, entry: Entry) -> Entry:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = trace.format_trace_id(context.trace_id)
    return entry


def _tell_exception(_logger: Any, _method: str, entry: Entry) -> Entry:
    """Say which exception and where, not what it says: it may quote what it choked on, a body or a name."""
    if entry.pop("exc_info", None) and (error := sys.exception()) is not None:
        entry["exception"] = _told(error)
    return entry


def _told(error: BaseException) -> str:
    where = "".join(traceback.format_tb(error.__traceback__))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = [*error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    causes = [_told(each) for each in (before, *inner) if each is not None]
    return "\n".join([*causes, f"{where}{type(error).__module__}.{type(error).__qualname__}"])


def _keep_allowed(_logger: Any, _method: str, entry: Entry) -> Entry:
    if not FIELDS.issuperset(entry):
        unknown = entry.keys() - FIELDS
        for name in unknown:
            del entry[name]
        entry["message"] = f"left out, not allowed in the log: {', '.join(sorted(unknown))}"
    return entry


class _FromLibraries(logging.Handler):
    """What libraries have to say, in the same form as our own lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger("tiersync.library")
        say = log.error if record.levelno >= logging.ERROR else log.warning
        entry: dict[str, Any] = {"logger": record.name, "message": record.getMessage().partition("\n")[0]}
        if record.exc_info and record.exc_info[1] is not None:
            entry["exception"] = _told(record.exc_info[1])
        say("library.spoke", **entry)
