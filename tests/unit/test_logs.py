"""The log holds what may be there, and nothing that an exception quotes."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from tiersync.telemetry import configure_logging

MOBILE = "919845600000"
EMAIL = "tom@email.com"
Said = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def said() -> Iterator[Said]:
    """Have the log written as JSON; calling it gives what was said."""
    out, handlers, level = io.StringIO(), logging.root.handlers, logging.root.level
    configure_logging("info", "json", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.root.handlers, logging.root.level = handlers, level


def test_a_field_that_is_not_allowed_is_left_out_and_named(said: Said) -> None:
    """Its value is not written, and the line says that something is missing from it."""
    structlog.get_logger("a").info("adjustment.settled", member=7, mobile=MOBILE)

    [entry] = said()
    assert 7 == entry["member"]
    assert MOBILE not in str(entry)
    assert "left out, not allowed in the log: mobile" == entry["message"]


def test_an_exception_is_told_without_its_words(said: Said) -> None:
    """Class, cause and place of an exception are logged; what it says is not, for it may quote a body."""
    try:
        try:
            int(EMAIL)
        except ValueError as error:
            raise LookupError(EMAIL) from error
    except LookupError:
        structlog.get_logger("a").exception("turn.failed", sync=1)

    [entry] = said()
    assert entry["exception"].endswith("builtins.LookupError")
    assert "builtins.ValueError" in entry["exception"]
    assert "test_an_exception_is_told_without_its_words" in entry["exception"]
    assert EMAIL not in str(entry)
    assert "invalid literal" not in str(entry)


def test_libraries_speak_in_the_same_form(said: Said) -> None:
    """A warning of a library is a line like our own; what is less than a warning is none."""
    try:
        int(EMAIL)
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed\nfuture: <Task exception=%s>", EMAIL)
    logging.getLogger("httpx").info("GET /?mobile=%s", MOBILE)
    logging.getLogger("library").warning("Invalid %s request", "HTTP")

    first, second = said()
    assert ("library.spoke", "error", "asyncio", "Task failed") == tuple(
        first[name] for name in ("event", "level", "logger", "message")
    )
    assert "ValueError" in first["exception"]
    assert EMAIL not in str(first)
    assert ("warning", "Invalid HTTP request") == (second["level"], second["message"])


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("name", "value", "coloured"), [("TERM", "xterm", True), ("NO_COLOR", "1", False), ("TERM", "dumb", False)]
)
def test_a_screen_gets_colours_unless_it_wants_none(
    said: Said, monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, coloured: bool
) -> None:
    """NO_COLOR and a terminal that has none are heeded by the log too."""
    out = _Screen()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    configure_logging("info", "auto", out)

    structlog.get_logger("a").info("service.stopped")

    assert coloured == ("\x1b" in out.getvalue())
    assert "service.stopped" in out.getvalue()
    assert not said()
