"""Whose a delivery is, whether it is acted on, and what is stored of it."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from tiersync import intake, webhook
from tiersync.fanout import OnJoin, Policy
from tiersync.intake import ANY_ORG, Arrival, EventStatus, Kind
from tiersync.webhook import Action

NOW = 1_720_000_000_000
PLAIN = Policy()
WITH_DEFAULT = Policy(default_program=973)
SINGLE: Mapping[int, Policy] = {50614: WITH_DEFAULT}
ANY: Mapping[int, Policy] = {ANY_ORG: WITH_DEFAULT}
SEVERAL: Mapping[int, Policy] = {50614: WITH_DEFAULT, 6485: PLAIN}


def upgrade(org: int | None = 50614, program: int | None = 1427) -> dict[str, Any]:
    """Build an upgrade of customer 876."""
    data = {"customerIdentifiers": {"customerId": 876}, "loyaltyProgramId": program, "upgradedTierNumber": 2}
    return {"eventName": "tierUpgraded", "eventId": "e-1", "orgId": org, "createdAt": NOW - 5000, "data": data}


def membership(name: str = "groupMemberAdded", primary: int | None = 7098, member: int = 3970) -> dict[str, Any]:
    """Build a join or a leave of group 5322."""
    who = {"customerIdentifiers": {"customerId": member}}
    leader = {"customerIdentifiers": {"customerId": primary}}
    data = {"groupId": 5322, "primaryMember": leader, "memberAdded": who, "memberRemoved": who}
    return {"eventName": name, "eventId": "m-1", "orgId": 50614, "createdAt": NOW - 5000, "data": data}


def admit(event: object, orgs: Mapping[int, Policy] = SINGLE) -> Arrival:
    """Admit an event as it would come."""
    return intake.admit(json.dumps(event).encode(), NOW, orgs)


@pytest.mark.parametrize(
    ("orgs", "named", "org", "status", "reason"),
    [
        pytest.param(SINGLE, 50614, 50614, EventStatus.PENDING, None, id="single, its own id"),
        pytest.param(SINGLE, None, 50614, EventStatus.PENDING, None, id="single, no id in the event"),
        pytest.param(SINGLE, 1655, 1655, EventStatus.IGNORED, "org_unknown", id="single, another's id"),
        pytest.param(ANY, 1655, 1655, EventStatus.PENDING, None, id="single without id takes any"),
        pytest.param(ANY, None, ANY_ORG, EventStatus.PENDING, None, id="neither has an id"),
        pytest.param(SEVERAL, 6485, 6485, EventStatus.PENDING, None, id="several, one of them"),
        pytest.param(SEVERAL, 1655, 1655, EventStatus.IGNORED, "org_unknown", id="several, none of them"),
        pytest.param(SEVERAL, None, ANY_ORG, EventStatus.QUARANTINED, "org_missing", id="several, no id in the event"),
    ],
)
def test_an_event_belongs_to_the_org_it_names_or_to_the_only_one(
    orgs: Mapping[int, Policy], named: int | None, org: int, status: EventStatus, reason: str | None
) -> None:
    """Work is done for a configured org only, and an event that could be anybody's is kept for a human."""
    arrival = admit(upgrade(named), orgs)

    assert (org, status, reason) == (arrival.org, arrival.status, arrival.reason)


def test_each_event_is_treated_by_its_own_orgs_policy() -> None:
    """One org's default program must not answer for another's event."""
    first, second = (admit(upgrade(org, None), SEVERAL) for org in SEVERAL)

    assert (SEVERAL[50614], 973, EventStatus.PENDING) == (first.policy, first.program, first.status)
    assert (SEVERAL[6485], None, EventStatus.DEAD) == (second.policy, second.program, second.status)


def test_a_tier_change_is_stored_with_all_its_facts_and_its_bytes() -> None:
    """Nothing that planning needs is left to be read again, and the bytes are the ones that came."""
    event = upgrade()
    event["eventLogId"] = 9
    event["data"]["tierExpiryDate"] = "2026-12-31"
    event["data"]["loyaltyProgramDetails"] = {"tiers": [{"tierNumber": 2, "tierName": "Gold"}]}
    body = json.dumps(event, indent=3).encode()

    arrival = intake.admit(body, NOW, SINGLE)

    assert arrival == Arrival(
        org=50614,
        event_id="e-1",
        status=EventStatus.PENDING,
        reason=None,
        detail=None,
        kind=Kind.TIER,
        name="tierUpgraded",
        received_at=NOW,
        changed_at=NOW - 5000,
        dated=True,
        body=body,
        policy=WITH_DEFAULT,
        event_log_id=9,
        program=1427,
        customer=876,
        action=Action.UPGRADE,
        tier_number=2,
        tier_name="Gold",
        expiry=date(2026, 12, 31),
    )


def test_a_tier_change_without_a_time_counts_from_its_arrival() -> None:
    """The minimal form has no createdAt: our clock stands in, so that a later one is newer."""
    event = upgrade()
    del event["createdAt"]

    arrival = admit(event)

    assert (arrival.changed_at, arrival.dated) == (NOW, False)


@pytest.mark.parametrize(
    ("named", "default", "program", "status"),
    [
        (1427, None, 1427, EventStatus.PENDING),
        (1427, 973, 1427, EventStatus.PENDING),
        (None, 973, 973, EventStatus.PENDING),
        (None, None, None, EventStatus.DEAD),
    ],
)
def test_an_event_without_a_program_belongs_to_the_default_one(
    named: int | None, default: int | None, program: int | None, status: EventStatus
) -> None:
    """Without either the event is dead, and its detail says which setting brings it back."""
    arrival = admit(upgrade(program=named), {50614: Policy(default_program=default)})

    assert (program, status) == (arrival.program, arrival.status)
    assert (arrival.reason == "program_unknown") == (status is EventStatus.DEAD)
    assert ("TIERSYNC_DEFAULT_PROGRAM" in (arrival.detail or "")) == (status is EventStatus.DEAD)


