"""The transport on real sockets: what surely never left, what nobody knows, and what is read at most."""

import asyncio
import gzip
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tiersync.capillary import HttpxTransport, Line, PyreqwestTransport, Transport
from tiersync.capillary.transport import NoAnswer, NotSent

CAP = 10_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server on loopback that does with each request what the test says."""

    def __init__(self, peer: Peer, greeting: bytes) -> None:
        """`peer` is called once for each request of each connection; `greeting` is sent before any."""
        self.peer, self.greeting = peer, greeting
        self.requests, self.connections, self.url = list[bytes](), 0, ""
        self.arrived, self.closed = asyncio.Queue[bytes](), asyncio.Event()
        self._running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests until the connection ends."""
        self.connections += 1
        task: asyncio.Task[None] | None = asyncio.current_task()
        assert task is not None
        self._running[task] = writer
        writer.write(self.greeting)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b":0"
                )
                self.requests.append(head + await reader.readexactly(int(length.split(b":")[1])))
                self.arrived.put_nowait(self.requests[-1])
                await self.peer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()

    async def close(self) -> None:
        """Drop whoever is still connected."""
        for writer in self._running.values():
            writer.transport.abort()
        await asyncio.gather(*self._running, return_exceptions=True)


@asynccontextmanager
async def serving(
    peer: Peer, greeting: bytes = b"", certificate: trustme.LeafCert | None = None
) -> AsyncIterator[Server]:
    """Run a server for the time of the block; with a certificate it speaks TLS."""
    server, tls = Server(peer, greeting), None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(tls)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.close()
        await listening.wait_closed()


Sending = Callable[..., AbstractAsyncContextManager[Transport]]


@pytest.fixture(params=[HttpxTransport, PyreqwestTransport])
def sending(request: pytest.FixtureRequest) -> Sending:
    """Open each of the product's own transports in turn; a test names what of the line it is about."""

    @asynccontextmanager
    async def opened(**line: Any) -> AsyncIterator[Transport]:
        usual = {"connections_max": 4, "connect_s_max": 5, "response_bytes_max": CAP}
        transport: Transport = request.param(Line(**{**usual, **line}))
        try:
            async with asyncio.timeout(30):
                yield transport
        finally:
            await transport.close()

    return opened


async def post(transport: Transport, url: str, timeout_s: float = 5) -> bytes:
    """Send a small POST; return the body of the answer."""
    answer = await transport.send("POST", f"{url}/x?y=1", {"X-Own": "1"}, b'{"a":1}', timeout_s)
    return answer.body


def says(*parts: bytes, then: str = "stay") -> Peer:
    """Build a peer that sends these parts and then stays, closes or resets."""

    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif then == "close":
            writer.close()

    return peer


async def test_a_request_arrives_as_it_was_sent_and_its_answer_comes_back_whole(sending: Sending) -> None:
    """Method, address, headers and body; status, headers by any case, and body."""
    peer = says(b"HTTP/1.1 207 X\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nab")

    async with serving(peer) as server, sending() as transport:
        answer = await transport.send("POST", f"{server.url}/x?y=%26", {"X-Own": "1"}, b'{"a":1}', 5)

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x?y=%26 HTTP/1.1\r\n")
    assert b"x-own: 1" in head.lower()
    assert body == b'{"a":1}'
    assert (answer.status, answer.headers.get("retry-after"), answer.body) == (207, "7", b"ab")


async def test_a_refused_connection_is_a_call_that_was_not_sent(sending: Sending) -> None:
    """It can be made again without a thought."""
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]

    async with sending() as transport:
        with pytest.raises(NotSent):
            await post(transport, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("greeting", [b"no TLS here\r\n", b""], ids=["another protocol", "silence"])
async def test_a_handshake_that_fails_is_a_call_that_was_not_sent(sending: Sending, greeting: bytes) -> None:
    """No request leaves before the connection is secure."""
    async with serving(says(OK), greeting) as server, sending(connect_s_max=0.2) as transport:
        with pytest.raises(NotSent):
            await post(transport, server.url.replace("http", "https"))

    assert server.requests == []


LOST: dict[str, Peer] = {
    "reset after the request": says(then="reset"),
    "closed after the request": says(then="close"),
    "half a status line": says(b"HTTP/1.1 2", then="close"),
    "half the headers": says(b"HTTP/1.1 200 OK\r\nContent-Le", then="close"),
    "half the body": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then="close"),
    "half the body, reset": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then="reset"),
    "half a chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{", then="close"),
    "no last chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", then="close"),
    "not HTTP": says(b"220 mail.example ESMTP\r\n\r\n", then="close"),
    "not gzip": says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
}


