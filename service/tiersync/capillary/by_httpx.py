"""The seam on httpx, over aiohttp's connections: slower than `by_pyreqwest`, and all of it can be read in Python.

httpx's own connections lose their place when a call is cancelled, which is why they are not used.
"""

import asyncio
from collections.abc import Mapping

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from tiersync.capillary.outcome import Answer
from tiersync.capillary.transport import KEPT_S_MAX, Line, NoAnswer, NotSent, too_long, too_slow


class HttpxTransport:
    """httpx's transport without its client: that costs as much again as the call, for nothing that is wanted here."""

    def __init__(self, line: Line, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`transport` replaces the sockets; the contract tests pass one that is respx's."""
        self._line = line
        self._trusted = httpx.create_ssl_context(trust_env=False)
        if line.ca_file is not None:
            self._trusted.load_verify_locations(line.ca_file)
        proxy = httpx.Proxy(line.proxy) if line.proxy is not None else None
        self._transport = transport or AiohttpTransport(verify=self._trusted, client=self._session, proxy=proxy)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._line.connections_max, keepalive_timeout=KEPT_S_MAX, ssl=self._trusted
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Send one request; see `Transport`."""
        connect_s = min(self._line.connect_s_max, timeout_s)
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
            raise too_slow(timeout_s) from None
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            problem = NoAnswer if _was_sent(error) else NotSent
            raise problem(type(error.__cause__ or error).__name__) from error

    async def _body(self, response: httpx.Response) -> bytes:
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            size += len(chunk)
            if size > self._line.response_bytes_max:
                raise too_long(self._line.response_bytes_max)
        return b"".join(chunks)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _was_sent(error: Exception) -> bool:
    """Tell a connection that never was from one that broke. The adapter gives both the same httpx class."""
    cause = error.__cause__
    if isinstance(cause, aiohttp.ClientError):
        return not isinstance(
            cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
        )
    return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.InvalidURL)
