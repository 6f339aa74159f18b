"""The seam to HTTP: one method. Everything above it is about Capillary, everything below it about sockets."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from tiersync.capillary.outcome import Answer


class NotSent(Exception):  # noqa: N818 - a state of the world
    """Nothing reached Capillary: the call can be made again without a thought."""


class NoAnswer(Exception):  # noqa: N818
    """The call may have had its effect: nobody knows."""


class Transport(Protocol):
    """Sends one request and reads its whole answer."""

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Raises `NotSent` or `NoAnswer`. Follows no redirect; reads no more than the configured size."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class HttpxTransport:
    """httpx over aiohttp's connections: design section 6 says why."""

    def __init__(
        self,
        *,
        connections_max: int,
        connect_s_max: float,
        response_bytes_max: int,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """`client` replaces the default one; the contract tests pass one whose transport is respx's."""
        self._connect_s_max, self._response_bytes_max = connect_s_max, response_bytes_max
        limits = httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max)
        self._client = client or httpx.AsyncClient(
            transport=AiohttpTransport(limits=limits), follow_redirects=False, trust_env=False
        )

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Send one request; see `Transport`."""
        timeout = httpx.Timeout(timeout_s, connect=min(self._connect_s_max, timeout_s))
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._client.stream(method, url, headers=headers, content=body, timeout=timeout) as response,
            ):
                chunks, size = [], 0
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > self._response_bytes_max:
                        raise NoAnswer(f"the answer is longer than {self._response_bytes_max} bytes")
                return Answer(response.status_code, response.headers, b"".join(chunks))
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            problem = NoAnswer if _was_sent(error) else NotSent
            raise problem(type(error.__cause__ or error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _was_sent(error: Exception) -> bool:
    """Tell a connection that never was from one that broke. The adapter gives both the same httpx class."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.InvalidURL)
