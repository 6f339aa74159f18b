"""Every quirk and fault as a switch: the shape of `PUT /sandbox/faults`.

Two kinds of switch, one scheme:

- a **choice** has a value: `{"events": {"tiers": "null"}}`.
- a **fault** has a *when* and, where it needs them, parameters: `{"adjust": {"latency": {"ms": 300, "every": 7}}}`.
  `true` means always, `false` or null means never.

*When* is the same everywhere; what is given must all hold. Calls are counted per switch, after `customers` has chosen.

| key | hits |
| --- | --- |
| `every: 7` | each seventh call |
| `first: 2` | the first two calls |
| `after: 2` | all but the first two |
| `share: 0.1, seed: 1` | a tenth of the calls, always the same ones for the same seed |
| `customers: [1, 2]` | only calls for these customers |

A fault stands under the API family it hits (`adjust`, `groups`, `tiers`, `customers`, `token`, `webhooks`) or under
`all`. Sources of the behaviours: `contracts/capillary.md`, sections 1, 2, 3, 4 and the last paragraph of 6.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Wait = Annotated[int, Field(ge=0, le=86_400_000)]


class Strict(BaseModel):
    """Frozen, and nothing unknown gets in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class When(Strict):
    """Which calls (or events) a fault hits; all of what is given must hold, nothing given is always."""

    every: Count | None = None
    first: Count | None = None
    after: Count | None = None
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    customers: list[int] | None = None


class Latency(When):
    """Wait before working: `ms`, and up to `jitter_ms` more."""

    ms: Wait = 200
    jitter_ms: Wait = 0


class RateLimited(When):
    """Answer 429. With `per_minute` only once that many calls were let through within the clock minute."""

    per_minute: Count | None = None
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    body: Literal["json", "html"] = "json"


class Hold(When):
    """Say nothing for `hold_ms`, then `drop` the connection, `reset` it, or `never` answer at all."""

    hold_ms: Wait = 30_000
    then: Literal["drop", "reset", "never"] = "drop"


class SlowBody(When):
    """Send the headers at once and the body in `pieces`, `ms` apart."""

    ms: Wait = 200
    pieces: Annotated[int, Field(ge=1, le=1_000)] = 5


class Copies(When):
    """Deliver an event again, `copies` times."""

    copies: Annotated[int, Field(ge=1, le=100)] = 1


class Late(When):
    """Hold an event back, so that newer ones overtake it."""

    delay_ms: Wait = 1_000


def _shorthand(value: object) -> object:
    """`true` is "always", `false` is "never"."""
    if value is True:
        return {}
    return None if value is False else value


Shorthand = BeforeValidator(_shorthand)
Fault = Annotated[When | None, Shorthand]


class EventSwitches(Strict):
    """How webhook events look and travel."""

    numbers: Literal["raw", "float"] = Field(default="raw", description="numbers as 379499720 or as 379499720.0")
    tiers: Literal["present", "null", "absent"] = Field(default="present", description="loyaltyProgramDetails.tiers")
    program_details: Literal["present", "absent"] = Field(
        default="present", description="the whole loyaltyProgramDetails"
    )
    wrapper: Literal["none", "body", "array"] = Field(default="none", description='bare, {"body": event} or [event]')
    entity_type: Literal["USER", "USERGROUP2", "absent"] = Field(
        default="USER", description="entityInformation.entityType; USERGROUP2 names the group that the customer leads"
    )
    customer_identifiers: Literal["present", "absent"] = Field(
        default="present", description="data.customerIdentifiers"
    )
    form: Literal["raw", "enriched", "minimal"] = Field(
        default="raw", description="enriched: floats, null tiers, only customerId; minimal: the form in the sync guide"
    )
    entity_information: Literal["present", "absent"] = Field(default="present", description="data.entityInformation")
    program_id: Literal["present", "absent"] = Field(default="present", description="data.loyaltyProgramId")
    triggering_activity: Literal["present", "empty", "absent"] = Field(
        default="present", description="data.triggeringActivity"
    )
    event_log_id: Literal["present", "absent"] = Field(default="present", description="eventLogId")
    event_id: Literal["present", "absent"] = Field(default="present", description="eventId")
    org_id: Literal["present", "absent"] = Field(default="present", description="orgId")
    echo: bool = Field(default=True, description="manual adjustments emit tier events too (not documented; assumed)")
    duplicate: Annotated[Copies | None, Shorthand] = Field(default=None, description="deliver the same event again")
    reorder: Annotated[int, Field(ge=0, le=1_000)] = Field(
        default=0,
        description="deliver each run of so many events in reverse; what waits longer than 200 ms goes out as it is",
    )
    stale: Annotated[Late | None, Shorthand] = Field(
        default=None, description="deliver an event late, with its old createdAt"
    )
    lost: Fault = Field(default=None, description="never deliver the event")
    gzip: bool = Field(default=False, description="compress delivered bodies (Content-Encoding: gzip)")


