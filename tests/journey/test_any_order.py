"""The promise of the whole: however deliveries are mixed and whatever fails, everybody ends where they belong."""

import asyncio
import tempfile
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.journey.kit import TIERS, Family, Town, family, town

PRIMARIES = 3
NAMES = ("tierUpgraded", "tierDowngraded", "tierRenewed")
FAULTS = (
    {"adjust": {"locked": {"share": 0.3}}},
    {"adjust": {"server_error": {"share": 0.3}}},
    {"adjust": {"applied_then_timeout": {"share": 0.3, "hold_ms": 2}}},
    {"adjust": {"applied_then_timeout": {"share": 0.3, "hold_ms": 2, "then": "reset"}}},
    {"all": {"reset": {"share": 0.25}}},
    {"all": {"html_error": {"share": 0.25}}},
    {"groups": {"server_error": {"share": 0.5}}},
    {"tiers": {"server_error": {"share": 0.5}}},
    {"answers": {"side_effects": "empty"}},
    {"answers": {"refusals": "200"}},
    {"answers": {"refusals": "empty"}},
    {"adjust": {"latency": {"ms": 1, "jitter_ms": 5}}},
    {"groups": {"latency": {"ms": 1, "jitter_ms": 10}}},
)
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"renewal": "plain"},
    {"validity": "mirror"},
    {"plan_batch_max": 1, "owed_batch_max": 1},
    {"key_calls_concurrent_max": 1, "commit_batch_max": 1},
    {"keys_concurrent_max": 1, "keys_waiting_max": 1},
)


@dataclass(frozen=True)
class Change:
    """One tier change: whose, when (a rank, no two of a primary alike), to what."""

    who: int
    rank: int
    tier: int
    name: str


@st.composite
def histories(draw: st.DrawFn) -> list[Change]:
    """Draw what was decided for each primary, oldest first."""
    changes = []
    for who in range(PRIMARIES):
        tiers = draw(st.lists(st.integers(1, len(TIERS)), min_size=1, max_size=4))
        changes += [Change(who, rank, tier, draw(st.sampled_from(NAMES))) for rank, tier in enumerate(tiers)]
    return changes


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Change]]:
    """Draw how a history arrives: in any order, some of it repeated, in bunches that come at the same time."""
    history = draw(histories())
    arriving = draw(st.permutations(history + draw(st.lists(st.sampled_from(history), max_size=6))))
    bunches: list[list[Change]] = [[]]
    for change in arriving:
        bunches[-1].append(change)
        if draw(st.booleans()):
            bunches.append([])
    return bunches


def event(here: Town, families: list[Family], change: Change) -> dict[str, Any]:
    """Write a change down as the event that tells of it."""
    return here.tier_event(
        families[change.who].primary,
        change.tier,
        change.name,
        created_at=1_760_000_000_000 + change.rank,
        event_id=f"change-{change.who}-{change.rank}",
    )


async def arrive(
    bunches: list[list[Change]], before: list[int], faults: list[dict[str, Any]], chosen: dict[str, Any]
) -> tuple[list[set[str]], set[int], set[int]]:
    """Let it all happen; returns the tiers of each family's secondaries, who was touched, and who could have been."""
    families = [family(number, secondaries=2) for number in range(1, PRIMARIES + 1)]
    with tempfile.TemporaryDirectory() as folder:
        async with town(Path(folder), retry_delays_s=[0.01], sweep_s=0.02, **chosen) as here:
            await here.seed(*(people.seed(tier) for people, tier in zip(families, before, strict=True)))
            for fault in faults:
                await here.switch(**fault)
            for bunch in bunches:
                answers = await asyncio.gather(*(here.deliver(event(here, families, change)) for change in bunch))
                assert [200] * len(bunch) == [answer.status_code for answer in answers]
            await here.quiet()
            dead = {event["customer"] for event in await here.events(status="dead")}
            assert not dead & {people.primary for people in families}
            ends = [await here.followers(people) for people in families]
            return ends, await here.touched(), {member for people in families for member in people.secondaries}


# Shrinking would take minutes: each example is a town. The blob that is printed repeats the failure as it was.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=15, deadline=None, phases=PHASES, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    bunches=deliveries(),
    before=st.lists(st.integers(1, len(TIERS)), min_size=PRIMARIES, max_size=PRIMARIES),
    faults=st.lists(st.sampled_from(FAULTS), max_size=3),
    chosen=st.sampled_from(SETTINGS),
)
def test_any_interleaving_ends_in_the_newest_tier(
    bunches: list[list[Change]], before: list[int], faults: list[dict[str, Any]], chosen: dict[str, Any]
) -> None:
    """Duplicates, stale, reordered and fault-ridden: every active secondary ends in its primary's newest tier."""
    note(f"{chosen}, {faults}, from tiers {before}: {bunches}")
    newest = {change.who: change for change in sorted(chain.from_iterable(bunches), key=lambda change: change.rank)}

    ends, touched, followers = asyncio.run(arrive(bunches, before, faults, chosen))

    assert [{TIERS[newest[who].tier - 1]} for who in range(PRIMARIES)] == ends
    assert touched <= followers
