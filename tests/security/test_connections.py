"""Whoever opens connections to harm: slow heads, endless heads, idle crowds, ambiguous requests, odd paths."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import WEBHOOK_SECRET
from tests.contract.server_kit import Server, serving

STEP_S_MAX = 20
HEAD_BYTES_MAX = 4096
HEAD = b"POST /webhooks/capillary HTTP/1.1\r\nHost: x\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits half a second for a head."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, head_read_s_max="0.5", head_bytes_max=str(HEAD_BYTES_MAX)) as running:
        yield running


def connected(server: Server) -> socket.socket:
    """Open a connection that gives up after a while."""
    return socket.create_connection((server.client.base_url.host, server.client.base_url.port or 80), STEP_S_MAX)


def said_until_closed(connection: socket.socket) -> bytes:
    """Read until the server closes, be it with bytes of ours unread."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def answers_in(said: bytes) -> list[int]:
    """List the status codes of the answers in what was said."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d+) ", said)]


@pytest.mark.parametrize(
    ("first", "answers"),
    [
        (b"", [408]),
        (b"POST /webhooks", [408]),
        (HEAD + b"X-Slow: 1\r\n", [408]),
        (b"\r\n\r\n", [408]),
        (LIVE + HEAD, [200, 408]),
        (LIVE + b"\r\n", [200]),
    ],
    ids=["nothing", "half a line", "half a head", "empty lines", "half a second head", "an empty line after a request"],
)
def test_a_head_that_does_not_end_is_cut_off(server: Server, first: bytes, answers: list[int]) -> None:
    """A connection whose request does not begin, or whose head does not end, is closed after the deadline."""
    with connected(server) as connection:
        connection.sendall(first)
        said = said_until_closed(connection)

    assert answers == answers_in(said)


@pytest.mark.parametrize("line", [b"X-Flood: 1\r\n", b"x" * 1000], ids=["many lines", "one endless line"])
def test_a_head_that_is_too_large_is_cut_off(server: Server, line: bytes) -> None:
    """A flood of headers, or one without end, is refused as soon as it passes the limit."""
    with connected(server) as connection:
        connection.sendall(HEAD)
        sent = 0
        with suppress(ConnectionError):
            while sent < 1000 * HEAD_BYTES_MAX:
                connection.sendall(line)
                sent += len(line)
        said = said_until_closed(connection)

    # Whoever still sends when the server closes may lose the answer; but it is closed, long before all was sent.
    assert answers_in(said) in ([431], [])
    assert sent < 1000 * HEAD_BYTES_MAX


def test_a_crowd_that_says_nothing_stands_in_nobody_s_way(server: Server) -> None:
    """While 300 connections are open and silent, a delivery is stored and answered."""
    with ExitStack() as crowd:
        for _ in range(300):
            crowd.enter_context(connected(server))
        answer = server.deliver({"eventName": "tierUpgraded", "eventId": "in a crowd", "orgId": 1, "data": {}})

    assert 200 == answer.status_code


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 2\r\nContent-Length: 40\r\n",
        b"Content-Length: -2\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length : 2\r\n",
    ],
)
def test_a_request_with_two_ends_is_refused(server: Server, head: bytes) -> None:
    """A request whose end can be read in two ways is refused and its connection closed: nothing can hide behind it."""
    hidden = b"{}POST /webhooks/capillary HTTP/1.1\r\nHost: x\r\nAuthorization: " + WEBHOOK_SECRET.encode()
    with connected(server) as connection:
        connection.sendall(HEAD + head + b"\r\n" + hidden + b"\r\nContent-Length: 2\r\n\r\n{}")
        said = said_until_closed(connection)

    assert [400] == answers_in(said)


@pytest.mark.parametrize(
    "path",
    [
        "//api/events", "/api//events", "/api/events/", "/API/EVENTS", "/./api/events", "/x/../api/events",
        "/api/events/..", "/api/%65vents", "/api%2fevents", "/%2e%2e/api/events", "/livez/../api/events",
        "/webhooks/capillary/../../api/events", "/webhooks/capillary%00/api/events", "/api/events;x=1",
        "/api/events%20",
    ],
)  # fmt: skip
def test_no_path_leads_around_the_token(server: Server, path: str) -> None:
    """However a path is written: without the token no operator route answers."""
    with connected(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        said = said_until_closed(connection)

    assert said[9:12] in {b"401", b"404", b"405"}


def test_a_header_cannot_name_another_client_or_path(server: Server) -> None:
    """Headers that proxies use to say who and where change nothing: no operator route opens by them."""
    pretended = {
        "X-Forwarded-For": "127.0.0.1",
        "X-Original-URL": "/livez",
        "X-Rewrite-URL": "/livez",
        "Forwarded": "for=::1",
    }
    answer = server.client.get("/api/events", headers=pretended)

    assert 401 == answer.status_code


def test_the_log_holds_one_line_for_each_delivery(tmp_path: Path) -> None:
    """Whatever an event is called, it cannot write lines or colours into the log."""
    evil = 'e1\n{"event": "service.stopped"}\x1b[2J\u2028\r\x00'
    with serving(tmp_path, log_format="json") as running:
        answer = running.deliver({"eventName": "tierUpgraded", "eventId": evil, "orgId": 1, "data": {}})
        running.end()
        lines = running.log.read_text().splitlines()

    assert 200 == answer.status_code
    assert "service.stopped" == json.loads(lines[-1])["event"]
    assert 1 == sum(json.loads(line)["event"] == "service.stopped" for line in lines)
    assert "\x1b" not in running.log.read_text()
