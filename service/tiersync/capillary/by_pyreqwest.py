"""The seam on pyreqwest: Rust's reqwest on a thread of its own, a fifth of httpx's CPU for each call."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PoolTimeoutError, PyreqwestError, RequestTimeoutError
from pyreqwest.proxy import ProxyBuilder

from tiersync.capillary.outcome import Answer
from tiersync.capillary.transport import KEPT_S_MAX, Line, NoAnswer, NotSent, too_long, too_slow

_CONNECTING: Final = "client error (Connect)"
"""What is among the causes of every failure before a connection stood, and of no other. The class of the error does
not tell: pyreqwest calls an answer that broke off a `ConnectError` too."""

_LETTING_GO_S: Final = 0.05
"""Rust's thread wakes us and then needs the interpreter for an instant more: without it, an exit ends in an abort."""


class PyreqwestTransport:
    """Keeps the clock in Rust as well: a call that is over in time costs no timer here."""

    def __init__(self, line: Line) -> None:
        """Connect nowhere yet."""
        self._response_bytes_max = line.response_bytes_max
        self._client = _client(line)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Send one request; see `Transport`."""
        try:
            request = self._client.request(method, url).headers(headers).timeout(timedelta(seconds=timeout_s))
            if body is not None:
                request = request.body_bytes(body)
            async with request.build_streamed() as response:
                chunks, size = [], 0
                while (chunk := await response.body_reader.read_chunk()) is not None:
                    chunks.append(chunk.to_bytes())
                    size += len(chunk)
                    if size > self._response_bytes_max:
                        raise too_long(self._response_bytes_max)
                return Answer(response.status, response.headers, b"".join(chunks))
        except (PyreqwestError, ValueError) as error:
            causes = _causes(error)
            if isinstance(error, ValueError | PoolTimeoutError) or _CONNECTING in causes:
                raise NotSent(causes[-1]) from error
            raise (too_slow(timeout_s) if isinstance(error, RequestTimeoutError) else NoAnswer(causes[-1])) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await asyncio.sleep(_LETTING_GO_S)


def _client(line: Line) -> Client:
    builder = (
        ClientBuilder()
        .http1_only()
        .http1_lower_case_headers()
        .follow_redirects(enable=False)
        .no_proxy()
        .brotli(enable=False)
        .zstd(enable=False)
        .connect_timeout(timedelta(seconds=line.connect_s_max))
        .max_connections(line.connections_max)
        .pool_max_idle_per_host(line.connections_max)
        .pool_idle_timeout(timedelta(seconds=KEPT_S_MAX))
    )
    if line.proxy is not None:
        builder = builder.proxy(ProxyBuilder.all(line.proxy))
    if line.ca_file is not None:
        for certificate in ssl.create_default_context(cafile=line.ca_file).get_ca_certs(binary_form=True):
            builder = builder.add_root_certificate_der(certificate)
    return builder.build()


def _causes(error: Exception) -> list[str]:
    """The error's own words, from the outermost to the root. The outermost may name the address, the root does not."""
    details = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()] or [type(error).__name__]
