"""What holds for every delivery, whatever it is made of."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiersync import webhook
from tiersync.webhook import INT64_MAX, Envelope, Ignored, Reading, Unreadable

EXAMPLES = Path(__file__).parents[1] / "journey" / "examples"


def read(event: object) -> Reading:
    """Read an event as it would come."""
    return webhook.read(json.dumps(event).encode())


odd_text = st.text() | st.sampled_from(["USER", "USERGROUP2", "\ud800", "\x00", "1e999999999"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object that may have these fields, each likely in its right form, or anything else at all."""
    return st.fixed_dictionaries({}, optional={name: right | values for name, right in fields.items()}) | values


whole = st.integers(1, 5) | st.integers(1, 5).map(float)
identifiers = some(customerId=whole)
member = some(customerIdentifiers=identifiers)
tier = some(tierNumber=whole, tierName=st.sampled_from(["Silver", "Gold"]))
anything = st.fixed_dictionaries(
    {"eventName": st.sampled_from([*webhook.TIER_EVENTS, *webhook.MEMBERSHIP_EVENTS]) | values},
    optional={
        "eventId": st.text(max_size=250) | values,
        "orgId": whole | values,
        "createdAt": whole | values,
        "eventLogId": whole | values,
        "data": some(
            customerIdentifiers=identifiers,
            entityInformation=some(entityId=whole, entityType=st.sampled_from(["USER", "USERGROUP2"])),
            loyaltyProgramId=whole,
            loyaltyProgramDetails=some(id=whole, tiers=st.lists(tier, max_size=3)),
            upgradedTierNumber=whole,
            downgradedTierNumber=whole,
            currentTierNumber=whole,
            tierExpiryDate=st.dates().map(str),
            groupId=whole,
            primaryMember=member,
            memberAdded=member,
            memberRemoved=member,
        ),
    },
)


def facts(value: Reading | Envelope) -> dict[str, object]:
    """Return the facts of a reading, or of its envelope, by name."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def storable(value: object) -> bool:
    """Say whether both databases can hold a fact of a reading."""
    match value:
        case str():
            return "\x00" not in value and value.encode(errors="replace").decode() == value
        case int():
            return 0 <= value <= INT64_MAX
        case _:
            return True


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(body: bytes) -> None:
    """Whatever arrives ends as a value that the store can keep."""
    assert isinstance(webhook.read(body), Unreadable | Ignored)


@settings(deadline=None, max_examples=200)
@given(anything | values)
def test_no_json_makes_the_reader_raise_or_report_what_cannot_be_kept(event: object) -> None:
    """Half right and half wrong in any mixture: a value comes back, and each of its facts fits a column."""
    # Numbers whose exponent is beyond all bounds pass through no encoder: they are put in as text.
    body = json.dumps(event).replace('"1e999999999"', "1e999999999").encode()

    reading = webhook.read(body)

    found = {**facts(reading), **facts(reading.envelope)}
    assert [name for name, fact in found.items() if not storable(fact)] == []
    assert len(reading.envelope.event_id) <= 200


def as_floats(value: Any) -> Any:
    """Write every whole number as the enriching sender does."""
    match value:
        case dict():
            return {name: as_floats(part) for name, part in value.items()}
        case list():
            return [as_floats(part) for part in value]
        case int() if not isinstance(value, bool):
            return float(value)
        case _:
            return value


def reordered(value: Any, extra: Any) -> Any:
    """Turn the order of every object's fields around and slip in fields that nobody knows."""
    match value:
        case dict():
            return {
                "aNewField": extra,
                **dict(reversed([(name, reordered(part, extra)) for name, part in value.items()])),
            }
        case list():
            return [reordered(part, extra) for part in value]
        case _:
            return value


wrappers = st.lists(
    st.sampled_from([lambda event: [event], lambda event: {"body": event}, lambda event: {"h": {}, "body": event}]),
    max_size=4,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(EXAMPLES.glob("*.json"))), st.booleans(), wrappers, values)
def test_the_same_event_in_another_dress_reads_the_same(example: Path, floats: bool, wraps: Any, extra: object) -> None:  # noqa: FBT001
    """Wrapping, floats, field order and unknown fields change nothing of what an event says."""
    plain = {"eventId": "same", **json.loads(example.read_bytes())}
    dressed = reordered(as_floats(plain) if floats else plain, extra)
    for wrap in wraps:
        dressed = wrap(dressed)

    assert read(plain) == read(dressed)
