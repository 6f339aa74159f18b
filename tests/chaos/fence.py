"""No call after the fence: whoever adjusts a member must hold a key that owes it something, at that very moment."""

import asyncio
import re
from contextlib import suppress
from typing import Final

import asyncpg

_ADJUSTS: Final = re.compile(rb"^POST [^ ]*identifierValue=(\d+)", re.MULTILINE)
_HOLDERS: Final = """
SELECT DISTINCT syncs.owner FROM syncs JOIN adjustments ON adjustments.sync = syncs.id
WHERE adjustments.member = $1 AND syncs.owner IS NOT NULL
"""


class Fence:
    """Watches what the replicas send. `wrong` are the calls of those who held nothing while somebody else did.

    A `strict` one wants the caller itself to hold the key, even if nobody else does any more; where this process may be
    held up for long, a call could be seen too late for that.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: asyncpg.Connection | None = None
        self._asking = asyncio.Lock()
        self.seen = 0
        self.strict = False
        self.wrong: list[str] = []

    async def heard(self, piece: bytes, pid: int) -> None:
        """Look at what a replica's process sends to Capillary."""
        for found in _ADJUSTS.finditer(piece):
            member = int(found[1])
            owners = await self._owners(member)
            self.seen += 1
            if owners is None:
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

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
