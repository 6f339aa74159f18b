"""Reading requests from and writing answers to a connection, the ill-behaved ways included.

A connection can be cut without an answer only where the server lets us at its transport: `Sandbox.__call__` in `app`
puts it into the scope. Called in-process (httpx's ASGITransport) there is none, and ConnectionResetError is raised.
"""

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from tiersync.sandbox.answers import Answer
from tiersync.sandbox.switches import Hold, SlowBody

TRANSPORT = "tiersync.transport"
LINGER_NOT = struct.pack("ii", 1, 0)


class ClientGone(Exception):  # noqa: N818 - a state of the world
    """The caller hung up before its request was read."""


class BodyTooLarge(Exception):  # noqa: N818 - a state of the world
    """The request body is longer than allowed."""


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return the request headers; of equal ones the last counts."""
    return dict(scope["headers"])


def query_of(scope: Scope) -> dict[str, str]:
    """Return the query; of equal keys the last counts."""
    raw: bytes = scope["query_string"]
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}


async def body_of(receive: Receive, bytes_max: int) -> bytes:
    """Read the whole body; raises BodyTooLarge or ClientGone."""
    pieces: list[bytes] = []
    room = bytes_max
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        room -= len(pieces[-1])
        if room < 0:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return b"".join(pieces)


def content_of(answer: Answer) -> bytes:
    """Return the bytes of an answer."""
    return answer.body if isinstance(answer.body, bytes) else to_json(answer.body)


async def send_answer(send: Send, answer: Answer, more_headers: Mapping[str, str]) -> None:
    """Send an answer at once."""
    content = content_of(answer)
    await _start(send, answer, content, more_headers)
    await send({"type": "http.response.body", "body": content})


async def send_slowly(
    send: Send,
    answer: Answer,
    more_headers: Mapping[str, str],
    slow: SlowBody,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Send the headers at once and the body in pieces, with a pause before each."""
    content = content_of(answer)
    await _start(send, answer, content, more_headers)
    size = max(1, -(-len(content) // slow.pieces))
    for position in range(0, len(content), size):
        await sleep(slow.ms / 1000)
        await send({"type": "http.response.body", "body": content[position : position + size], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def compressed(answer: Answer, accepted: bytes) -> Answer:
    """Compress an answer if the caller accepts gzip."""
    if b"gzip" not in accepted:
        return answer
    headers = {**answer.headers, "content-encoding": "gzip"}
    return Answer(gzip.compress(content_of(answer)), answer.status, answer.media_type, headers, answer.code)


async def hold(scope: Scope, receive: Receive, parameters: Hold) -> None:
    """Say nothing for a while, then end the connection as asked; returns early when the caller hangs up."""
    if parameters.then == "never":
        await until_gone(receive)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(parameters.hold_ms / 1000):
            await until_gone(receive)
            return
    await hang_up(scope, receive, reset=parameters.then == "reset")


async def hang_up(scope: Scope, receive: Receive, *, reset: bool) -> None:
    """Cut the connection: by FIN, or by RST with `reset`."""
    transport = scope.get(TRANSPORT)
    if transport is None:
        raise ConnectionResetError("the sandbox cut this connection on purpose")
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        with suppress(OSError, NotImplementedError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    transport.abort()
    await until_gone(receive)


async def until_gone(receive: Receive) -> None:
    """Wait until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, answer: Answer, content: bytes, more_headers: Mapping[str, str]) -> None:
    headers = [
        (b"content-type", answer.media_type.encode("latin-1")),
        (b"content-length", str(len(content)).encode()),
    ]
    for named in (answer.headers, more_headers):
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
