"""Pure. Who is to be adjusted to what, and by which calls.

`plan` answers "which adjustments does this tier change owe to this group"; `first_move` and `next_move` answer "which
call is next for this one". Every question that Capillary leaves open is a field of `Policy` (design section 7).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from tiersync.retry import Already, Applied, Outcome, Refused, Skipped, TryAgain
from tiersync.webhook import Action


class AdjustmentStatus(StrEnum):
    """Where an adjustment stands (docs/states.md)."""

    DUE = "due"
    DONE = "done"
    SKIPPED = "skipped"
    DEAD = "dead"
    SUPERSEDED = "superseded"


class Above(StrEnum):
    """A secondary that is above its primary."""

    MATCH = "match"
    LEAVE = "leave"


class TierSource(StrEnum):
    """Which tier is meant: the newest event's, or the one the primary holds when the work is done."""

    EVENT = "event"
    LIVE = "live"


class Renewal(StrEnum):
    """A renewal: read each secondary first and repair what has drifted, or renew without reading."""

    CONVERGE = "converge"
    PLAIN = "plain"


class Validity(StrEnum):
    """A secondary's tier expiry: by its own tier strategy, or the same date as the event's."""

    STRATEGY = "strategy"
    MIRROR = "mirror"


class SeveralGroups(StrEnum):
    """A secondary in several groups: which primary leads."""

    DEFAULT_GROUP = "default_group"
    HIGHEST = "highest"
    LATEST = "latest"


class OnJoin(StrEnum):
    """A customer joins a group: adjust it to the primary's tier, or leave it."""

    ADJUST = "adjust"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Policy:
    """An org's answers to what Capillary leaves open."""

    secondary_above_primary: Above = Above.MATCH
    tier_source: TierSource = TierSource.EVENT
    default_program: int | None = None
    renewal: Renewal = Renewal.CONVERGE
    validity: Validity = Validity.STRATEGY
    several_groups: SeveralGroups = SeveralGroups.DEFAULT_GROUP
    on_join: OnJoin = OnJoin.ADJUST
    cascade_depth_max: int = 0
    echo_window_s: int = 300
    created_ahead_s_max: int = 86_400


@dataclass(frozen=True, slots=True)
class Member:
    """One row of a group's member list. `active` is False for a member who has left but is still listed."""

    customer: int
    primary: bool
    active: bool
    default_group: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A user group as Capillary reports it now."""

    id: int
    active: bool
    members: tuple[Member, ...]

    def secondaries(self) -> Iterator[Member]:
        """Yield who may be adjusted: active, not primary, each customer once."""
        leaders = {member.customer for member in self.members if member.primary}
        seen = set(leaders)
        for member in self.members:
            if member.active and member.customer not in seen:
                seen.add(member.customer)
                yield member

    def led_by(self, customer: int) -> bool:
        """Say whether `customer` is the active primary."""
        return any(member.primary and member.active and member.customer == customer for member in self.members)


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier: its number (1 is the lowest) and the exact name that Capillary wants to hear."""

    number: int
    name: str

    def is_that_of(self, other: "Tier") -> bool:
        """Say whether both are one. The name is what a change asks for; the top tier's number is not always told."""
        return self.number == other.number or _same(self.name, other.name)


@dataclass(frozen=True, slots=True)
class Held:
    """The tier that a customer holds, or None if it holds none in the program."""

    tier: Tier | None
    expiry: date | None = None


@dataclass(frozen=True, slots=True)
class Owed:
    """An adjustment to write down: `member` is to be brought to `tier`.

    `verify`: read the member's tier before anything is sent. `may_lower`: bring the member down if it is found above.
    An adjustment with a `skip` is recorded as skipped for that reason and never sent.
    """

    member: int
    action: Action
    tier: Tier
    verify: bool
    may_lower: bool
    skip: str | None = None


