"""Filling the world in bulk: what `POST /sandbox/seed` reads, and the example the sandbox starts with.

Nothing of this happens in the world's eyes: no event is emitted.
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import CustomerId, Draft, Group, Joiner, Permission, Person
from tiersync.loyalty.schemes import bare
from tiersync.sandbox.programme_seeds import Id, Name, ProgrammeSeed, programme_of, scheme_of
from tiersync.sandbox.tiers import ProgramId, Programme, Standing, Tier, expiry_after, program
from tiersync.sandbox.world import World

PERMISSIONS = (Permission.ALLOW_REDEMPTION, Permission.ALLOW_TRANSFER)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Run(_Strict):
    """Consecutive customer ids."""

    from_: Id = Field(alias="from")
    count: Annotated[int, Field(ge=0, le=1_000_000)]


class GroupSeed(_Strict):
    """A group with everybody in it. `tier` (name or number) is everybody's, `primaryTier` only the primary's."""

    external_id: Annotated[Name, Field(alias="externalId")]
    name: Annotated[str, Field(alias="groupName", max_length=50)] = ""
    max_size: Annotated[int | None, Field(alias="maxGroupSize")] = None
    primary: Id | None = None
    secondaries: list[Id] | Run = []
    exited: list[Id] = []
    tier: int | str | None = None
    primary_tier: Annotated[int | str | None, Field(alias="primaryTier")] = None
    program: Annotated[Id | None, Field(alias="programId")] = None


class CustomerSeed(_Strict):
    """A customer with identifiers. `status` Fraud_confirmed makes adjustments of the customer be refused (3045)."""

    id: Id
    first_name: Annotated[str, Field(alias="firstName", max_length=50)] = ""
    last_name: Annotated[str, Field(alias="lastName", max_length=50)] = ""
    mobile: Name | None = None
    email: Name | None = None
    external_id: Annotated[Name | None, Field(alias="externalId")] = None
    card_number: Annotated[Name | None, Field(alias="cardnumber")] = None
    status: str = "ACTIVE"


class Seed(_Strict):
    """A whole scene."""

    customers: list[CustomerSeed] = []
    programmes: list[ProgrammeSeed] = []
    groups: list[GroupSeed] = []


class Batch(_Strict):
    """What `POST /sandbox/batch` reads: `customers` None means every primary, `at` None means now."""

    program: Annotated[Id | None, Field(alias="programId")] = None
    action: Literal["renew", "upgrade", "downgrade"] = "renew"
    customers: list[Id] | None = None
    at: AwareDatetime | None = None


def readable(wrong: ValidationError) -> LoyaltyError:
    """Build the refusal of a body that does not fit, naming the first field that is wrong."""
    first = wrong.errors(include_url=False, include_context=False)[0]
    return LoyaltyError(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")


def plant(world: World, seed: Seed, now: datetime) -> list[Group]:
    """Put a scene into the world; returns its groups. Stops at the first group that is refused."""
    for each in seed.programmes:
        # All of them are read before the first is added, so that a bad condition changes nothing.
        programme_of(each)
        scheme_of(each, "draft").check()
    world.people.add_all(
        Person(registered_on=now, **{**customer.model_dump(), "id": CustomerId(customer.id)})
        for customer in seed.customers
    )
    for each in seed.programmes:
        world.add_programme(programme_of(each), partial(scheme_of, each), now)
    return [_plant_group(world, group, now) for group in seed.groups]


def find_tier(programme: Programme, wanted: int | str) -> Tier:
    """Find a tier by number or name; refuses with a sentence that lists the tiers there are."""
    found = programme.numbered(wanted) if isinstance(wanted, int) else programme.named(wanted)
    if found is None and isinstance(wanted, str) and wanted.isascii() and wanted.isdigit():
        found = programme.numbered(int(wanted[:4]))
    if found is None:
        there = ", ".join(f"{tier.number} {tier.name}" for tier in programme.tiers)
        raise LoyaltyError(f"programme {programme.id} has no tier {wanted!s:.50}; it has {there}")
    return found


def ensure(world: World, customer: int, now: datetime) -> CustomerId:
    """Make sure that a customer exists."""
    known = CustomerId(customer)
    if known not in world.people:
        world.people.add(Person(known, registered_on=now))
    return known


def _plant_group(world: World, seed: GroupSeed, now: datetime) -> Group:
    run = seed.secondaries
    ids = range(run.from_, run.from_ + run.count) if isinstance(run, Run) else run
    secondaries = [ensure(world, customer, now) for customer in ids]
    exited = [ensure(world, customer, now) for customer in seed.exited]
    standing, primary_standing = _standing(world, seed, seed.tier, now), _standing(world, seed, seed.primary_tier, now)
    size = world.register.flags.group_size_ceiling if seed.max_size is None else seed.max_size
    group = world.register.create(Draft(seed.external_id, seed.name or seed.external_id, size), now).group
    if seed.primary is not None:
        primary = ensure(world, seed.primary, now)
        world.register.join(group.id, Joiner(primary, primary=True, permissions=PERMISSIONS), now)
    for customer in exited:
        world.register.join(group.id, Joiner(customer), now)
        world.register.leave(group.id, customer, now)
    for customer in secondaries:
        world.register.join(group.id, Joiner(customer, permissions=PERMISSIONS[:1]), now)
    if standing is not None:
        everybody = secondaries if seed.primary is None else [*secondaries, CustomerId(seed.primary)]
        world.places.plant(standing[0], everybody, standing[1], now)
    if primary_standing is not None and seed.primary is not None:
        world.places.plant(primary_standing[0], [CustomerId(seed.primary)], primary_standing[1], now)
    return world.register.find(group=group.id)


def _standing(
    world: World, seed: GroupSeed, wanted: int | str | None, now: datetime
) -> tuple[Programme, Standing] | None:
    if wanted is None:
        return None
    programme = world.programmes.default() if seed.program is None else world.programmes.find(ProgramId(seed.program))
    tier = find_tier(programme, wanted)
    return programme, Standing(tier, expiry_after(now, tier.validity_days))


def example(world: World, now: datetime) -> None:
    """Plant what the sandbox starts with: programme 973 and the family of seed 001, ids as in the samples."""
    names = ["Silver", "Gold", "Diamond"]
    programme = program("DocDemoDefaultProgram", 973, names, default=True)
    world.add_programme(programme, lambda key: bare(key, names), now)
    for position, (customer, name) in enumerate(FAMILY):
        world.people.add(
            Person(
                CustomerId(customer),
                registered_on=now,
                first_name=name,
                last_name="Sample",
                mobile=f"9199881234{56 + position}",
                email=f"{name.lower()}@example.com",
                external_id=name.lower(),
            )
        )
    ids = [customer for customer, _ in FAMILY]
    family = {"externalId": "family_001", "groupName": "Family", "maxGroupSize": 6, "primary": ids[0]}
    _plant_group(world, GroupSeed.model_validate({**family, "secondaries": ids[1:-1], "exited": ids[-1:]}), now)


#: The primary first, the one who has left last.
FAMILY = (
    (566998132, "Father"),
    (564662499, "Mother"),
    (564662500, "Daughter"),
    (564662501, "Son"),
    (567219877, "Grandmother"),
    (567219878, "Uncle"),
)
