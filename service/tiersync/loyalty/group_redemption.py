"""Pure. Redemption and transfer over several programmes of one organisation, in Capillary's words (seed 002).

The default programme doubles as the group programme: its validation and its ratio hold for a group redemption,
which draws on all programmes in the order in which their points would die.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from tiersync.errors import LoyaltyError
from tiersync.loyalty.capillary import PROGRAM_INVALID, VOCABULARY, points, read_condition
from tiersync.loyalty.events import SPEND, TRANSFER, Event, EventId, HolderId, Json
from tiersync.loyalty.expressions import parse

NOT_A_GROUP_REDEMPTION = 3316


class Redeem(StrEnum):
    """The actions of a workflow on PointsRedemption (seed 002)."""

    GROUP = "Redeem Group Points"
    SINGLE = "Redeem Points"


@dataclass(frozen=True, slots=True)
class Redeeming:
    """A branch of that workflow; `strategy` is the redemption strategy that validates, the programme's own if empty."""

    condition: str
    action: Redeem
    strategy: str = ""


BY_PAYLOAD = (
    Redeeming("currentEvent.isGroupProgramRedemption==true", Redeem.GROUP),
    Redeeming("currentEvent.isGroupProgramRedemption==false", Redeem.SINGLE),
)
"""The workflow on PointsRedemption as the seed configures it."""


class Hand(StrEnum):
    """The actions of a workflow on a transfer of points (seed 002)."""

    GROUP = "Transfer Group Points"
    SINGLE = "Transfer Points"


@dataclass(frozen=True, slots=True)
class Handing:
    """A branch of the workflow on a transfer."""

    condition: str
    action: Hand


HANDED_BY_PAYLOAD = (
    Handing("currentEvent.isGroupTransfer==true", Hand.GROUP),
    Handing("currentEvent.isGroupTransfer==false", Hand.SINGLE),
)
"""The workflow on transfers, like that on PointsRedemption."""


Branch = TypeVar("Branch", Redeeming, Handing)


@dataclass(frozen=True, slots=True)
class MultiProgramme:
    """An organisation's programmes, the default one first: it doubles as the group programme, and has the workflows."""

    programs: tuple[str, ...]
    redemption: tuple[Redeeming, ...] = BY_PAYLOAD
    transferral: tuple[Handing, ...] = HANDED_BY_PAYLOAD

    def __post_init__(self) -> None:
        for number, redeeming in enumerate(self.redemption, start=1):
            read_condition(redeeming.condition, f"redemption workflow, branch {number}")
        for number, handing in enumerate(self.transferral, start=1):
            read_condition(handing.condition, f"transfer workflow, branch {number}")

    @property
    def default(self) -> str:
        """The default programme."""
        return self.programs[0]

    def redeem(self, request: EventId, holder: HolderId, at: datetime, body: Mapping[str, Any]) -> Event:
        """A redemption: `points`, `program_id` (else the default), `group_redemption`.

        A group redemption goes by the ratio and the validation of the default programme and draws on all of them; a
        single one stays within its own.
        """
        program = self._program(body)
        grouped = bool(body.get("group_redemption"))
        branch = _taken(self.redemption, redemption=grouped) if program == self.default else None
        action, strategy = (Redeem.SINGLE, "") if branch is None else (branch.action, branch.strategy)
        if action is Redeem.GROUP and not grouped:
            raise LoyaltyError("the action Redeem Group Points was met by a single redemption", NOT_A_GROUP_REDEMPTION)
        drawn = self.programs if action is Redeem.GROUP else (program,)
        drawn_on: list[Json] = [points(name) for name in drawn]
        attrs: dict[str, Json] = {"programme": program, "strategy": strategy, "accounts": drawn_on}
        return Event(request, SPEND, holder, at, attrs=attrs, spend=Decimal(str(body["points"])))

    def transfer(self, request: EventId, holder: HolderId, at: datetime, body: Mapping[str, Any]) -> Event:
        """A transfer: `points`, `to`, `program_id`, `group_transfer`.

        A group transfer draws on all programmes and arrives in the default one, a single one stays within its own.
        """
        grouped = bool(body.get("group_transfer"))
        program = self.default if grouped else self._program(body)
        branch = _taken(self.transferral, transfer=grouped) if program == self.default else None
        over_all = branch is not None and branch.action is Hand.GROUP
        if over_all and not grouped:
            raise LoyaltyError("the action Transfer Group Points was met by a single transfer", NOT_A_GROUP_REDEMPTION)
        drawn = self.programs if over_all else (program,)
        return Event(
            id=request,
            type=TRANSFER,
            holder=holder,
            at=at,
            amount=Decimal(str(body["points"])),
            attrs={"to": body["to"], "into": points(program), "accounts": [points(name) for name in drawn]},
        )

    def _program(self, body: Mapping[str, Any]) -> str:
        program = str(body.get("program_id") or self.default)
        if program not in self.programs or (body.get("group_redemption") and program != self.default):
            raise LoyaltyError(f"program {program} cannot be used here", PROGRAM_INVALID)
        return program


def _taken(workflow: tuple[Branch, ...], *, redemption: bool = False, transfer: bool = False) -> Branch | None:
    """The first branch of the default programme's workflow that holds; none stands for a single one."""
    profiles = {"currentEvent": {"isGroupProgramRedemption": redemption, "isGroupTransfer": transfer}}
    return next((branch for branch in workflow if parse(branch.condition, VOCABULARY).holds(profiles)), None)