@pytest.mark.parametrize("peer", LOST)
async def test_an_answer_that_breaks_off_leaves_the_call_in_doubt(sending: Sending, peer: str) -> None:
    """The request had arrived: it may have had its effect. It is not sent a second time behind our back."""
    async with serving(LOST[peer]) as server, sending() as transport:
        with pytest.raises(NoAnswer):
            await post(transport, server.url)

    assert len(server.requests) == 1


async def test_a_kept_connection_that_closes_under_a_request_leaves_it_in_doubt(sending: Sending) -> None:
    """A server may close an idle connection at the very moment it is used again; nobody knows what it read."""
    answers = [says(OK), says(then="close")]

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers[min(len(server.requests), len(answers)) - 1](reader, writer)

    async with serving(peer) as server, sending() as transport:
        await post(transport, server.url)
        with pytest.raises(NoAnswer):
            await post(transport, server.url)

    assert (server.connections, len(server.requests)) == (1, 2)


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("peer", [says(), says(b"HTTP/1.1 200 OK\r\n"), drip], ids=["silence", "no end", "drip"])
async def test_a_call_ends_with_its_time_however_slowly_the_answer_comes(sending: Sending, peer: Peer) -> None:
    """A byte now and then does not keep a call open, and the connection is given up with it."""
    async with serving(peer) as server, sending() as transport:
        with pytest.raises(NoAnswer, match=r"0\.5 s|Timeout"):
            await post(transport, server.url, timeout_s=0.5)
        await server.closed.wait()


CHUNK = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
BOMB = gzip.compress(b"x" * 100 * CAP)


async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(CHUNK)
        await writer.drain()


TOO_LONG: dict[str, Peer] = {
    "announced": says(b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n" + b"x" * (CAP + 1)),
    "endless": flood,
    "zipped": says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB)),
}


@pytest.mark.parametrize("peer", TOO_LONG)
async def test_no_more_than_the_limit_is_read(sending: Sending, peer: str) -> None:
    """A gateway's endless page must not fill the memory; the connection is dropped with the rest unread."""
    async with serving(TOO_LONG[peer]) as server, sending() as transport:
        with pytest.raises(NoAnswer, match="longer than 10000 bytes"):
            await post(transport, server.url)
        if peer == "endless":
            await server.closed.wait()


async def test_an_answer_of_just_the_limit_is_read(sending: Sending) -> None:
    """The limit is a size that is allowed."""
    peer = says(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + b"x" * CAP)

    async with serving(peer) as server, sending() as transport:
        assert await post(transport, server.url) == b"x" * CAP