class AnswerSwitches(Strict):
    """How right and wrong API answers look where the pages disagree or are silent."""

    refusals: Literal["400", "200", "empty", "html"] = Field(
        default="400",
        description='refused v2 calls: 400 with errors, 200 with errors, 400 with "{}" as text/plain, or 400 as HTML',
    )
    locked_status: Literal[200, 400, 409, 521] = Field(default=521, description="HTTP status that carries code 521")
    side_effects: Literal["present", "empty"] = Field(default="present", description="sideEffects of an adjustment")
    exited_members: Literal["present", "absent"] = Field(
        default="present", description="former members in fleetGroupUsers"
    )
    primary: Literal["present", "absent"] = Field(
        default="present", description="absent: groups look as if they had no primary"
    )
    in_active: Literal["inverted", "plain"] = Field(
        default="inverted", description="inActive of the members list (3.3)"
    )
    join_active: Literal["true", "false"] = Field(
        default="true", description='"active" and "defaultGroup" in join answers (3.4)'
    )
    warnings: Literal["1656", "[{}]", "none"] = Field(
        default="1656", description="warnings of a group read: the usual 1656, an empty object, or none"
    )
    adjust_type: Literal["CUSTOMER", "USERGROUP2"] = Field(
        default="CUSTOMER",
        description="type of an adjustment: customers only (2026 page), or a group's own tier too (2025 page)",
    )
    source: Literal["required", "optional"] = Field(default="required", description="source of an adjustment")
    validity_upto: Literal["when_needed", "always"] = Field(
        default="when_needed", description="when an adjustment must carry manualSlabActionValidityUpto"
    )
    tier_name_case: Literal["exact", "ignored"] = Field(default="exact", description="case of toSlabName")
    downgrade_not_lower: Literal["refused", "applied"] = Field(
        default="refused",
        description="DOWNGRADE to the same or a higher tier; refused with 8925, as no code is published",
    )


