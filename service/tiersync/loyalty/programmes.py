"""Pure. Programmes: who may join, who has, and what redemption is allowed.

A programme is a named bundle of rules with a state, an enrolment gate and settings. Its members are its enrolments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias, assert_never

from tiersync.errors import LoyaltyError
from tiersync.loyalty.accounts import MONEY, Unit
from tiersync.loyalty.events import ZERO, Event, HolderId, ProgrammeId
from tiersync.loyalty.journal import Journal
from tiersync.loyalty.periods import instant
from tiersync.loyalty.records import Enrolment, Membership

INVALID_POINTS = 801
"""Capillary's code for an amount that may not be redeemed [isredeemable]."""


@dataclass(frozen=True, slots=True)
class OpenAuto:
    """Open to all: joined at registration."""


@dataclass(frozen=True, slots=True)
class OpenSelf:
    """Open to all who ask."""


@dataclass(frozen=True, slots=True)
class EmailDomain:
    """Closed: whoever has an address in one of these domains is invited, and joins by verifying."""

    domains: frozenset[str]

    def admits(self, email: str) -> bool:
        """Whether the part after the last `@` is exactly one of the domains, without regard to case."""
        _, at, domain = email.rpartition("@")
        return bool(at) and domain.casefold() in {allowed.casefold() for allowed in self.domains}


@dataclass(frozen=True, slots=True)
class Codes:
    """Closed: whoever presents an imported code that nobody used yet."""


Gate: TypeAlias = OpenAuto | OpenSelf | EmailDomain | Codes


@dataclass(frozen=True, slots=True)
class Redemption:
    """What may be redeemed in one go, and what a point is worth in money."""

    ratio: Decimal = Decimal(1)
    least: Decimal = ZERO
    most: Decimal | None = None
    multiple: Decimal | None = None
    money: Unit = MONEY

    def check(self, points: Decimal) -> None:
        """Refuse an amount outside the limits."""
        if points <= 0 or points < self.least or (self.most is not None and points > self.most):
            raise LoyaltyError(
                f"{points} points cannot be redeemed: at least {self.least}, at most {self.most or 'any'}",
                INVALID_POINTS,
            )
        if self.multiple and points % self.multiple:
            raise LoyaltyError(f"{points} points cannot be redeemed: not a multiple of {self.multiple}", INVALID_POINTS)

    def worth(self, points: Decimal) -> Decimal:
        """The money so many points stand for."""
        return self.money.round(points * self.ratio)


@dataclass(frozen=True, slots=True)
class Programme:
    """A named bundle of rules; one that is not `active` waits for a `switch` event and takes no members.

    `redemption` is what may be redeemed at once, unless one of the other `strategies` is asked for by name.
    """

    id: ProgrammeId
    gate: Gate = field(default_factory=OpenAuto)
    active: bool = True
    redemption: Redemption = field(default_factory=Redemption)
    strategies: Mapping[str, Redemption] = field(default_factory=dict)

    def redeemed_by(self, strategy: str) -> Redemption:
        """The redemption strategy of that name, the programme's own for an empty one."""
        return self.strategies[strategy] if strategy else self.redemption


class Enrolments:
    """Who is in which programme, and the codes and invitations that lead there."""

    __slots__ = ("_codes", "_ends", "_invitations", "_journal", "_members")

    def __init__(self, journal: Journal) -> None:
        """Start empty."""
        self._journal = journal
        self._members: dict[tuple[HolderId, ProgrammeId], bool] = {}
        self._codes: dict[tuple[ProgrammeId, str], HolderId | None] = {}
        self._ends: dict[tuple[ProgrammeId, str], datetime] = {}
        self._invitations: dict[tuple[ProgrammeId, str], HolderId | None] = {}

    def has(self, holder: HolderId, programme: ProgrammeId) -> bool:
        """Whether the holder is a member."""
        return self._members.get((holder, programme), False)

    def codes(self, programme: ProgrammeId) -> dict[str, HolderId | None]:
        """The programme's codes, each with who used it."""
        return {code: holder for (owner, code), holder in self._codes.items() if owner == programme and holder != _GONE}

    def import_codes(self, event: Event) -> None:
        """Add the codes under `codes` to the programme, usable before `until` if it is given.

        A code that is there already is left alone.
        """
        programme, until = ProgrammeId(event.text("programme")), event.option("until")
        for code in event.names("codes"):
            if self._codes.get((programme, code), _GONE) == _GONE:
                self._journal.put(self._codes, (programme, code), None)
                if until:
                    self._journal.put(self._ends, (programme, code), instant(datetime.fromisoformat(until)))

    def delete_code(self, event: Event) -> None:
        """Delete one code; whoever used it stays a member."""
        key = (ProgrammeId(event.text("programme")), event.text("code"))
        if self._codes.get(key, _GONE) == _GONE:
            raise LoyaltyError(f"programme {key[0]} has no code {key[1]!r}")
        self._journal.put(self._codes, key, _GONE)

    def join(self, programme: Programme, event: Event) -> bool:
        """Let the holder in if the gate allows, and say whether they are in now and were not before.

        An address in an allowed domain only leads to an invitation. The caller supplies its secret as `token`, because
        nothing in here is random.
        """
        if self.has(event.holder, programme.id):
            return False
        match programme.gate:
            case OpenAuto() | OpenSelf():
                return self._enter(programme.id, event)
            case EmailDomain() as gate:
                email = event.text("email")
                if not gate.admits(email):
                    raise LoyaltyError(f"programme {programme.id} is not open to the address {email!r}")
                self._invite(programme.id, event)
                return False
            case Codes():
                key = (programme.id, event.text("code"))
                if self._codes.get(key, _GONE) is not None:
                    raise LoyaltyError(f"code {key[1]!r} of programme {programme.id} is unknown, deleted or used")
                if key in self._ends and self._ends[key] <= event.at:
                    raise LoyaltyError(f"code {key[1]!r} of programme {programme.id} has expired")
                self._journal.put(self._codes, key, event.holder)
                return self._enter(programme.id, event)
            case _:
                assert_never(programme.gate)

    def verify(self, programme: Programme, event: Event) -> bool:
        """Complete an invitation by its token; each token works once, for whom it was sent to."""
        key = (programme.id, event.text("token"))
        if self._invitations.get(key) != event.holder:
            raise LoyaltyError(f"programme {programme.id} has no open invitation of {event.holder} with this token")
        self._journal.put(self._invitations, key, None)
        return not self.has(event.holder, programme.id) and self._enter(programme.id, event)

    def leave(self, programme: Programme, event: Event) -> None:
        """End a membership; balances stay."""
        if not self.has(event.holder, programme.id):
            raise LoyaltyError(f"{event.holder} is not a member of programme {programme.id}")
        self._journal.put(self._members, (event.holder, programme.id), value=False)
        self._record(programme.id, event, Membership.LEFT)

    def _invite(self, programme: ProgrammeId, event: Event) -> None:
        key = (programme, event.text("token"))
        if key in self._invitations:
            raise LoyaltyError(f"programme {programme} has given out this token before")
        self._journal.put(self._invitations, key, event.holder)
        self._record(programme, event, Membership.INVITED)

    def _enter(self, programme: ProgrammeId, event: Event) -> bool:
        self._journal.put(self._members, (event.holder, programme), value=True)
        self._record(programme, event, Membership.JOINED)
        return True

    def _record(self, programme: ProgrammeId, event: Event, step: Membership) -> None:
        self._journal.write(Enrolment(self._journal.next_seq, event.at, event.id, event.holder, programme, step))


_GONE = HolderId("\0deleted")
