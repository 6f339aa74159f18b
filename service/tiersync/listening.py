"""How long the head of a request may take and how large it may be: uvicorn by itself waits for ever and takes any.

Bodies have limits of their own, in the receiver. What is cut off here was no delivery yet: nothing of it is kept.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _Bounded(HttpToolsProtocol):
    """uvicorn's HTTP protocol with a deadline and a size for each request's head."""

    head_read_s_max: float
    head_bytes_max: int
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None before the first
        if self._deadline is None and idle:
            self._await_head()  # bytes that begin no request have stopped uvicorn's own timer
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.head_bytes_max:
                self._cut_off(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_in()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_in()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = self.loop.call_later(self.head_read_s_max, self._cut_off, b"408 Request Timeout")

    def _head_is_in(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut_off(self, status: bytes) -> None:
        self._head_is_in()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()


def bounded(head_read_s_max: float, head_bytes_max: int) -> type[asyncio.Protocol]:
    """Make the protocol that uvicorn is to speak.

    The time counts from the opening of a connection, or from the first byte of a further request on it. A head that is
    too late is answered 408, one that is too large 431, and the connection is closed.
    """
    return type("Bounded", (_Bounded,), {"head_read_s_max": head_read_s_max, "head_bytes_max": head_bytes_max})
