"""What a verb is asked with: numbers, times, ages, a yes. What is wrong is named with what would be right."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from tiersync.webhook import INT64_MAX

INT32_MAX: Final = 2**31 - 1
_SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60}

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]


def whole(least: int, most: int = INT64_MAX) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` to `most`."""

    def read(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is no whole number") from None
        if not least <= number <= most:
            raise typer.BadParameter(f"{number} is not between {least} and {most}")
        return number

    return read


def text(value: str) -> str:
    """Read words or an id: an argument may hold any bytes, a database only text."""
    if value.encode("utf-8", "ignore").decode("utf-8") != value:
        raise typer.BadParameter(f"{value!r} is not UTF-8")
    if not value.strip():
        raise typer.BadParameter("must not be empty")
    return value


def instant(value: str | None, option: str) -> int | None:
    """An ISO date or time as epoch milliseconds; without an offset it is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise typer.BadParameter(
            f"{value!r} is no ISO date or time. Example: {option} 2026-01-31T08:00Z", param_hint=f"'{option}'"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def age(value: str | None, option: str) -> timedelta | None:
    """An age such as 30d, 12h or 45m."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([dhm])", value)
    if found is None:
        raise typer.BadParameter(f"{value!r} is no age. Example: {option} 30d (or 12h, 45m)", param_hint=f"'{option}'")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def agrees(question: str) -> bool:
    """Ask on stderr and read the answer; whoever says nothing does not agree."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - stdout holds results only
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print(file=sys.stderr)  # noqa: T201
    return answer.strip().lower() in {"y", "yes"}
