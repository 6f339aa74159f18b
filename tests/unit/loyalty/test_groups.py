"""The group core: what each verb allows, refuses and returns."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.loyalty.counting import lines_run
from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import (
    Code,
    CustomerId,
    Draft,
    Flags,
    GroupId,
    GroupStatus,
    Joiner,
    People,
    Permission,
    Person,
    Register,
    Role,
)

NOW = datetime(2026, 3, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ONE, TWO, THREE, FOUR, NOBODY = (CustomerId(number) for number in (1, 2, 3, 4, 99))


def register(flags: Flags | None = None, customers: int = 4) -> Register:
    """Return an empty register with some people."""
    people = People()
    for number in range(1, customers + 1):
        people.add(Person(CustomerId(number), NOW, mobile=f"91{number}", email=f"{number}@x.y"))
    return Register(people, flags or Flags(), first_id=10)


def family(flags: Flags | None = None, size: int = 9) -> tuple[Register, GroupId]:
    """Return a register with one group: 1 leads, 2 and 3 follow."""
    groups = register(flags)
    group = groups.create(Draft("family", "Family", size), NOW).group.id
    groups.join(group, Joiner(ONE, primary=True), NOW)
    groups.join(group, Joiner(TWO), NOW)
    groups.join(group, Joiner(THREE), NOW)
    return groups, group


def refused(code: Code) -> pytest.RaisesExc[LoyaltyError]:
    """Expect a refusal with this code."""
    return pytest.RaisesExc(LoyaltyError, check=lambda error: error.code == code)


def test_a_group_is_created_empty_and_active() -> None:
    """A new group has the next id, its name, no primary and nobody in it."""
    groups = register()

    change = groups.create(Draft("a", "A", 5, {"colour": "red"}), NOW)

    assert (change.kind, change.at, change.warnings) == ("created", NOW, ())
    assert (change.group.id, change.group.status, change.group.primary) == (10, GroupStatus.ACTIVE, None)
    assert change.group.extended_fields == {"colour": "red"}
    assert groups.members(change.group.id) == ()
    assert list(groups) == [change.group]


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (Draft(), Code.EXTERNAL_ID_MISSING),
        (Draft(""), Code.EXTERNAL_ID_MISSING),
        (Draft("family", max_size=1), Code.EXTERNAL_ID_TAKEN),
        (Draft("x" * 51, max_size=1), Code.NAME_TOO_LONG),
        (Draft("x", "y" * 51, 1), Code.NAME_TOO_LONG),
        (Draft("x"), Code.MANDATORY),
        (Draft("x", max_size=0), Code.SIZE_NOT_POSITIVE),
        (Draft("x", max_size=-5), Code.SIZE_NOT_POSITIVE),
        (Draft("x", max_size=30_001), Code.OVER_CEILING),
    ],
)
def test_drafts_that_are_refused(draft: Draft, code: Code) -> None:
    """Each reason not to create a group has its documented code."""
    groups, _ = family()

    with refused(code):
        groups.create(draft, NOW)


def test_a_group_is_found_by_three_names() -> None:
    """Id, external id and primary find a group; nothing given and nothing found are different refusals."""
    groups, group = family()

    found = {groups.find(group).id, groups.find(external_id="family").id, groups.find(primary=ONE).id}

    assert found == {group}
    with refused(Code.GROUP_NOT_NAMED):
        groups.find()
    for wrong in ({"group": GroupId(1)}, {"external_id": "x"}, {"primary": TWO}):
        with refused(Code.GROUP_UNKNOWN):
            groups.find(**wrong)


def test_joining_gives_a_row_and_a_change() -> None:
    """Who joins is active from now on, primary or secondary, and leads or belongs to the group."""
    groups, group = family()

    change = groups.join(group, Joiner(FOUR, permissions=(Permission.ALLOW_REDEMPTION,)), LATER)

    assert change.member is not None
    assert (change.kind, change.member.role, change.member.joined_on) == ("member_added", Role.SECONDARY, LATER)
    assert change.member.permissions == (Permission.ALLOW_REDEMPTION,)
    assert [row.customer for row in groups.members(group)] == [1, 2, 3, 4]
    assert groups.active_count(group) == 4
    assert [each.id for each in groups.groups_of(FOUR)] == [group]
    assert groups.led_by(ONE) == groups.find(group)
    assert groups.led_by(TWO) is None


@pytest.mark.parametrize(
    ("flags", "size", "joiner", "code"),
    [
        (Flags(), 9, Joiner(NOBODY), Code.PERSON_UNKNOWN),
        (Flags(), 9, Joiner(TWO), Code.ALREADY_IN_GROUP),
        (Flags(), 9, Joiner(FOUR, primary=True), Code.PRIMARY_EXISTS),
        (Flags(), 3, Joiner(FOUR), Code.GROUP_FULL),
        (Flags(group_size=3), 9, Joiner(FOUR), Code.GROUP_FULL),
        (Flags(group_size=2, group_size_counts_primary=False), 9, Joiner(FOUR), Code.GROUP_FULL),
        (Flags(groups_per_member_max=0), 9, Joiner(FOUR), Code.TOO_MANY_GROUPS),
        (Flags(groups_enabled=False), 9, Joiner(FOUR), Code.MANDATORY),
    ],
)
def test_joins_that_are_refused(flags: Flags, size: int, joiner: Joiner, code: Code) -> None:
    """Each reason not to let somebody in has its documented code, and leaves the group as it was."""
    groups, group = family(size=size)
    groups.flags = flags

    with refused(code):
        groups.join(group, joiner, NOW)
    groups.flags = Flags()

    assert groups.active_count(group) == 3


@pytest.mark.parametrize(("counts", "admitted"), [(True, False), (False, True)])
def test_what_a_group_size_means(counts: bool, admitted: bool) -> None:  # noqa: FBT001 - a table
    """A size of 3 is one and two more, or one and three more."""
    groups, group = family(Flags(group_size=3, group_size_counts_primary=counts))

    try:
        groups.join(group, Joiner(FOUR), NOW)
        got_in = True
    except LoyaltyError:
        got_in = False

    assert got_in is admitted


@pytest.mark.parametrize(
    ("may", "primary", "admitted"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_primary_elsewhere(may: bool, primary: bool, admitted: bool) -> None:  # noqa: FBT001 - a table
    """A primary never leads a second group; following in one is up to the flag."""
    groups, _ = family(Flags(primary_may_join_elsewhere=may))
    other = groups.create(Draft("other", max_size=5), NOW).group.id

    if admitted:
        assert groups.join(other, Joiner(ONE, primary=primary), NOW).kind == "member_added"
    else:
        with refused(Code.PRIMARY_ELSEWHERE):
            groups.join(other, Joiner(ONE, primary=primary), NOW)


def test_the_first_group_is_the_default_one() -> None:
    """Unless told otherwise the first group is the default; a new default takes the mark from the old one."""
    groups, group = family()
    other = groups.create(Draft("other", max_size=5), NOW).group.id
    third = groups.create(Draft("third", max_size=5), NOW).group.id

    groups.join(other, Joiner(TWO), NOW)
    before = [row.default for each in (group, other) for row in groups.members(each) if row.customer == TWO]
    groups.join(third, Joiner(TWO, default=True), NOW)
    after = [row.default for each in (group, other, third) for row in groups.members(each) if row.customer == TWO]

    assert before == [True, False]
    assert after == [False, False, True]


def test_leaving_keeps_the_row_and_ends_it() -> None:
    """Who leaves stays listed as exited, is in no group, and can come back into the same row."""
    groups, group = family()

    change = groups.leave(group, TWO, LATER)
    gone = groups.members(group)[1]
    groups.join(group, Joiner(TWO), LATER)
    back = groups.members(group)[1]

    assert change.member == gone
    assert (gone.active, gone.default, gone.left_on) == (False, False, LATER)
    assert (back.active, back.left_on, back.joined_on) == (True, None, LATER)
    assert groups.find(group).status is GroupStatus.ACTIVE
    assert len(groups.members(group)) == 3


def test_leaving_needs_a_member() -> None:
    """Strangers and former members cannot leave, nor can anybody leave a group that is not there."""
    groups, group = family()
    groups.leave(group, TWO, NOW)

    for customer in (FOUR, TWO):
        with refused(Code.NOT_IN_GROUP):
            groups.leave(group, customer, NOW)
    with refused(Code.GROUP_ID_INVALID):
        groups.leave(GroupId(1), TWO, NOW)


@pytest.mark.parametrize(("keep", "status"), [(False, GroupStatus.INACTIVE), (True, GroupStatus.ACTIVE)])
def test_when_the_primary_leaves(keep: bool, status: GroupStatus) -> None:  # noqa: FBT001 - a table
    """The group has no primary from then on, and goes inactive unless the flag keeps it."""
    groups, group = family(Flags(keep_without_primary=keep))

    change = groups.leave(group, ONE, NOW)

    assert (change.group.status, change.group.primary) == (status, None)
    assert groups.led_by(ONE) is None
    with refused(Code.GROUP_UNKNOWN):
        groups.find(primary=ONE)


def test_an_inactive_group_takes_nobody() -> None:
    """1645 for whoever wants to join a group that is not active."""
    groups, group = family()
    groups.leave(group, ONE, NOW)

    with refused(Code.DETAILS_INVALID):
        groups.join(group, Joiner(FOUR), NOW)


def test_a_transfer_moves_secondaries_as_they_are() -> None:
    """Permissions and the default mark go along; one change for leaving and one for joining."""
    groups, group = family()
    groups.permit(group, TWO, (Permission.BLOCK_TRANSFER,))
    other = groups.create(Draft("other", max_size=5), NOW).group.id

    changes = groups.transfer(group, other, [TWO, TWO, THREE], LATER)
    rows = groups.members(other)

    assert [change.kind for change in changes] == ["member_removed", "member_added"] * 2
    assert [(row.customer, row.default, row.permissions) for row in rows] == [
        (2, True, (Permission.BLOCK_TRANSFER,)),
        (3, True, ()),
    ]
    assert groups.active_count(group) == 1


@pytest.mark.parametrize(
    ("customers", "code"),
    [
        ([ONE], Code.PRIMARY_STAYS),
        ([TWO, ONE], Code.PRIMARY_STAYS),
        ([FOUR], Code.NOT_IN_GROUP),
        ([TWO, THREE], Code.GROUP_FULL),
        ([], Code.DETAILS_MISSING),
    ],
)
def test_a_transfer_is_all_or_nothing(customers: list[CustomerId], code: Code) -> None:
    """A transfer that cannot be done whole is refused and nobody has moved."""
    groups, group = family()
    other = groups.create(Draft("other", max_size=1), NOW).group.id

    with refused(code):
        groups.transfer(group, other, customers, NOW)

    assert (groups.active_count(group), groups.active_count(other)) == (3, 0)


def test_a_transfer_counts_the_group_that_is_left() -> None:
    """With one group per member a transfer is still possible: the old group is left first."""
    groups, group = family(Flags(groups_per_member_max=1))
    other = groups.create(Draft("other", max_size=5), NOW).group.id

    groups.transfer(group, other, [TWO], NOW)

    assert [each.id for each in groups.groups_of(TWO)] == [other]


def test_an_update_changes_what_is_said() -> None:
    """Name, size and fields change one by one; saying nothing is refused, and so is a size below the members."""
    groups, group = family()

    groups.update(group, Draft(name="Clan"), NOW)
    groups.update(group, Draft(extended_fields={"a": 1}), NOW)
    changed = groups.update(group, Draft(max_size=3, extended_fields={"b": 2}), NOW).group

    assert (changed.name, changed.max_size, changed.extended_fields) == ("Clan", 3, {"a": 1, "b": 2})
    with refused(Code.NOTHING_TO_UPDATE):
        groups.update(group, Draft("ignored"), NOW)
    with refused(Code.GROUP_FULL):
        groups.update(group, Draft(max_size=2), NOW)


def test_extended_fields_only_warn() -> None:
    """A field nobody defined and a value that is none are left out with a warning; the group is made."""
    groups = register(Flags(extended_fields=frozenset({"a", "b"})))

    change = groups.create(Draft("x", max_size=1, extended_fields={"a": 1, "b": [], "c": 2}), NOW)

    assert change.group.extended_fields == {"a": 1}
    assert [warning.code for warning in change.warnings] == [
        Code.EXTENDED_FIELD_INVALID,
        Code.EXTENDED_FIELD_UNKNOWN,
    ]


def test_a_deleted_group_has_nobody() -> None:
    """Deleting ends every membership; the group stays readable as DELETED."""
    groups, group = family()

    change = groups.delete(group, LATER)

    assert (change.kind, change.group.status, change.group.primary) == ("deleted", GroupStatus.DELETED, None)
    assert not any(row.active for row in groups.members(group))
    assert groups.groups_of(TWO) == ()
    with refused(Code.EXTERNAL_ID_TAKEN):
        groups.create(Draft("family", max_size=1), NOW)


def test_people_are_found_by_identifier() -> None:
    """A replaced person is found by the new identifiers only; nobody takes somebody else's."""
    people = People()
    people.add(Person(ONE, NOW, mobile="91", card_number="c"))
    people.add(Person(TWO, NOW, mobile="92"))

    people.add(replace(people.require(ONE), mobile="93"))

    assert people.find("mobile", "91") is None
    assert people.find("mobile", "93") == people.find("cardExternalId", "c") == people.get(ONE)
    assert people.find("shoe", "43") is None
    assert (len(people), people.next_id(1), [person.id for person in people]) == (2, 3, [1, 2])
    with pytest.raises(LoyaltyError):
        people.add(Person(THREE, NOW, mobile="92"))
    with refused(Code.CUSTOMER_UNKNOWN):
        people.require(NOBODY)


