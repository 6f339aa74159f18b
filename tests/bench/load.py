"""The load generator: webhooks over kept-alive connections, as fast as they are answered or at a steady rate.

Run as a process of its own; prints one JSON object. Without a rate each connection sends its next webhook when the
last one is answered. With a rate every webhook has its instant, and its time counts from that instant even if no
connection was free then. Instants are seconds of the machine's monotonic clock.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import uvloop

from tests.bench import world

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Result:
    """What was sent: `sent_at` and `seconds` (until the answer) by webhook, in the order of their numbers."""

    began: float
    ended: float = 0.0
    sent_at: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


class Sender:
    """Sends the webhooks. `rate` is webhooks a second; 0 is as fast as they are answered."""

    def __init__(self, webhooks: list[bytes], rate: float) -> None:
        self._webhooks, self._rate = webhooks, rate
        self._free: deque[Connection] = deque()
        self._due: deque[int] = deque()
        self._due_at: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._left = len(webhooks)
        self._done = asyncio.Event()
        self.result = Result(began=0.0, sent_at=[0.0] * len(webhooks), seconds=[0.0] * len(webhooks))

    async def run(self, port: int, connections: int) -> Result:
        """Send them all."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", port)
            self._free.append(connection)
        begin = self.result.began = time.monotonic()
        if self._rate:
            self._due_at = [begin + number / self._rate for number in range(len(self._webhooks))]
            for number, at in enumerate(self._due_at):
                loop.call_later(at - begin, self._offer, number)
        else:
            self._due_at = [0.0] * len(self._webhooks)
            self._due.extend(range(len(self._webhooks)))
            self._send()
        await self._done.wait()
        self.result.ended = time.monotonic()
        self.result.statuses = dict(self._statuses)
        return self.result

    @property
    def finished(self) -> bool:
        """Every webhook was answered."""
        return not self._left

    def _offer(self, number: int) -> None:
        self._due.append(number)
        self._send()

    def _send(self) -> None:
        while self._due and self._free:
            number = self._due.popleft()
            self.result.sent_at[number] = time.monotonic()
            self._free.popleft().send(number, self._webhooks[number])

    def answered(self, connection: "Connection", number: int, status: str) -> None:
        """Hear an answer; its connection is free again."""
        self.result.seconds[number] = time.monotonic() - (self._due_at[number] or self.result.sent_at[number])
        self._statuses[status] += 1
        self._free.append(connection)
        self._left -= 1
        if self._left:
            self._send()
        else:
            self._done.set()


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one webhook in flight."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._transport: asyncio.Transport | None = None
        self._number = -1
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to send."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, number: int, webhook: bytes) -> None:
        """Send one webhook."""
        assert self._transport is not None
        self._number = number
        self._transport.write(webhook)

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer."""
        self._pending += data
        end = self._pending.find(b"\r\n\r\n")
        length = _LENGTH.search(self._pending, 0, end + 1) if end >= 0 else None
        if end >= 0 and len(self._pending) >= end + 4 + (int(length[1]) if length else 0):
            status, self._pending = self._pending[9:12].decode(), b""
            self._sender.answered(self, self._number, status)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing that is measured here closes a connection early: say so, do not hang."""
        if not self._sender.finished:
            raise SystemExit(f"the connection was closed: {exc}")


async def _main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "connections", "first", "count"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    given = parser.parse_args()
    webhooks = list(world.requests(range(given.first, given.first + given.count)))
    result = await Sender(webhooks, given.rate).run(given.port, given.connections)
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    uvloop.run(_main())
