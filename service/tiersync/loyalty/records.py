"""Pure. What the ledger is made of: entries, lots, level moves and the other facts a verb leaves behind.

Records are append-only and numbered. The verbs return the records they wrote; that is all an outer layer needs to emit
webhooks.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NewType, TypeAlias

from tiersync.loyalty.accounts import ANYWHERE, AccountKey, AccountName, Condition
from tiersync.loyalty.events import ZERO, EventId, HolderId, ProgrammeId

LotId = NewType("LotId", int)
RuleId = NewType("RuleId", str)
LadderId = NewType("LadderId", str)


class Kind(StrEnum):
    """Why an entry was made."""

    EARN = "earn"
    SPEND = "spend"
    EXPIRE = "expire"
    MOVE = "move"
    REVERSE = "reverse"
    ADJUST = "adjust"


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of an award somebody funds; `part` is a fraction of 1."""

    party: str
    part: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Part:
    """So much out of, or back into, one lot."""

    lot: LotId
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms a lot lives."""

    expires_at: datetime | None = None
    usable_from: datetime | None = None
    condition: Condition = ANYWHERE
    funders: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Lot:
    """Points credited together, under one set of terms.

    `left` is what the entries left of it. `lost` is what its holder was promised and never could use: forfeited at the
    account's maximum, or expired. `origin` is the lot it was moved from.
    """

    id: LotId
    key: AccountKey
    amount: Decimal
    left: Decimal
    lost: Decimal
    issued: datetime
    terms: Terms
    cause: EventId
    origin: LotId | None = None

    def dead(self, at: datetime) -> bool:
        """Whether its time has run out, whether or not a run has noticed."""
        return self.terms.expires_at is not None and self.terms.expires_at <= at

    def usable(self, at: datetime) -> bool:
        """Whether it can be spent now."""
        return not self.dead(at) and (self.terms.usable_from is None or self.terms.usable_from <= at)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When, why and because of what something is written."""

    at: datetime
    cause: EventId
    kind: Kind
    rule: RuleId | None = None
    acceptor: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What every record says: its number, when, because of which event, and about whom."""

    seq: int
    at: datetime
    cause: EventId
    holder: HolderId


@dataclass(frozen=True, slots=True)
class Entry(Written):
    """One change of one balance.

    `amount` is signed. A credit names the `lot` it opened, a debit the `parts` it consumed. `owed` is the change of the
    debt that stays when no lot covers a debit. `lost` is what was forfeited at the maximum (credit) or absorbed by the
    business (debit).
    """

    kind: Kind
    account: AccountName
    amount: Decimal
    lot: LotId | None = None
    parts: tuple[Part, ...] = ()
    owed: Decimal = ZERO
    lost: Decimal = ZERO
    rule: RuleId | None = None
    funders: tuple[Share, ...] = ()
    acceptor: str = ""

    @property
    def key(self) -> AccountKey:
        """The account it belongs to."""
        return (self.holder, self.account)


class Move(StrEnum):
    """How a level changed."""

    START = "start"
    UP = "up"
    DOWN = "down"
    RENEW = "renew"


class Reason(StrEnum):
    """What changed a level."""

    ENROLMENT = "enrolment"
    METRIC = "metric"
    REVIEW = "review"
    RETURN = "return"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class LevelMove(Written):
    """A holder's level on one ladder: from where to where, and until when."""

    ladder: LadderId
    move: Move
    reason: Reason
    before: str
    after: str
    crossed: tuple[str, ...] = ()
    until: datetime | None = None


class Membership(StrEnum):
    """A holder's way into and out of a programme."""

    INVITED = "invited"
    JOINED = "joined"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Enrolment(Written):
    """A step of a holder's membership of a programme."""

    programme: ProgrammeId
    step: Membership


@dataclass(frozen=True, slots=True)
class Discount(Written):
    """Taken off this purchase at once; negative when a return takes it back."""

    rule: RuleId
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Tagged(Written):
    """A holder was given a tag."""

    tag: str


class RefundState(StrEnum):
    """Where a back-end refund stands; `owed` means that a refund already paid has to come back."""

    PENDING = "pending"
    RECONCILED = "reconciled"
    VOID = "void"
    OWED = "owed"


@dataclass(frozen=True, slots=True)
class Refund(Written):
    """What a spend owes the holder afterwards, when the purchase was paid in full."""

    purchase: EventId
    amount: Decimal
    method: str
    state: RefundState


Record: TypeAlias = Entry | LevelMove | Enrolment | Discount | Tagged | Refund