async def test_a_zipped_answer_is_unzipped(sending: Sending) -> None:
    """A gateway may zip what it passes on."""
    zipped = gzip.compress(b'{"a":1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(zipped)

    async with serving(says(head + zipped)) as server, sending() as transport:
        assert await post(transport, server.url) == b'{"a":1}'


async def test_a_redirect_is_an_answer_and_not_followed(sending: Sending) -> None:
    """Credentials do not travel to where somebody points."""
    async with serving(says(OK)) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(says(moved)) as server, sending() as transport:
            answer = await transport.send("POST", server.url, {}, b"{}", 5)

    assert answer.status == 307
    assert elsewhere.requests == []


async def test_the_proxy_of_the_environment_is_not_used(sending: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls go is a setting, not an accident of the shell."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async with serving(says(OK)) as server, sending() as transport:
        assert await post(transport, server.url) == b"{}"


async def test_connections_are_kept_and_bounded(sending: Sending) -> None:
    """Twenty calls at once share the connections that are allowed."""
    async with serving(says(OK)) as server, sending(connections_max=3) as transport:
        await asyncio.gather(*(post(transport, server.url) for _ in range(20)))

    assert len(server.requests) == 20
    assert server.connections <= 3


async def test_cancelled_and_lost_calls_give_their_connection_back(sending: Sending) -> None:
    """A leaked connection for each call that is given up would bring all calls to a stop.

    A cancelled call may keep its connection until its own time is over, and no longer.
    """
    async with serving(says()) as silent, serving(says(OK)) as server, sending(connections_max=1) as transport:
        with pytest.raises(NoAnswer):
            await post(transport, silent.url, timeout_s=0.5)
        await silent.arrived.get()
        given_up = asyncio.create_task(post(transport, silent.url, timeout_s=0.5))
        await silent.arrived.get()
        given_up.cancel()
        ended = await asyncio.gather(given_up, return_exceptions=True)

        assert isinstance(ended[0], asyncio.CancelledError)
        assert await post(transport, server.url) == b"{}"


async def test_nothing_of_a_call_is_kept_for_the_next_one(sending: Sending) -> None:
    """Neither its headers nor the cookies that an answer wants to set: each org's calls carry what is theirs alone."""
    cookies = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret; Path=/\r\nContent-Length: 2\r\n\r\n{}"

    async with serving(says(cookies)) as server, sending() as transport:
        url = server.url.replace("127.0.0.1", "localhost")  # some cookie jars take none from an address
        await transport.send("POST", url, {"Authorization": "Basic first"}, b"{}", 5)
        await transport.send("GET", url, {}, None, 5)

    second = server.requests[1].lower()
    assert (1, 2) == (server.connections, len(server.requests))
    assert b"cookie" not in second
    assert b"first" not in second


async def test_a_connection_whose_other_end_is_gone_costs_one_call_its_time(sending: Sending) -> None:
    """A kept connection may be half open: its next call is in doubt, and the one after that has a new connection."""
    answers = [says(OK), says(), says(OK)]

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers[len(server.requests) - 1](reader, writer)

    async with serving(peer) as server, sending() as transport:
        await post(transport, server.url)
        with pytest.raises(NoAnswer, match=r"0\.5 s"):
            await post(transport, server.url, timeout_s=0.5)

        assert await post(transport, server.url) == b"{}"

    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(sending: Sending) -> None:
    """A server that closes what is idle costs no call its answer."""
    async with serving(says(OK, then="close")) as server, sending() as transport:
        for _ in range(3):
            assert await post(transport, server.url) == b"{}"
            await server.closed.wait()
            await asyncio.sleep(0.05)

    assert server.connections == 3


async def test_calls_go_through_the_proxy_that_is_set(sending: Sending) -> None:
    """And nowhere else: in many networks there is no other way out."""
    async with serving(says(OK)) as proxy, serving(says(OK)) as server, sending(proxy=proxy.url) as transport:
        assert await post(transport, server.url) == b"{}"

    assert server.requests == []
    assert proxy.requests[0].startswith(f"POST {server.url}/x?y=1 HTTP/1.1\r\n".encode())


async def test_a_proxy_that_opens_no_tunnel_is_a_call_that_was_not_sent(sending: Sending) -> None:
    """What goes to an https address begins behind the proxy."""
    refusing = says(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async with serving(refusing) as proxy, sending(proxy=proxy.url) as transport:
        with pytest.raises(NotSent):
            await post(transport, "https://api.example")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """An authority of our own, which nobody trusts without being told to."""
    return trustme.CA()


async def test_an_unknown_authority_is_not_trusted(sending: Sending, authority: trustme.CA) -> None:
    """The credentials go to nobody who cannot prove that they are Capillary."""
    async with serving(says(OK), certificate=authority.issue_cert("127.0.0.1")) as server, sending() as transport:
        with pytest.raises(NotSent):
            await post(transport, server.url)

    assert server.requests == []


@pytest.mark.parametrize(("name", "answer"), [("127.0.0.1", b"{}"), ("elsewhere.example", None)])
async def test_an_authority_that_is_set_is_trusted_for_the_names_it_vouches_for(
    sending: Sending, authority: trustme.CA, tmp_path: Path, name: str, answer: bytes | None
) -> None:
    """Some networks open TLS on the way out and sign with an authority of their own."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async with (
        serving(says(OK), certificate=authority.issue_cert(name)) as server,
        sending(ca_file=tmp_path / "ca.pem") as transport,
    ):
        if answer is None:
            with pytest.raises(NotSent):
                await post(transport, server.url)
        else:
            assert await post(transport, server.url) == answer


def test_a_process_that_made_calls_ends_well() -> None:
    """A library with threads of its own must not bring the process down when it is about to end."""
    call = """
import asyncio, sys
from tiersync.capillary import Line, PyreqwestTransport
from tiersync.capillary.transport import NotSent
async def main():
    transport = PyreqwestTransport(Line(connections_max=1, connect_s_max=1, response_bytes_max=1))
    try:
        await transport.send("GET", "http://127.0.0.1:1/", {}, None, 1)
    except NotSent:
        await transport.close()
asyncio.run(main())
"""

    ended = [subprocess.run([sys.executable, "-c", call], check=False, capture_output=True) for _ in range(3)]

    assert [(0, b"")] * 3 == [(one.returncode, one.stderr) for one in ended]
