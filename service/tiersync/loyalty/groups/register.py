"""Pure. The groups of one organisation and every verb on them.

Each verb checks first and changes afterwards, so a refusal leaves everything as it was. Joining, leaving and finding
take constant time and listing takes the time of its rows: 30,000 members are built and listed in linear time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups.codes import TEXTS, Code, refuse
from tiersync.loyalty.groups.people import People
from tiersync.loyalty.groups.values import (
    NAME_LENGTH_MAX,
    Change,
    CustomerId,
    Draft,
    Flags,
    Group,
    GroupId,
    GroupStatus,
    Membership,
    Permission,
    Role,
    Warned,
)


@dataclass(frozen=True, slots=True)
class Joiner:
    """One person to be added to a group. `default` None means: default if it is the person's first group."""

    customer: CustomerId
    primary: bool = False
    permissions: tuple[Permission, ...] = ()
    default: bool | None = None


@dataclass(slots=True)
class _Roster:
    """A group and its rows; not frozen because 30,000 joins must not copy 30,000 rows each."""

    group: Group
    rows: dict[CustomerId, Membership] = field(default_factory=dict)
    active: int = 0


class Register:
    """All groups of one organisation. `flags` may be exchanged at any time and count from then on."""

    def __init__(self, people: People, flags: Flags, first_id: int = 1) -> None:
        self.flags = flags
        self._people = people
        self._next_id = first_id
        self._rosters: dict[GroupId, _Roster] = {}
        self._by_external_id: dict[str, GroupId] = {}
        self._led_by: dict[CustomerId, GroupId] = {}
        self._groups_of: dict[CustomerId, dict[GroupId, None]] = {}

    # Reading.

    def __iter__(self) -> Iterator[Group]:
        return (roster.group for roster in self._rosters.values())

    def find(
        self, group: GroupId | None = None, external_id: str | None = None, primary: CustomerId | None = None
    ) -> Group:
        """Find a group by the first name given; refuses with 1635 (none given) or 1632 (no such group)."""
        self._require_enabled()
        if group is not None:
            roster = self._rosters.get(group)
        elif external_id is not None:
            roster = self._rosters.get(self._by_external_id.get(external_id, GroupId(0)))
        elif primary is not None:
            roster = self._rosters.get(self._led_by.get(primary, GroupId(0)))
        else:
            raise refuse(Code.GROUP_NOT_NAMED)
        if roster is None:
            raise refuse(Code.GROUP_UNKNOWN)
        return roster.group

    def group(self, group: GroupId) -> Group:
        """Return a group by its id. Refuses with 1619."""
        return self._roster(group).group

    def members(self, group: GroupId) -> tuple[Membership, ...]:
        """Every row of a group, former members too, in the order of their first joining."""
        return tuple(self._roster(group).rows.values())

    def membership(self, group: GroupId, customer: CustomerId) -> Membership | None:
        """Return the row of an active member, None for anybody else."""
        row = self._roster(group).rows.get(customer)
        return row if row is not None and row.active else None

    def active_count(self, group: GroupId) -> int:
        """How many members the group has now, the primary included."""
        return self._roster(group).active

    def groups_of(self, customer: CustomerId) -> tuple[Group, ...]:
        """Return the groups in which this person is an active member."""
        return tuple(self._rosters[group].group for group in self._groups_of.get(customer, ()))

    def led_by(self, customer: CustomerId) -> Group | None:
        """Return the group whose primary this person is, if any."""
        group = self._led_by.get(customer)
        return None if group is None else self._rosters[group].group

    # Groups.

    def create(self, draft: Draft, at: datetime) -> Change:
        """Create an empty group. Refuses with 1634, 1633, 91015, 403, 1640, 1639; bad extended fields only warn."""
        self._require_enabled()
        if not draft.external_id:
            raise refuse(Code.EXTERNAL_ID_MISSING)
        if draft.external_id in self._by_external_id:
            raise refuse(Code.EXTERNAL_ID_TAKEN, draft.external_id)
        if max(len(draft.external_id), len(draft.name or "")) > NAME_LENGTH_MAX:
            raise refuse(Code.NAME_TOO_LONG)
        if draft.max_size is None:
            raise refuse(Code.MANDATORY, "maxGroupSize")
        self._require_size(draft.max_size)
        fields, warnings = self._extended(draft)
        while GroupId(self._next_id) in self._rosters:
            self._next_id += 1
        group = Group(
            id=GroupId(self._next_id),
            external_id=draft.external_id,
            name=draft.name or "",
            max_size=draft.max_size,
            status=GroupStatus.ACTIVE,
            created_on=at,
            extended_fields=fields,
            hierarchy=draft.hierarchy,
            company=draft.company,
        )
        self._next_id += 1
        self._rosters[group.id] = _Roster(group)
        self._by_external_id[group.external_id] = group.id
        return Change("created", group, at, warnings=warnings)

    def found(self, draft: Draft, owner: Joiner, at: datetime) -> tuple[Change, Change]:
        """Create a group with its primary, both or neither. Refuses as `create` and `join` do."""
        created = self.create(draft, at)
        try:
            return created, self.join(created.group.id, owner, at)
        except LoyaltyError:
            del self._rosters[created.group.id], self._by_external_id[created.group.external_id]
            self._next_id = created.group.id
            raise

    def hand_over(self, group: GroupId, customer: CustomerId, at: datetime) -> Change:
        """Make a secondary the primary, and the primary a secondary. Refuses with 1620, 1637 and 1642."""
        roster = self._roster(group)
        row, old = self._require_member(roster, customer), roster.group.primary
        if row.role is Role.PRIMARY:
            raise refuse(Code.PRIMARY_EXISTS, str(customer))
        if customer in self._led_by:
            raise refuse(Code.PRIMARY_ELSEWHERE, str(self._led_by[customer]))
        if old is not None:
            roster.rows[old] = replace(roster.rows[old], role=Role.SECONDARY)
            del self._led_by[old]
        roster.rows[customer] = replace(row, role=Role.PRIMARY)
        self._led_by[customer] = group
        roster.group = replace(roster.group, primary=customer, status=GroupStatus.ACTIVE)
        return Change("updated", roster.group, at)

    def update(self, group: GroupId, draft: Draft, at: datetime) -> Change:
        """Change name, size or extended fields. Refuses with 1643, 91015, 1640, 1639, 1638 (fewer than there are)."""
        roster = self._roster(group)
        if draft.name is None and draft.max_size is None and draft.extended_fields is None:
            raise refuse(Code.NOTHING_TO_UPDATE)
        if len(draft.name or "") > NAME_LENGTH_MAX:
            raise refuse(Code.NAME_TOO_LONG)
        if draft.max_size is not None:
            self._require_size(draft.max_size)
            if draft.max_size < roster.active:
                raise refuse(Code.GROUP_FULL, f"it has {roster.active} members")
        fields, warnings = self._extended(draft)
        roster.group = replace(
            roster.group,
            name=roster.group.name if draft.name is None else draft.name,
            max_size=draft.max_size or roster.group.max_size,
            extended_fields={**roster.group.extended_fields, **fields},
        )
        return Change("updated", roster.group, at, warnings=warnings)

    def delete(self, group: GroupId, at: datetime) -> Change:
        """Delete a group: everybody leaves it. Its external id stays taken."""
        roster = self._roster(group)
        for row in roster.rows.values():
            if row.active:
                self._exit(roster, row, at)
        roster.group = replace(roster.group, status=GroupStatus.DELETED)
        return Change("deleted", roster.group, at)

    # Members.

    def join(self, group: GroupId, joiner: Joiner, at: datetime) -> Change:
        """Add one person. Refuses with 1645, 1621, 1623, 1636, 1637, 1642, 1638."""
        roster = self._roster(group)
        self._require_joinable(roster, joiner)
        others = self._groups_of.setdefault(joiner.customer, {})
        default = not others if joiner.default is None else joiner.default
        if default:
            for other in others:
                self._make_ordinary(other, joiner.customer)
        row = Membership(
            customer=joiner.customer,
            group=group,
            role=Role.PRIMARY if joiner.primary else Role.SECONDARY,
            permissions=joiner.permissions,
            default=default,
            active=True,
            joined_on=at,
        )
        roster.rows[joiner.customer] = row
        roster.active += 1
        others[group] = None
        if joiner.primary:
            self._led_by[joiner.customer] = group
            roster.group = replace(roster.group, primary=joiner.customer)
        return Change("member_added", roster.group, at, member=row)

    def leave(self, group: GroupId, customer: CustomerId, at: datetime) -> Change:
        """Remove one person; refuses with 1620. Without its primary a group is INACTIVE unless the flag keeps it."""
        roster = self._roster(group)
        row = self._require_member(roster, customer)
        gone = self._exit(roster, row, at)
        if row.role is Role.PRIMARY and not self.flags.keep_without_primary:
            roster.group = replace(roster.group, status=GroupStatus.INACTIVE)
        return Change("member_removed", roster.group, at, member=gone)

    def transfer(
        self, leave: GroupId, join: GroupId, customers: Iterable[CustomerId], at: datetime
    ) -> tuple[Change, ...]:
        """Move secondaries to another group, all or none. Refuses with 1624 for a primary, and as join and leave do."""
        source, target = self._roster(leave), self._roster(join)
        rows = [self._require_member(source, customer) for customer in dict.fromkeys(customers)]
        if not rows:
            raise refuse(Code.DETAILS_MISSING, "userIds is empty")
        if any(row.role is Role.PRIMARY for row in rows):
            raise refuse(Code.PRIMARY_STAYS)
        joiners = [Joiner(row.customer, permissions=row.permissions, default=row.default) for row in rows]
        for joiner in joiners:
            self._require_joinable(target, joiner, leaving=1)
        if target.active + len(rows) > self._size_limit(target.group):
            raise refuse(Code.GROUP_FULL)
        changes: list[Change] = []
        for row, joiner in zip(rows, joiners, strict=True):
            changes.append(Change("member_removed", source.group, at, member=self._exit(source, row, at)))
            changes.append(self.join(join, joiner, at))
        return tuple(changes)

    def permit(self, group: GroupId, customer: CustomerId, permissions: tuple[Permission, ...]) -> Membership:
        """Replace a member's permissions; refuses with 1620."""
        roster = self._roster(group)
        row = replace(self._require_member(roster, customer), permissions=permissions)
        roster.rows[customer] = row
        return row

    # What the verbs share.

    def _roster(self, group: GroupId) -> _Roster:
        self._require_enabled()
        roster = self._rosters.get(group)
        if roster is None:
            raise refuse(Code.GROUP_ID_INVALID, str(group))
        return roster

    def _require_enabled(self) -> None:
        if not self.flags.groups_enabled:
            raise refuse(Code.MANDATORY, "CONF_USER_GROUP_ENABLED is off for this organisation")

    def _require_size(self, size: int) -> None:
        if size < 1:
            raise refuse(Code.SIZE_NOT_POSITIVE, str(size))
        if size > self.flags.group_size_ceiling:
            raise refuse(Code.OVER_CEILING, str(self.flags.group_size_ceiling))

    def _size_limit(self, group: Group) -> int:
        cap = self.flags.group_size
        if cap is None:
            return group.max_size
        return min(group.max_size, cap if self.flags.group_size_counts_primary else cap + 1)

    @staticmethod
    def _require_member(roster: _Roster, customer: CustomerId) -> Membership:
        row = roster.rows.get(customer)
        if row is None or not row.active:
            raise refuse(Code.NOT_IN_GROUP, str(customer))
        return row

    def _require_joinable(self, roster: _Roster, joiner: Joiner, leaving: int = 0) -> None:
        customer, flags = joiner.customer, self.flags
        row, led = roster.rows.get(customer), self._led_by.get(customer)
        if roster.group.status is not GroupStatus.ACTIVE:
            raise refuse(Code.DETAILS_INVALID, f"group is {roster.group.status}")
        if customer not in self._people:
            raise refuse(Code.PERSON_UNKNOWN, str(customer))
        if row is not None and row.active:
            raise refuse(Code.ALREADY_IN_GROUP, str(customer))
        if joiner.primary and roster.group.primary is not None:
            raise refuse(Code.PRIMARY_EXISTS, str(roster.group.primary))
        if led is not None and (joiner.primary or not flags.primary_may_join_elsewhere):
            raise refuse(Code.PRIMARY_ELSEWHERE, str(led))
        held = len(self._groups_of.get(customer, ())) - leaving
        if flags.groups_per_member_max is not None and held >= flags.groups_per_member_max:
            raise refuse(Code.TOO_MANY_GROUPS, str(flags.groups_per_member_max))
        if roster.active >= self._size_limit(roster.group):
            raise refuse(Code.GROUP_FULL, str(self._size_limit(roster.group)))

    def _exit(self, roster: _Roster, row: Membership, at: datetime) -> Membership:
        gone = replace(row, active=False, default=False, left_on=at)
        roster.rows[row.customer] = gone
        roster.active -= 1
        del self._groups_of[row.customer][roster.group.id]
        if row.role is Role.PRIMARY:
            del self._led_by[row.customer]
            roster.group = replace(roster.group, primary=None)
        return gone

    def _make_ordinary(self, group: GroupId, customer: CustomerId) -> None:
        rows = self._rosters[group].rows
        if rows[customer].default:
            rows[customer] = replace(rows[customer], default=False)

    def _extended(self, draft: Draft) -> tuple[dict[str, object], tuple[Warned, ...]]:
        known = self.flags.extended_fields
        kept: dict[str, object] = {}
        warnings: list[Warned] = []
        for name, value in (draft.extended_fields or {}).items():
            if known is not None and name not in known:
                warnings.append(_warn(Code.EXTENDED_FIELD_UNKNOWN, name))
            elif not isinstance(value, str | int | float | bool):
                warnings.append(_warn(Code.EXTENDED_FIELD_INVALID, name))
            else:
                kept[name] = value
        return kept, tuple(warnings)


def _warn(code: Code, name: str) -> Warned:
    return Warned(int(code), f"{TEXTS[code]}: {name}")
