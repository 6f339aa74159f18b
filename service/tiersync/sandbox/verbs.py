"""What a route is: one row that the server, the OpenAPI document and the front page all read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tiersync.loyalty.groups import CustomerId
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.switches import Family
from tiersync.sandbox.world import World

Envelope = Literal["v1", "v2", "v3", "own"]
Handler = Callable[[Desk, Ask, Call], Answer]


@dataclass(frozen=True, slots=True)
class Verb:
    """One method on one path.

    A verb with a `family` is Capillary's: it is authenticated (unless `open_`), logged, and hit by faults. `customer`
    says whom a request is about, for the log, the faults and the lock. `locks` verbs refuse overlapping calls (521).
    `query` names the parameters with an example each, the mandatory ones ending in `*`. `schema` is the JSON Schema of
    the body, where there is one.
    """

    method: str
    path: str
    handle: Handler
    summary: str
    envelope: Envelope
    family: Family | None = None
    open_: bool = False
    locks: bool = False
    customer: Callable[[World, Ask], CustomerId | None] | None = None
    query: tuple[tuple[str, str], ...] = ()
    body: object = None
    example: object = None
    schema: Mapping[str, object] | None = None

    @property
    def keeps(self) -> bool:
        """Whether the state file keeps its calls: all that could change the organisation."""
        return self.method != "GET" and self.family != "token"