def plan(  # noqa: PLR0913 - what a plan depends on
    action: Action,
    tier: Tier,
    group: Group,
    policy: Policy,
    *,
    inherits: bool,
    lowers: bool,
    led_elsewhere: Mapping[int, Tier],
) -> Iterator[Owed]:
    """Yield one adjustment for every active secondary of `group`.

    `inherits` says that an unfinished tier change was overtaken by this one, so that nothing is known about where the
    members stand; `lowers`, that it was a downgrade. `led_elsewhere` gives, for the `highest` policy, the tier that
    other primaries gave to a member.
    """
    verify = inherits or (action is Action.RENEW and policy.renewal is Renewal.CONVERGE)
    # An inherited downgrade still has to bring down whom it did not reach, whatever came after it.
    may_lower = lowers or action is Action.DOWNGRADE or policy.secondary_above_primary is Above.MATCH
    for member in group.secondaries():
        if policy.several_groups is SeveralGroups.DEFAULT_GROUP and not member.default_group:
            yield Owed(member.customer, action, tier, verify, may_lower, skip="not_default_group")
            continue
        rival = led_elsewhere.get(member.customer) if policy.several_groups is SeveralGroups.HIGHEST else None
        if rival is not None and rival.number > tier.number:
            # Another group leads this member higher: that tier stays, whatever this group's change was.
            yield Owed(member.customer, action, rival, True, may_lower)  # noqa: FBT003
        else:
            yield Owed(member.customer, action, tier, verify, may_lower)


class Move(StrEnum):
    """One call about one member."""

    READ = "read"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    RENEW = "renew"


@dataclass(frozen=True, slots=True)
class Goal:
    """What one adjustment is for."""

    action: Action
    tier: Tier
    may_lower: bool


Steps = Sequence[tuple[Move, Outcome | Held]]
"""The calls of one attempt so far, each with its answer."""

NOT_HIGHER: Final = 8925
"""Capillary's refusal of an upgrade to the tier already held, or to a lower one (contracts/capillary.md 3.6)."""
_READS_MAX: Final = 2


def first_move(action: Action, *, verify: bool) -> Move:
    """Say which call opens an attempt."""
    return Move.READ if verify else Move(action.value)


def next_move(goal: Goal, steps: Steps) -> Move | Outcome:
    """Say what follows the last answer: another call, or the outcome of this attempt.

    Terminates: in one attempt no change is sent twice and no tier is read more than twice.
    """
    move, answer = steps[-1]
    may_read = sum(made is Move.READ for made, _ in steps) < _READS_MAX
    match answer:
        case Held() as held:
            return _after_reading(goal, held, steps)
        case Applied(tier_name=name) if name is not None and _same(name, goal.tier.name):
            return answer
        case Applied():  # Capillary does not say where the member stands now, or says something else
            return Move.READ if may_read else TryAgain("not_converging")
        case Refused() as refused if _may_mean_already_there(refused, move):
            return Move.READ if may_read else TryAgain("not_converging")
        case _:
            return answer


def _after_reading(goal: Goal, held: Held, steps: Steps) -> Move | Outcome:
    sent = {move: answer for move, answer in steps if move is not Move.READ}
    move = _towards(goal, held)
    if isinstance(move, Already) and any(isinstance(answer, Applied) for answer in sent.values()):
        return Applied(goal.tier.name)
    if isinstance(move, Move) and move in sent:
        answer = sent[move]
        if move is Move.RENEW and isinstance(answer, Applied):
            return Applied(goal.tier.name)
        # Sent, read back, and still not so: it was refused for good, or somebody else moved the member meanwhile.
        return answer if isinstance(answer, Refused) and answer.code != NOT_HIGHER else TryAgain("not_converging")
    return move


def _towards(goal: Goal, held: Held) -> Move | Outcome:
    number = held.tier.number if held.tier else 0
    if held.tier is not None and held.tier.is_that_of(goal.tier):
        return Move.RENEW if goal.action is Action.RENEW else Already()
    if number < goal.tier.number:
        return Move.UPGRADE
    return Move.DOWNGRADE if goal.may_lower else Skipped("above_primary")


def _same(name: str, other: str) -> bool:
    return name.casefold() == other.casefold()


def _may_mean_already_there(refused: Refused, move: Move) -> bool:
    """An upgrade says so by a code of its own, a downgrade has none; and a refusal without a code may mean anything."""
    return refused.code == NOT_HIGHER or (move in {Move.UPGRADE, Move.DOWNGRADE} and refused.reason == "refused")
