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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` replaces the sockets; the contract tests pass one that is respx's."""
        self._connect_s_max, self._response_bytes_max = connect_s_max, response_bytes_max
        limits = httpx.Limits(max_connections=connections_max, max_keepalive_connections=connections_max)
        # httpx's transport, without its client on top: no redirects, cookies, proxies or event hooks are wanted here,
        # and the client costs as much again as the call.
        self._transport = transport or AiohttpTransport(limits=limits)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Send one request; see `Transport`."""
        connect_s = min(self._connect_s_max, timeout_s)
        extensions = {"timeout": {"connect": connect_s, "pool": timeout_s, "read": timeout_s, "write": timeout_s}}
        try:
            async with asyncio.timeout(timeout_s):
                request = httpx.Request(method, url, headers=headers, content=body, extensions=extensions)
                response = await self._transport.handle_async_request(request)
                try:
                    return Answer(response.status_code, response.headers, await self._body(response))
                finally:
                    await response.aclose()
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            problem = NoAnswer if _was_sent(error) else NotSent
            raise problem(type(error.__cause__ or error).__name__) from error

    async def _body(self, response: httpx.Response) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._response_bytes_max:
                raise NoAnswer(f"the answer is longer than {self._response_bytes_max} bytes")
        return b"".join(chunks)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _was_sent(error: Exception) -> bool:
    """Tell a connection that never was from one that broke. The adapter gives both the same httpx class."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.InvalidURL)
