"""When work runs: an in-process queue, or PgQueuer for several replicas.

The engine is a hint: lose its queue and the sweep over the tables rebuilds it.
"""

from typing import Protocol

from tiersync.engine.inprocess import WorkQueue
from tiersync.engine.pgqueuer import PgQueuer


class Engine(Protocol):
    """Decides when keys are worked on."""

    @property
    def waiting(self) -> int:
        """How much waits for a place."""
        ...

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        ...

    def start(self) -> None:
        """Begin to work."""
        ...

    async def stop(self, within_s: float) -> None:
        """Start nothing more, and see to what runs."""
        ...

    def wake(self, key: int, org: int, due_at: int = 0) -> None:
        """Have a key worked on, now or at `due_at` (epoch milliseconds)."""
        ...


__all__ = ["Engine", "PgQueuer", "WorkQueue"]
