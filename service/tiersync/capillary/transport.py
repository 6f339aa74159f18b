"""The seam to HTTP: one method. Everything above it is about Capillary, everything below it about sockets.

Two libraries speak it, `by_httpx` and `by_pyreqwest`, and one suite of tests on real sockets holds for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tiersync.capillary.outcome import Answer

KEPT_S_MAX: Final = 4.0
"""For how long an unused connection is kept: less than any usual server waits (5 s) before it closes one, because a
request that meets the closing leaves its call in doubt."""


class NotSent(Exception):  # noqa: N818 - a state of the world
    """Nothing reached Capillary: the call can be made again without a thought."""


class NoAnswer(Exception):  # noqa: N818
    """The call may have had its effect: nobody knows."""


@dataclass(frozen=True, slots=True)
class Line:
    """How to reach one org's API.

    `proxy` is an address; the environment's proxies are never used. `ca_file` holds certificates (PEM) that are
    trusted besides the usual ones.
    """

    connections_max: int
    connect_s_max: float
    response_bytes_max: int
    proxy: str | None = None
    ca_file: Path | None = None


class Transport(Protocol):
    """Sends one request over HTTP/1.1 and reads its whole answer. Nothing of a call is kept for the next one."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Raises `NotSent` or `NoAnswer`. Follows no redirect; reads no more than the configured size, unzipped."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def too_slow(timeout_s: float) -> NoAnswer:
    """The time of a call is over."""
    return NoAnswer(f"no answer within {timeout_s:g} s")


def too_long(bytes_max: int) -> NoAnswer:
    """An answer has more than the allowed size."""
    return NoAnswer(f"the answer is longer than {bytes_max} bytes")