def test_thirty_thousand_members_take_linear_time() -> None:
    """Who joins a group of thirty thousand costs what the first ones cost, and so does each member that is listed."""
    size, window = 30_000, 250
    groups = register(customers=size)
    group = groups.create(Draft("big", max_size=size), NOW).group.id
    groups.join(group, Joiner(ONE, primary=True), NOW)

    def join(first: int, last: int) -> None:
        for number in range(first, last):
            groups.join(group, Joiner(CustomerId(number)), NOW)

    early = lines_run(lambda: join(2, 2 + window))
    listed_early = lines_run(lambda: groups.members(group))
    join(2 + window, size + 1 - window)
    late = lines_run(lambda: join(size + 1 - window, size + 1))
    listed_late = lines_run(lambda: groups.members(group))

    assert len(groups.members(group)) == size
    assert late < early * 1.1
    assert listed_late < listed_early * 1.1 * size / window


class Anything(RuleBasedStateMachine):
    """Any sequence of verbs leaves the register sound."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = register(Flags(groups_per_member_max=2), customers=5)
        for name in ("a", "b", "c"):
            self.groups.create(Draft(name, max_size=3), NOW)

    customers = st.integers(1, 6).map(CustomerId)
    ids = st.integers(10, 13).map(GroupId)

    @rule(group=ids, customer=customers, primary=st.booleans(), default=st.none() | st.booleans())
    def join(self, group: GroupId, customer: CustomerId, primary: bool, default: bool | None) -> None:  # noqa: FBT001
        """Try to join."""
        self.attempt(lambda: self.groups.join(group, Joiner(customer, primary, (), default), NOW))

    @rule(group=ids, customer=customers)
    def leave(self, group: GroupId, customer: CustomerId) -> None:
        """Try to leave."""
        self.attempt(lambda: self.groups.leave(group, customer, NOW))

    @rule(source=ids, other=ids, moved=st.lists(customers, max_size=3))
    def transfer(self, source: GroupId, other: GroupId, moved: list[CustomerId]) -> None:
        """Try to transfer."""
        self.attempt(lambda: self.groups.transfer(source, other, moved, NOW))

    @rule(group=ids)
    def delete(self, group: GroupId) -> None:
        """Try to delete, now and then."""
        self.attempt(lambda: self.groups.delete(group, NOW))

    @staticmethod
    def attempt(verb: object) -> None:
        """Do it if it is allowed; a refusal must carry a code."""
        assert callable(verb)
        refused_with = 0
        try:
            verb()
        except LoyaltyError as error:
            refused_with = error.code or -1
        assert refused_with >= 0

    @invariant()
    def is_sound(self) -> None:
        """Counts, primaries, default groups and both directions of membership agree."""
        defaults: list[CustomerId] = []
        for group in self.groups:
            active = [row for row in self.groups.members(group.id) if row.active]
            leaders = [row.customer for row in active if row.role is Role.PRIMARY]
            assert len(active) == self.groups.active_count(group.id) <= group.max_size
            assert leaders == ([] if group.primary is None else [group.primary])
            assert all(group in self.groups.groups_of(row.customer) for row in active)
            assert all(self.groups.led_by(leader) == group for leader in leaders)
            defaults += [row.customer for row in active if row.default]
        assert len(defaults) == len(set(defaults))
        assert all(len(self.groups.groups_of(CustomerId(number))) <= 2 for number in range(1, 6))


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
