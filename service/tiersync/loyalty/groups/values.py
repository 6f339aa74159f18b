"""Pure. The frozen values of user groups: flags, people, groups, memberships and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, NewType

CustomerId = NewType("CustomerId", int)
GroupId = NewType("GroupId", int)

NAME_LENGTH_MAX = 50
GROUP_SIZE_CEILING = 30_000


class Role(StrEnum):
    """What a member is to the group."""

    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


class GroupStatus(StrEnum):
    """`INACTIVE` is what a group becomes when its primary leaves, unless the organisation keeps such groups."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    DELETED = "DELETED"


class Permission(StrEnum):
    """The four documented permissions; which wins when both sides are given is not documented."""

    ALLOW_REDEMPTION = "allow_points_redemption"
    ALLOW_TRANSFER = "allow_points_transfer"
    BLOCK_REDEMPTION = "block_points_redemption"
    BLOCK_TRANSFER = "block_points_transfer"


@dataclass(frozen=True, slots=True)
class Flags:
    """What an organisation allows, by the flags of `contracts/capillary.md` 4.1.

    `groups_enabled` is CONF_USER_GROUP_ENABLED, `group_size` is CONF_USER_GROUP_SIZE, `group_size_ceiling` is
    CONF_MAX_FLEET_GROUP_SIZE, `keep_without_primary` is CONF_DISABLE_GROUP_DEACTIVATION_ON_PRIMARY_MEMBER_EXIT.
    """

    groups_enabled: bool = True
    group_size: int | None = None
    #: Two pages disagree: does a size of 3 mean one primary and two more, or one primary and three more?
    group_size_counts_primary: bool = True
    group_size_ceiling: int = GROUP_SIZE_CEILING
    keep_without_primary: bool = False
    groups_per_member_max: int | None = None
    #: Code 1642 is documented, its reach is not: a primary may join elsewhere as a secondary, or not at all.
    primary_may_join_elsewhere: bool = True
    #: None accepts any extended field.
    extended_fields: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A customer as the group APIs see one. `registered_on` is aware."""

    id: CustomerId
    registered_on: datetime
    first_name: str = ""
    last_name: str = ""
    mobile: str | None = None
    email: str | None = None
    external_id: str | None = None
    card_number: str | None = None
    status: str = "ACTIVE"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a caller asks a group to be; None means "not said"."""

    external_id: str | None = None
    name: str | None = None
    max_size: int | None = None
    extended_fields: Mapping[str, object] | None = None
    hierarchy: str | None = None
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One group. `primary` is None before a primary joined and for ever after one left."""

    id: GroupId
    external_id: str
    name: str
    max_size: int
    status: GroupStatus
    created_on: datetime
    primary: CustomerId | None = None
    extended_fields: Mapping[str, object] = field(default_factory=dict)
    #: The code of the hierarchy and the company it was created for; such a group is a fleet.
    hierarchy: str | None = None
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """One person in one group, now (`active`) or formerly (`left_on` is set)."""

    customer: CustomerId
    group: GroupId
    role: Role
    permissions: tuple[Permission, ...]
    default: bool
    active: bool
    joined_on: datetime
    left_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """A documented warning: it does not stop the request that raised it."""

    code: int
    message: str


GroupChange = Literal["created", "updated", "deleted", "member_added", "member_removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a verb did to a group. `member` is set when somebody came or went."""

    kind: GroupChange
    group: Group
    at: datetime
    member: Membership | None = None
    warnings: tuple[Warned, ...] = ()
