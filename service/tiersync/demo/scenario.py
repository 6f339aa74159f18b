"""Pure. Scenarios as data: who there is, and what happens to them in which order. `stage` plays them.

To add one, write a `Scenario` and list it in `SCENARIOS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Place = Literal["primary", "secondary", "left"]


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the group, or one who has `left` it and must stay as they are."""

    customer: int
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Act:
    """A heading of the timeline."""

    title: str


@dataclass(frozen=True, slots=True)
class Switch:
    """Faults of the sandbox are set; `switches` is the body of `PUT /sandbox/faults`."""

    text: str
    switches: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Decide:
    """The loyalty core moves the primary to `tier`, or renews the tier it holds (None), and sends the webhook."""

    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until every tier change decided so far is done, or as many as `dead` of them dead."""

    dead: int = 0


@dataclass(frozen=True, slots=True)
class Crash:
    """Kill the service as soon as `adjusted` secondaries are adjusted while other calls are still out."""

    adjusted: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the service again, on what it had written down."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The operator runs `tiersync replay` with these arguments."""

    arguments: tuple[str, ...]


Step = Act | Switch | Decide | Settle | Crash | Restart | Replay


@dataclass(frozen=True, slots=True)
class Scenario:
    """A group in a programme, and its story. `tiers` are the lowest first; everybody begins in the first."""

    name: str
    title: str
    program: int
    tiers: tuple[str, ...]
    group: str
    people: tuple[Person, ...]
    steps: tuple[Step, ...]

    @property
    def primary(self) -> Person:
        """The one whom the others follow."""
        return next(person for person in self.people if person.place == "primary")

    def seed(self) -> Mapping[str, Any]:
        """The body of `POST /sandbox/seed`."""
        of: dict[Place, list[int]] = {"primary": [], "secondary": [], "left": []}
        for person in self.people:
            of[person.place].append(person.customer)
        tiers = list(self.tiers)
        return {
            "customers": [{"id": person.customer, "firstName": person.name} for person in self.people],
            "programmes": [{"id": self.program, "name": self.title, "default": True, "tiers": tiers}],
            "groups": [
                {
                    "externalId": self.group,
                    "primary": of["primary"][0],
                    "secondaries": of["secondary"],
                    "exited": of["left"],
                    "tier": tiers[0],
                }
            ],
        }


_MOTHER, _DAUGHTER, _SON, _GRANDMOTHER = 564662499, 564662500, 564662501, 567219877

#: "Accelerated tier progression for families": one primary and up to four secondaries; the uncle has left.
FAMILY: Final = Scenario(
    name="family",
    title="Accelerated tiers for families",
    program=973,
    tiers=("Silver", "Gold", "Diamond"),
    group="family_001",
    people=(
        Person(566998132, "Father", "primary"),
        Person(_MOTHER, "Mother", "secondary"),
        Person(_DAUGHTER, "Daughter", "secondary"),
        Person(_SON, "Son", "secondary"),
        Person(_GRANDMOTHER, "Grandmother", "secondary"),
        Person(567219878, "Uncle", "left"),
    ),
    steps=(
        Act("A calm day"),
        Decide("Gold"),
        Settle(),
        Decide(),
        Settle(),
        Decide("Silver"),
        Settle(),
        Act("The same again, with faults"),
        Switch(
            "faults on: Mother's next call 429, Daughter's two 521, Son's done but unanswered, Grandmother's refused",
            {
                "adjust": {
                    "rate_limited": {"customers": [_MOTHER], "first": 1, "retry_after_s": 1},
                    "locked": {"customers": [_DAUGHTER], "first": 2},
                    "applied_then_timeout": {"customers": [_SON], "first": 1, "then": "never"},
                    "refuse": {str(_GRANDMOTHER): 3045},
                }
            },
        ),
        Decide("Diamond"),
        Settle(dead=1),
        Act("The dead letter is replayed"),
        Switch("faults off: Grandmother is no longer refused", {"adjust": {"refuse": {}}}),
        Replay(("--status", "dead")),
        Settle(),
        Act("A renewal, with faults"),
        Switch(
            "faults on: the next reading of a group 503, the next webhook sent twice",
            {"groups": {"unavailable": {"first": 1}}, "events": {"duplicate": {"first": 1}}},
        ),
        Decide(),
        Settle(),
        Act("A downgrade, and the service is killed in the middle of it"),
        Switch(
            "faults on: Son's next call done but unanswered, Grandmother's neither done nor answered",
            {
                "adjust": {
                    "applied_then_timeout": {"customers": [_SON], "first": 1, "then": "never"},
                    "timeout_before_applying": {"customers": [_GRANDMOTHER], "first": 1, "then": "never"},
                }
            },
        ),
        Decide("Gold"),
        Crash(adjusted=2),
        Restart(),
        Settle(),
    ),
)

SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in (FAMILY,)}