class OrganisationSwitches(Strict):
    """Organisation flags by their documented names (4.1), and what the core does by itself (4.3)."""

    groups_enabled: bool = Field(default=True, alias="CONF_USER_GROUP_ENABLED", description="groups work at all")
    group_size: Count | None = Field(
        default=None, alias="CONF_USER_GROUP_SIZE", description="cap on members of any group"
    )
    group_size_rule: Literal["1+(n-1)", "1+n"] = Field(
        default="1+(n-1)", description="whether CONF_USER_GROUP_SIZE counts the primary; the pages disagree"
    )
    group_size_ceiling: Count = Field(
        default=30_000, alias="CONF_MAX_FLEET_GROUP_SIZE", description="largest maxGroupSize accepted"
    )
    keep_without_primary: bool = Field(
        default=False,
        alias="CONF_DISABLE_GROUP_DEACTIVATION_ON_PRIMARY_MEMBER_EXIT",
        description="a group stays ACTIVE without its primary",
    )
    groups_per_member_max: Count | None = Field(default=None, description="groups one customer may be in")
    primary_may_join_elsewhere: bool = Field(default=True, description="a primary may be a secondary in another group")
    primary_handover: bool = Field(
        default=False, description="the primary may be handed over (2025 pages); false: the primary is fixed (2026)"
    )
    fleet_loyalty: bool = Field(
        default=False,
        alias="FLEET_GROUP_LOYALTY_ENABLED",
        description="groups of a hierarchy (fleets) earn, and their points expire by fleetPointsExpiry",
    )
    fleet_entity: Literal["USER", "USERGROUP2"] = Field(
        default="USERGROUP2", alias="FLEET_ENTITY_TYPE", description="who earns a fleet's transactions"
    )
    return_after_transition: bool = Field(
        default=False,
        alias="CONF_ALLOW_TRANSACTION_RETURN_AFTER_GROUP_TRANSITION",
        description="the bill of a group may be returned by who has left it",
    )
    group_redemption: bool = Field(
        default=True, alias="ENABLE_GROUP_PROGRAMS_REDEMPTION", description="one redemption over several programmes"
    )
    cross_member_redemption: bool = Field(
        default=False,
        alias="ENABLE_CROSS_MEMBER_REDEMPTION",
        description="who redeems for a group draws on its wallet and its members' own, what dies first going first",
    )
    otp: bool = Field(
        default=False,
        alias="CONF_USER_GROUP_OTP_ENABLE",
        description="who joins or leaves a group confirms it by a one-time code",
    )
    primary_otp: bool = Field(
        default=False,
        alias="CONF_USER_GROUP_PRIMARY_USER_OTP_ENABLE",
        description="the primary confirms changes of the group by a one-time code",
    )
    points_by_programme: bool = Field(
        default=False,
        alias="CONF_ENABLE_GROUP_POINTS_BY_PROGRAM",
        description="pointsSummaries of a group for each programme; otherwise for the default one",
    )
    batch_at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = Field(
        default="02:30", description="when the nightly batch renews and downgrades, UTC"
    )
    extended_fields: list[str] | None = Field(default=None, description="extended fields of groups; null accepts any")
    legacy_eager_sync: bool = Field(default=False, description="the core itself syncs secondaries, as in 2025 pages")
    reset_on_leave: bool = Field(default=True, description="a secondary that leaves falls to the lowest tier")


class CallFaults(Strict):
    """Faults of calls. Of those that hit one call the first in this order decides; latency, slow_body and gzip add."""

    unauthorised: Fault = Field(default=None, description="401, as for an invalid or expired token")
    forbidden: Fault = Field(default=None, description="403 with code 4000")
    rate_limited: Annotated[RateLimited | None, Shorthand] = Field(default=None, description="429")
    reset: Fault = Field(default=None, description="reset the connection at once; nothing is applied")
    timeout_before_applying: Annotated[Hold | None, Shorthand] = Field(default=None, description="hold, then no answer")
    locked: Fault = Field(default=None, description="521, as when another action runs for the customer")
    busy: Fault = Field(default=None, description="461, search engine busy")
    server_error: Fault = Field(default=None, description="500 with an error body")
    unavailable: Fault = Field(default=None, description="503 with code 4001")
    html_error: Fault = Field(default=None, description="502 with the HTML page of a proxy")
    empty_400: Fault = Field(
        default=None, description='400 with "{}" as text/plain, as in the OpenAPI of the adjust call'
    )
    applied_then_timeout: Annotated[Hold | None, Shorthand] = Field(
        default=None, description="apply, hold, then no answer"
    )
    latency: Annotated[Latency | None, Shorthand] = Field(default=None, description="wait before working")
    slow_body: Annotated[SlowBody | None, Shorthand] = Field(default=None, description="answer in slow pieces")
    gzip: Fault = Field(default=None, description="compress the answer if the caller accepts it")


class AdjustFaults(CallFaults):
    """Faults of manualSlabAdjustment."""

    overlap: bool = Field(default=True, description="521 when two calls for one customer overlap (latency makes them)")
    refuse: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description='refuse customers with a code: {"98662653": 3045}'
    )


class Switches(Strict):
    """All switches."""

    events: EventSwitches = EventSwitches()
    answers: AnswerSwitches = AnswerSwitches()
    organisation: OrganisationSwitches = OrganisationSwitches()
    adjust: AdjustFaults = AdjustFaults()
    groups: CallFaults = CallFaults()
    tiers: CallFaults = CallFaults()
    customers: CallFaults = CallFaults()
    transactions: CallFaults = CallFaults()
    points: CallFaults = CallFaults()
    token: CallFaults = CallFaults()
    webhooks: CallFaults = CallFaults()
    all: CallFaults = CallFaults()


Family = Literal["adjust", "groups", "tiers", "customers", "transactions", "points", "token", "webhooks"]
