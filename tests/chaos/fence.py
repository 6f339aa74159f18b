"""No call after the fence: whoever adjusts a member must hold a key that owes it something, at that very moment."""

import asyncio
import re
import time
from contextlib import suppress
from typing import Final

import asyncpg

_ADJUSTS: Final = re.compile(rb"^POST [^ ]*identifierValue=(\d+)", re.MULTILINE)
_PULSE_S: Final = 0.05
_LATE_S: Final = 0.3
"""Less than a call may take, so that its key is still held when it is looked at."""
_FORGIVEN_S: Final = 1.0
_HOLDERS: Final = """
SELECT DISTINCT syncs.owner FROM syncs JOIN adjustments ON adjustments.sync = syncs.id
WHERE adjustments.member = $1 AND syncs.owner IS NOT NULL
"""


class Fence:
    """Watches what the replicas send. `wrong` are the calls of those who held nothing while somebody else did.

    A `strict` one wants the caller itself to hold the key, even if nobody else does any more. A call is judged by what
    is true when it is seen: one that was seen late, because this process was held up, says nothing.
    """

    def __init__(self, database_url: str) -> None:
        """Begin to watch, in the running loop."""
        self._url = database_url
        self._connection: asyncpg.Connection | None = None
        self._asking = asyncio.Lock()
        self._held_up_at = -_FORGIVEN_S
        self._beat = asyncio.create_task(self._feel_the_pulse())
        self.seen = 0
        self.strict = False
        self.wrong: list[str] = []

    async def heard(self, piece: bytes, pid: int) -> None:
        """Look at what a replica's process sends to Capillary."""
        for found in _ADJUSTS.finditer(piece):
            member, came = int(found[1]), time.monotonic()
            owners = await self._owners(member)
            self.seen += 1
            if owners is None or time.monotonic() - came > _LATE_S or came - self._held_up_at < _FORGIVEN_S:
                continue
            if (owners or self.strict) and not any(f":{pid}:" in owner for owner in owners):
                self.wrong.append(f"process {pid} adjusts {member}, whom {', '.join(owners) or 'nobody'} works on")

    async def _owners(self, member: int) -> list[str] | None:
        async with self._asking:
            with suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError
            ):  # it may be killed: then nobody knows
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(self._url, timeout=5)
                return [row["owner"] for row in await self._connection.fetch(_HOLDERS, member)]
        return None

    async def _feel_the_pulse(self) -> None:
        """Notice when this process was held up."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_PULSE_S)
            if (now := time.monotonic()) - before > _PULSE_S + _LATE_S:
                self._held_up_at = now

    async def close(self) -> None:
        """Let go of the connection."""
        self._beat.cancel()
        if self._connection is not None:
            self._connection.terminate()
