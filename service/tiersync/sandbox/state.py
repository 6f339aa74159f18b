"""The state file: each call that could change the organisation, one JSON line each, put through the same door at start.

It holds calls and not events of the core, because group operations, flags and programmes are no such events; the calls
lead to the same events, and so to the same organisation. The first line says when the organisation was founded.
A line that was cut off by a crash is the last one, and is dropped.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tiersync.errors import LoyaltyError


@dataclass(frozen=True, slots=True)
class Kept:
    """One call as it came; `route` is the path of its verb, `now` the sandbox's time."""

    now: datetime
    method: str
    route: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    body: bytes
    request_id: str


class StateFile:
    """The file behind `SandboxSettings.state`. Opened once, appended to, flushed with each line."""

    def __init__(self, path: Path, now: datetime) -> None:
        """Open the file, or found a new organisation in it. Refuses a line that is none of a state file."""
        self._path = path
        try:
            path.touch()
            lines = path.read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise LoyaltyError(f"the state cannot be kept in {path}: {error.strerror}") from error
        whole = [line for line in lines if line.endswith(b"\n")] or [_line({"founded": now.isoformat()})]
        self.founded = self._founded(whole[0])
        self.calls = [self._call(position, line) for position, line in enumerate(whole[1:], start=2)]
        if whole != lines:
            path.write_bytes(b"".join(whole))
        self._file = path.open("ab")

    def _founded(self, line: bytes) -> datetime:
        try:
            return datetime.fromisoformat(json.loads(line)["founded"])
        except (ValueError, KeyError, TypeError) as wrong:
            raise self._wrong(1) from wrong

    def _call(self, position: int, line: bytes) -> Kept:
        try:
            plain = json.loads(line)
            now, body = datetime.fromisoformat(plain.pop("now")), plain.pop("body")
            return Kept(now=now, body=body.encode("utf-8", "surrogateescape"), **plain)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise self._wrong(position) from wrong

    def append(self, call: Kept) -> None:
        """Write one call."""
        self._file.write(
            _line(
                {
                    "now": call.now.isoformat(),
                    "method": call.method,
                    "route": call.route,
                    "path": call.path,
                    "params": call.params,
                    "query": call.query,
                    "body": call.body.decode("utf-8", "surrogateescape"),
                    "request_id": call.request_id,
                }
            )
        )
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _wrong(self, position: int) -> LoyaltyError:
        return LoyaltyError(f"{self._path}, line {position}: not a call of a sandbox; move the file away")


def _line(plain: dict[str, object]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"
