"""Pure. What somebody has in a programme, a customer or a group alike: points, tier, and how far it is to go or stay.

The keys are those of a group read (`contracts/capillary.md` 3.2). No page shows what `renewStrategies` holds, nor these
blocks for a customer: there they look the same.
"""

from datetime import datetime
from decimal import Decimal

from tiersync.loyalty.capillary import slabs
from tiersync.loyalty.events import ZERO, HolderId
from tiersync.loyalty.ladders import Balance, Earned, Metric, Purchases, Visits
from tiersync.sandbox.amounts import plain
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.core import SECOND, Core
from tiersync.sandbox.tiers import Programme, Standing, stamp_iso
from tiersync.sandbox.world import World


def points_summary(
    world: World, programme: Programme, holder: HolderId, standing: Standing, now: datetime
) -> dict[str, object]:
    """Summarise points and tier in one programme."""
    above = programme.above(standing.tier)
    scheme = world.programmes.scheme(programme).program
    return {
        "programId": programme.id,
        "programTitle": programme.name,
        "loyaltyPoints": plain(world.core.points(scheme, holder, now)),
        "promotionalPoints": plain(world.core.promotional_points(scheme, holder, now)),
        "lifetimePoints": plain(world.core.earned(scheme, holder)),
        "currentSlab": standing.tier.name,
        "currentSlabDescription": f"Tier {standing.tier.number}",
        "slabSNo": standing.tier.number,
        "slabExpiryDate": stamp_iso(standing.expires),
        "nextSlab": above.name if above else "",
        "nextSlabSerialNumber": above.number if above else -1,
    }


def expiry_schedules(world: World, holder: HolderId, now: datetime) -> list[dict[str, object]]:
    """List when which points die, programme by programme."""
    rows = list[dict[str, object]]()
    for programme in world.programmes:
        for left, ends in world.core.dying(world.programmes.scheme(programme).program, holder, now):
            day = ends.strftime("%Y-%m-%d")
            rows.append(
                {"points": plain(left), "expiryDate": day, "expiryDateISO": stamp_iso(ends), "programId": programme.id}
            )
    return rows


def gap_to_upgrade(
    world: World, programme: Programme, holder: HolderId, standing: Standing, now: datetime
) -> list[dict[str, object]]:
    """Say how much is missing to the next tier; nothing at the top, or where tiers are given by hand."""
    if not programme.ruled or programme.above(standing.tier) is None:
        return []
    scheme = world.programmes.scheme(programme)
    threshold = scheme.levels[standing.tier.number].threshold
    have = _collected(world.core, scheme.program, holder, scheme.metric, now)
    values = {
        "currentValue": plain(have),
        "gapToUpgrade": plain(max(threshold - have, ZERO)),
        "valueValidUpto": standing.expires.strftime("%Y-%m-%d"),
    }
    basis = _basis(scheme.metric)
    return [{"upgradeBasedOn": basis, "upgradeThreshold": plain(threshold), "customerUpgradeEntityValues": values}]


def gap_to_renew(
    world: World, programme: Programme, holder: HolderId, standing: Standing, now: datetime
) -> dict[str, object]:
    """Say how much is missing to keep the tier at the end of its validity; without a condition it renews by itself."""
    scheme = world.programmes.scheme(programme)
    wanted = scheme.levels[standing.tier.number - 1].stay
    metric, day = scheme.stay or scheme.metric, standing.expires.strftime("%Y-%m-%d")
    if wanted is None:
        return {"tierExpiryDate": day, "renewConfirmed": True, "renewStrategies": []}
    met = world.core.knows(holder)
    have = world.core.engine.counted(holder, slabs(scheme.program), now + SECOND) if met else ZERO
    values = {"currentValue": plain(have), "gapToRenew": plain(max(wanted - have, ZERO)), "valueValidUpto": day}
    strategy = {"renewBasedOn": _basis(metric), "renewThreshold": plain(wanted), "customerRenewEntityValues": values}
    return {"tierExpiryDate": day, "renewConfirmed": have >= wanted, "renewStrategies": [strategy]}


def wanted_gap(ask: Ask, name: str) -> bool:
    """Say whether a gap is asked for: the table calls the parameter a number, the OpenAPI document a boolean."""
    return ask.query.get(name, "").lower() not in {"", "0", "false"}


def gaps(world: World, ask: Ask, programme: Programme, holder: HolderId, standing: Standing) -> dict[str, object]:
    """Return `gapToUpgrade` and `gapToRenew`, as far as they are asked for."""
    found: dict[str, object] = {}
    if wanted_gap(ask, "gapToUpgradeFor"):
        found["gapToUpgrade"] = gap_to_upgrade(world, programme, holder, standing, ask.now)
    if wanted_gap(ask, "gapToRenewFor"):
        found["gapToRenew"] = gap_to_renew(world, programme, holder, standing, ask.now)
    return found


def _collected(core: Core, scheme: str, holder: HolderId, metric: Metric, now: datetime) -> Decimal:
    if not core.knows(holder):
        return ZERO
    if isinstance(metric, Balance):
        return core.points(scheme, holder, now)
    return core.engine.standing(holder, slabs(scheme)).total


def _basis(metric: Metric) -> str:
    match metric:
        case Balance():
            return "CURRENT_POINTS"
        case Earned():
            return "LIFETIME_POINTS"
        case Visits():
            return "VISITS"
        case Purchases():
            return "LIFETIME_PURCHASES"
