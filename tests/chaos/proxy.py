"""A line that can be disturbed: a TCP proxy in this process, between the service and whatever it talks to.

It stands in front of Capillary, of the database, or of the service itself, where it shares connections out to replicas
as a balancer does. What it carries is not looked at, but `heard` gets to see what the caller sends before it goes on.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Final

_PIECE: Final = 64 * 1024
_END_S_MAX: Final = 10.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER for no time at all: closing sends a reset

Address = tuple[str, int]
Heard = Callable[[bytes], Awaitable[None]]


class Way(Enum):
    """The two directions of a line."""

    THERE = "there"
    BACK = "back"


async def _deaf(_piece: bytes) -> None:
    """Hear nothing."""


@dataclass(eq=False, slots=True)
class Proxy:
    """One disturbable line. `to` are the servers behind it, taken in turn; one that cannot be reached is passed by.

    A line that `forgets` does not deliver what its caller has given up meanwhile: a call that arrives after it was made
    once more can be undone by nobody, and nothing is promised then.
    """

    to: Sequence[Address]
    heard: Heard = _deaf
    forgets: bool = False
    port: int = 0
    away: bool = False
    delay_s: float = 0.0
    answer_bytes_max: int | None = None
    _open: dict[Way, asyncio.Event] = field(default_factory=lambda: {way: asyncio.Event() for way in Way})
    _calls: set[asyncio.Task[None]] = field(default_factory=set)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)
    _turns: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        """Let everything through."""
        self.mend()

    # What can be done to the line.

    def mend(self) -> None:
        """Be a good line again; what was frozen flows on."""
        self.away, self.delay_s, self.answer_bytes_max = False, 0.0, None
        for way in Way:
            self._open[way].set()

    def leave(self) -> None:
        """Close every connection, and each new one as soon as it is made."""
        self.away = True
        self.cut()

    def lead(self, *to: Address) -> None:
        """Lead to other servers from now on, as a balancer does whose health checks failed."""
        self.to = to
        self.cut()

    def cut(self) -> None:
        """Close every connection, as a server that ends does."""
        for end in set(self._ends):
            end.close()

    def reset(self) -> None:
        """Reset every connection: what is on its way is lost."""
        for end in set(self._ends):
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()

    def freeze(self, *ways: Way) -> None:
        """Forward nothing, in both directions or in one, and let nobody know: the connections are half-open."""
        for way in ways or Way:
            self._open[way].clear()

    def slow_down(self, seconds: float) -> None:
        """Hold each piece back for so long, either way."""
        self.delay_s = seconds

    def cut_after(self, answer_bytes: int) -> None:
        """Cut each connection once so many more bytes of it have gone back."""
        self.answer_bytes_max = answer_bytes

    # How it works.

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        ends = [writer]
        try:
            if self.away or (server := await self._reach()) is None:
                return
            ends.append(server[1])
            self._ends.update(ends)
            ways = [
                asyncio.create_task(self._carry(Way.THERE, reader, server[1])),
                asyncio.create_task(self._carry(Way.BACK, server[0], writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        finally:
            self._ends.difference_update(ends)
            for end in ends:
                end.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        turn = next(self._turns)
        for number in range(len(self.to)):
            with suppress(OSError):
                return await asyncio.open_connection(*self.to[(turn + number) % len(self.to)])
        return None

    async def _carry(self, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        left = None
        with suppress(OSError):
            while piece := await source.read(_PIECE):
                if way is Way.THERE:
                    await self.heard(piece)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open[way].wait()
                if self.forgets and way is Way.THERE and source.at_eof():
                    return
                if way is Way.BACK and self.answer_bytes_max is not None:
                    left = self.answer_bytes_max if left is None else left
                    piece, left = piece[:left], left - len(piece)
                sink.write(piece)
                await sink.drain()
                if left is not None and left <= 0:
                    return

    async def close(self) -> None:
        """End what is still carried."""
        self.mend()
        self.leave()
        if self._calls:
            await asyncio.wait(self._calls, timeout=_END_S_MAX)


@asynccontextmanager
async def line(*to: Address, heard: Heard = _deaf, forgets: bool = False, port: int = 0) -> AsyncIterator[Proxy]:
    """Draw a line to these servers, for the time of the block."""
    found = Proxy(to, heard, forgets)
    server = await asyncio.start_server(found, "127.0.0.1", port)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await found.close()
