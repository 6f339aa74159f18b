"""Pure. What a delivery means to this installation: whose it is, whether it is acted on, what is stored of it.

`admit` joins a `Reading` (what the body says) with the configured orgs (what is ours and how it is to be treated). The
receiver calls it for a new delivery and replay calls it again for a stored one: one door, one meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Final

from tiersync import webhook
from tiersync.fanout import OnJoin, Policy
from tiersync.webhook import Action, Envelope, Ignored, MembershipChange, Reading, Repair, TierChange, Unreadable

ANY_ORG: Final = 0
"""The org id of a single configured org that was given no id: it takes events of any org id."""


class EventStatus(StrEnum):
    """Where an event stands (docs/states.md)."""

    PENDING = "pending"
    DONE = "done"
    DEAD = "dead"
    QUARANTINED = "quarantined"
    SUPERSEDED = "superseded"
    IGNORED = "ignored"


class Kind(StrEnum):
    """What a stored event is about."""

    TIER = "tier"
    JOIN = "join"
    LEAVE = "leave"
    RECONCILE = "reconcile"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the store is to write of one delivery.

    `org` and `event_id` identify it. `changed_at` (epoch milliseconds) orders the tier changes of one primary:
    Capillary's `createdAt` if it is `dated`, else the time of arrival; a date too far ahead of its arrival is none.
    `customer` is the primary for a tier change and for a join or leave; `member` is who joined or left, `members` are
    those whom a reconcile found elsewhere, and may be brought down if it `may_lower`. `policy` is how the org wants it
    treated.
    """

    org: int
    event_id: str
    status: EventStatus
    reason: str | None
    detail: str | None
    kind: Kind
    name: str
    received_at: int
    changed_at: int
    dated: bool
    body: bytes
    policy: Policy
    event_log_id: int | None = None
    program: int | None = None
    customer: int | None = None
    member: int | None = None
    group: int | None = None
    action: Action | None = None
    tier_number: int | None = None
    tier_name: str | None = None
    expiry: date | None = None
    traceparent: str | None = None  # of the delivery, if it is traced
    members: tuple[int, ...] = ()
    may_lower: bool = True


@dataclass(frozen=True, slots=True)
class _Verdict:
    status: EventStatus
    reason: str | None = None
    detail: str | None = None


_PENDING: Final = _Verdict(EventStatus.PENDING)


def admit(body: bytes, received_at: int, orgs: Mapping[int, Policy]) -> Arrival:
    """Say what is to be stored of a delivery. `received_at` is epoch milliseconds; `orgs` maps org id to policy."""
    reading = webhook.read(body)
    envelope = reading.envelope
    org = _org(envelope, orgs)
    policy = orgs.get(org, orgs.get(ANY_ORG))
    verdict = _verdict(reading, policy)
    return _arrival(reading, body, received_at, org, policy or Policy(), verdict)


def refuse_encoding(body: bytes, received_at: int, orgs: Mapping[int, Policy], detail: str) -> Arrival:
    """Say what is to be stored of a body whose content encoding could not be undone; `body` is as it came."""
    envelope = Envelope(org=None, event_id=webhook.digest(body), name="")
    reading = Unreadable(envelope, "content_encoding", detail)
    verdict = _Verdict(EventStatus.QUARANTINED, reading.reason, reading.detail)
    return _arrival(reading, body, received_at, _org(envelope, orgs), Policy(), verdict)


def _org(envelope: Envelope, orgs: Mapping[int, Policy]) -> int:
    """An event that names no org belongs to the only one there is."""
    if envelope.org is not None:
        return envelope.org
    return next(iter(orgs)) if len(orgs) == 1 else ANY_ORG


def _verdict(reading: Reading, policy: Policy | None) -> _Verdict:
    match reading:
        case Unreadable(reason=reason, detail=detail):
            return _Verdict(EventStatus.QUARANTINED, reason, detail)
        case _ if policy is None and reading.envelope.org is None:
            return _Verdict(EventStatus.QUARANTINED, "org_missing", "orgId: missing, and several orgs are configured")
        case _ if policy is None:
            return _Verdict(EventStatus.IGNORED, "org_unknown", f"orgId: {reading.envelope.org} is not configured")
        case Ignored(reason=reason):
            return _Verdict(EventStatus.IGNORED, reason)
        case MembershipChange(primary=None):
            return _Verdict(EventStatus.IGNORED, "group_without_primary")
        case MembershipChange(primary=primary, member=member) if primary == member:
            return _Verdict(EventStatus.IGNORED, "member_is_primary")
        case MembershipChange(joined=True) if policy.on_join is OnJoin.OFF:
            return _Verdict(EventStatus.IGNORED, "join_off")
        case TierChange(program=None) | MembershipChange(joined=True) if policy.default_program is None:
            return _Verdict(
                EventStatus.DEAD,
                "program_unknown",
                "data.loyaltyProgramId: missing; set TIERSYNC_DEFAULT_PROGRAM and replay",
            )
        case MembershipChange(joined=False):
            return _Verdict(EventStatus.DONE)  # it owes nobody a call; the store only wakes what is still owed
        case _:
            return _PENDING


def _arrival(reading: Reading, body: bytes, received_at: int, org: int, policy: Policy, verdict: _Verdict) -> Arrival:
    envelope = reading.envelope
    created_at, ahead = envelope.created_at, None
    if created_at is not None and 0 < policy.created_ahead_s_max < (created_at - received_at) / 1000:
        # Believed, it would make every later event of this primary stale until that day.
        ahead = f"createdAt: {(created_at - received_at) // 1000} s ahead of its arrival; ordered by arrival instead"
        created_at = None
    arrival = partial(
        Arrival,
        org=org,
        event_id=envelope.event_id,
        status=verdict.status,
        reason=verdict.reason,
        detail=verdict.detail or ahead,
        name=envelope.name,
        received_at=received_at,
        changed_at=received_at if created_at is None else created_at,
        dated=created_at is not None,
        body=body,
        policy=policy,
        event_log_id=envelope.event_log_id,
    )
    match reading:
        case TierChange():
            return arrival(
                kind=Kind.TIER,
                program=reading.program or policy.default_program,
                customer=reading.customer,
                action=reading.action,
                tier_number=reading.tier_number,
                tier_name=reading.tier_name,
                expiry=reading.expiry,
            )
        case MembershipChange():
            return arrival(
                kind=Kind.JOIN if reading.joined else Kind.LEAVE,
                program=policy.default_program,
                customer=reading.primary,
                member=reading.member,
                group=reading.group,
            )
        case Repair():
            return arrival(
                kind=Kind.RECONCILE,
                program=reading.program,
                customer=reading.primary,
                members=reading.members,
                group=reading.group,
                tier_number=reading.tier_number,
                tier_name=reading.tier_name,
                expiry=reading.expiry,
                may_lower=reading.may_lower,
            )
        case _:
            return arrival(kind=Kind.OTHER)