JOIN, LEAVE = "groupMemberAdded", "groupMemberRemoved"


@pytest.mark.parametrize(
    ("event", "policy", "status", "reason"),
    [
        (membership(JOIN), WITH_DEFAULT, EventStatus.PENDING, None),
        (membership(JOIN), PLAIN, EventStatus.DEAD, "program_unknown"),
        (membership(JOIN), Policy(on_join=OnJoin.OFF), EventStatus.IGNORED, "join_off"),
        (membership(JOIN, primary=None), WITH_DEFAULT, EventStatus.IGNORED, "group_without_primary"),
        (membership(JOIN, member=7098), WITH_DEFAULT, EventStatus.IGNORED, "member_is_primary"),
        (membership(LEAVE), WITH_DEFAULT, EventStatus.DONE, None),
        (membership(LEAVE), Policy(on_join=OnJoin.OFF), EventStatus.DONE, None),
        (membership(LEAVE, primary=None), WITH_DEFAULT, EventStatus.IGNORED, "group_without_primary"),
        (membership(LEAVE, member=7098), WITH_DEFAULT, EventStatus.IGNORED, "member_is_primary"),
    ],
)
def test_a_join_or_leave_is_acted_on_as_the_policy_says(
    event: dict[str, Any], policy: Policy, status: EventStatus, reason: str | None
) -> None:
    """A joiner is owed a tier unless joins are off or nobody leads; a leaver is owed nothing in any case."""
    arrival = admit(event, {50614: policy})

    assert (status, reason) == (arrival.status, arrival.reason)


@pytest.mark.parametrize(("name", "kind"), [(JOIN, Kind.JOIN), (LEAVE, Kind.LEAVE)])
def test_a_membership_event_is_filed_under_the_primary(name: str, kind: Kind) -> None:
    """The key is the primary's, as for its tier changes: a join must wake the same work that they do."""
    arrival = admit(membership(name))

    assert (kind, 973, 7098, 3970, 5322) == (
        arrival.kind,
        arrival.program,
        arrival.customer,
        arrival.member,
        arrival.group,
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"eventName": "groupCreated", "eventId": "g", "orgId": 50614}, "event_not_used"),
        (
            {**upgrade(), "data": {"entityInformation": {"entityType": "USERGROUP2"}, "upgradedTierNumber": 2}},
            "entity_is_group",
        ),
    ],
)
def test_what_is_not_acted_on_is_stored_with_its_reason(event: dict[str, Any], reason: str) -> None:
    """An operator can tell why nothing happened; nothing is owed to anybody."""
    arrival = admit(event)

    assert (EventStatus.IGNORED, reason, Kind.OTHER, None) == (
        arrival.status,
        arrival.reason,
        arrival.kind,
        arrival.customer,
    )


@pytest.mark.parametrize("orgs", [SINGLE, ANY, SEVERAL])
def test_what_cannot_be_read_is_quarantined_whoever_sent_it(orgs: Mapping[int, Policy]) -> None:
    """A broken body is kept even if no org can be told from it: it may be ours."""
    arrival = intake.admit(b"\x00", NOW, orgs)

    assert (EventStatus.QUARANTINED, "not_json", webhook.digest(b"\x00"), NOW) == (
        arrival.status,
        arrival.reason,
        arrival.event_id,
        arrival.changed_at,
    )


def test_an_unreadable_event_of_an_unknown_org_is_still_kept_as_unreadable() -> None:
    """The org may be what is wrong with it."""
    event = upgrade(1655)
    event["data"]["upgradedTierNumber"] = 2.5

    arrival = admit(event)

    assert (arrival.org, arrival.status, arrival.reason) == (1655, EventStatus.QUARANTINED, "field_invalid")


def test_a_body_in_a_broken_encoding_is_kept_as_it_came() -> None:
    """The bytes that could not be unzipped are the only evidence there is."""
    body = b"\x1f\x8b broken"

    arrival = intake.refuse_encoding(body, NOW, SINGLE, "Content-Encoding: gzip, but the body is not")

    assert (50614, EventStatus.QUARANTINED, "content_encoding", body, webhook.digest(body)) == (
        arrival.org,
        arrival.status,
        arrival.reason,
        arrival.body,
        arrival.event_id,
    )
    assert arrival.detail == "Content-Encoding: gzip, but the body is not"


@pytest.mark.parametrize(("ahead_s", "dated"), [(-(10**9), True), (3600, True), (3601, False), (10**9, False)])
def test_a_date_far_ahead_of_its_arrival_is_not_believed(ahead_s: int, dated: bool) -> None:  # noqa: FBT001
    """Believed, it would make every later event stale for years; the event counts from its arrival, and says so."""
    event = {**upgrade(), "createdAt": NOW + 1000 * ahead_s}

    arrival = admit(event, {50614: Policy(created_ahead_s_max=3600)})
    any_date = admit(event, {50614: Policy(created_ahead_s_max=0)})

    assert (EventStatus.PENDING, dated) == (arrival.status, arrival.dated)
    assert (event["createdAt"] if dated else NOW) == arrival.changed_at
    assert (
        None if dated else f"createdAt: {ahead_s} s ahead of its arrival; ordered by arrival instead"
    ) == arrival.detail
    assert (event["createdAt"], None) == (any_date.changed_at, any_date.detail)
