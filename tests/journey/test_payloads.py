"""Every form in which an event is known to come ends with every active secondary in the primary's tier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.journey.kit import ORG, PROGRAM, Family, Town

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Path(__file__).with_name("examples")


@pytest.fixture(scope="module")
def policies() -> dict[str, Any]:
    """Some forms name no program."""
    return {"default_program": PROGRAM}


@dataclass(frozen=True)
class Example:
    """A payload of the documentation, the group it is about, and what it has to lead to."""

    file: str
    about: Family
    tiers: list[str]
    before: int
    primary_tier: int
    after: str


DOCUMENTED = [
    Example(
        "tier-upgraded", Family(406273266, (11, 12), (13,), 1427), ["SilverP2", "GoldP2", "Diamond"], 1, 2, "GoldP2"
    ),
    Example("tier-upgraded-enriched", Family(379499720, (21, 22), (23,), 1676), ["One", "Two"], 1, 2, "Two"),
    Example("tier-upgraded-minimal", Family(347266498, (31, 32), (33,)), ["Silver", "Gold", "Diamond"], 1, 2, "Gold"),
    Example("tier-renewed", Family(876, (41, 42), (43,), 1487), ["Base", "Cut 1", "Cut 2"], 2, 3, "Cut 2"),
    Example("tier-downgraded", Family(876, (51, 52), (53,), 1487), ["Base", "Cut 1", "Cut 2"], 3, 1, "Base"),
    Example("group-member-added", Family(7098, (3970,), (63,)), ["Silver", "Gold", "Diamond"], 1, 3, "Diamond"),
]


@pytest.mark.parametrize("example", DOCUMENTED, ids=lambda example: example.file)
async def test_a_documented_payload_adjusts_every_active_secondary(here: Town, example: Example) -> None:
    """Posted as documented, it brings every active secondary to the tier, and touches nobody else."""
    programme = {"id": example.about.program, "tiers": example.tiers, "default": example.about.program == PROGRAM}
    await here.seed(example.about.seed(example.before, example.primary_tier), programmes=[programme])

    answer = await here.deliver((EXAMPLES / f"{example.file}.json").read_bytes())
    await here.quiet()

    assert (200, "accepted") == (answer.status_code, answer.json()["status"])
    assert {example.after} == await here.followers(example.about)
    assert set(example.about.secondaries) == await here.touched()


FORMS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "numbers as floats": {"numbers": "float"},
    "tiers null": {"tiers": "null"},
    "tiers absent": {"tiers": "absent"},
    "no programme details": {"program_details": "absent"},
    "no program id": {"program_id": "absent"},
    "no program at all": {"program_id": "absent", "program_details": "absent"},
    "wrapped in body": {"wrapper": "body"},
    "wrapped in an array": {"wrapper": "array"},
    "no entity type": {"entity_type": "absent"},
    "only the entity id": {"customer_identifiers": "absent"},
    "only the customer id": {"entity_information": "absent"},
    "empty triggering activity": {"triggering_activity": "empty"},
    "no triggering activity": {"triggering_activity": "absent"},
    "no event log id": {"event_log_id": "absent"},
    "no event id": {"event_id": "absent"},
    "no org id": {"org_id": "absent"},
    "enriched": {"form": "enriched"},
    "minimal": {"form": "minimal"},
    "gzip": {"gzip": True},
    "all at once": {"numbers": "float", "tiers": "null", "wrapper": "array", "event_id": "absent", "gzip": True},
}


@pytest.mark.parametrize("look", FORMS.values(), ids=FORMS)
async def test_every_form_of_an_event_is_understood(here: Town, look: dict[str, Any]) -> None:
    """However the event of an upgrade is dressed, one event is stored, it is done, and everybody follows."""
    people = here.newcomers()
    await here.seed(people.seed())
    await here.switch(events=look)

    await here.decide(people.primary, "Gold")
    await here.quiet()

    assert ["done"] == [event["status"] for event in await here.events(customer=people.primary)]
    assert {"Gold"} == await here.followers(people)
    assert set(people.secondaries) == await here.touched()


async def test_a_change_of_a_group_s_own_tier_is_ignored(here: Town) -> None:
    """An event about USERGROUP2 is kept and ignored: its entity is a group, not a customer."""
    people = here.newcomers()
    await here.seed(people.seed())
    await here.switch(events={"entity_type": "USERGROUP2"})

    [event_id] = await here.decide(people.primary, "Gold")
    await here.quiet()

    assert ("ignored", "entity_is_group") == ((event := await here.event(event_id))["status"], event["reason"])
    assert [] == await here.calls()


async def test_an_event_that_comes_again_changes_nothing(here: Town) -> None:
    """A repeated delivery is answered, counted on the stored event, and sets no call off."""
    people = here.newcomers()
    await here.seed(people.seed())
    event = here.tier_event(people.primary, 2)
    await here.deliver(event)
    await here.quiet()
    before = await here.calls()

    answers = [(await here.deliver(event)).json()["status"] for _ in range(3)]
    await here.quiet()

    assert ["duplicate"] * 3 == answers
    assert 3 == (await here.event(event["eventId"], ORG))["duplicates"]
    assert before == await here.calls()


UNREADABLE = {
    "customers that disagree": ({"entityInformation": {"entityType": "USER", "entityId": 7}}, "customerId"),
    "half a customer": ({"customerIdentifiers": {"customerId": 876.5}}, "customerId"),
    "no tier number": ({"upgradedTierNumber": None}, "upgradedTierNumber"),
    "programs that disagree": ({"loyaltyProgramId": 974}, "loyaltyProgramId"),
}


@pytest.mark.parametrize(("data", "field"), UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_read_is_kept_with_the_name_of_the_field(
    here: Town, data: dict[str, Any], field: str
) -> None:
    """An authentic body with a wrong field is quarantined whole, says which field it is, and touches nobody."""
    event = here.tier_event(here.newcomers().primary, 2)
    event["data"].update(data)

    answer = await here.deliver(event)
    await here.quiet()

    assert (200, "quarantined") == (answer.status_code, answer.json()["status"])
    assert field in (await here.event(answer.json()["event_id"]))["detail"]
    assert [] == await here.calls()


async def test_an_unknown_tier_number_is_dead_with_a_reason(here: Town) -> None:
    """A number that neither the event nor the primary's own tier explains is dead, and nobody is adjusted."""
    people = here.newcomers()
    await here.seed(people.seed())
    event = here.tier_event(people.primary, 9)

    await here.deliver(event)
    await here.quiet()

    stored = await here.event(event["eventId"])
    assert ("dead", "tier_name_unknown") == (stored["status"], stored["reason"])
    assert "tier 9" in stored["detail"]
    assert set() == await here.touched()
