"""How far a long test is."""

import sys
import time
from dataclasses import dataclass, field

from tests.chaos.kit import SEED


@dataclass(slots=True)
class Progress:
    """So many of so many things are done. Said at each, for whoever waits for the long form."""

    what: str
    of: int
    done: int = 0
    _began: float = field(default_factory=time.monotonic)

    def one_more(self) -> None:
        """Say it."""
        self.done += 1
        passed_s = time.monotonic() - self._began
        left_s = passed_s / self.done * (self.of - self.done)
        told = f"{self.what}: {self.done} of {self.of}, seed {SEED}, {passed_s:.0f} s, about {left_s:.0f} s left\n"
        sys.stdout.write(told)
        sys.stdout.flush()
