"""The condition language: what it says, and how it complains."""

from datetime import date
from decimal import Decimal

import pytest

from tiersync.errors import LoyaltyError
from tiersync.loyalty.expressions import parse
from tiersync.loyalty.syntax import CHARACTERS_MAX
from tiersync.loyalty.vocabulary import Profile, Type, Value

VOCABULARY = {
    "currentTxn": Profile({"amount": Type.NUMBER, "note": Type.TEXT, "date": Type.DATE}, extended=True),
    "currentCustomer": Profile({"isGroupMember": Type.TRUTH, "slabName": Type.TEXT, "joined": Type.DATE}),
    "currentEvent": Profile({"isGroupProgramRedemption": Type.TRUTH}),
}
SWIPED = "currentTxn.extField_member_card_swiped"


def holds(text: str, **txn: Value) -> bool:
    """Whether a condition holds for a transaction with these attributes, of a group member in Gold."""
    customer: dict[str, Value] = {"isGroupMember": True, "slabName": "Gold", "joined": date(2024, 2, 29)}
    profiles = {"currentTxn": txn, "currentCustomer": customer, "currentEvent": {}}
    return parse(text, VOCABULARY).holds(profiles)


@pytest.mark.parametrize(("swiped", "individual"), [(None, True), ("No", True), ("Yes", False), ("", False)])
def test_the_documented_condition_of_an_individual_transaction(swiped: str | None, *, individual: bool) -> None:
    """Not swiped, or not passed at all, is individual; an empty text is not null."""
    text = f'{SWIPED}=="No" || {SWIPED}.isNull()'

    assert holds(text, extField_member_card_swiped=swiped) is individual


@pytest.mark.parametrize("text", ["==Yes", "==true", '=="Yes"', "=Yes", "!=No"])
def test_the_group_guard_in_all_its_spellings(text: str) -> None:
    """Whichever way the documentation writes it, a group member passes the guard."""
    assert holds(f"currentCustomer.isGroupMember{text}")


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "!false",
        "currentTxn.amount >= 100 && currentTxn.amount < 101",
        "currentTxn.amount - 50 - 30 == 20",
        "currentTxn.amount + 2 * 3 == 106",
        "(currentTxn.amount + 2) * 3 == 306",
        "currentTxn.amount % 7 == 2",
        "-currentTxn.amount / 4 == -25",
        "false && false || true",
        "true || false && false",
        'currentTxn.note.contains("ell")',
        'currentTxn.note.matches("h.*o")',
        "currentTxn.note.exists() && currentTxn.note.isNotNull() && !currentTxn.note.isEmpty()",
        'currentCustomer.slabName=="Gold"',
        'currentTxn.date.isAfter("2025-03-01") && currentTxn.date.isBefore("2025-03-03")',
        'currentTxn.date.dateDiff("2025-02-28") == 2',
        "currentTxn.date.daysDiff(currentCustomer.joined) == 2",
        'currentTxn.date.daysDiffFromString("1999-03-01") == 1',
        "currentTxn.date.year == 2025 && currentTxn.date.month() == 3 && currentTxn.date.dayOfMonth == 2",
        "currentTxn.date.isValid() && !currentTxn.note.isValidDate()",
        "currentTxn.extField_count > 5",
    ],
)
def test_conditions_that_hold(text: str) -> None:
    """Operators, precedence, texts and dates mean what the documentation says."""
    txn: dict[str, Value] = {"amount": Decimal(100), "note": "hello", "date": date(2025, 3, 2), "extField_count": "12"}

    assert holds(text, **txn)


@pytest.mark.parametrize(
    "text",
    [
        "currentTxn.amount > 0",
        "currentTxn.amount <= 0",
        "currentTxn.amount / 0 == currentTxn.amount / 0",
        "1 / 0 == 1 / 0",
        'currentTxn.note.contains("")',
        "currentEvent.isGroupProgramRedemption",
        "currentTxn.date.year > 0",
    ],
)
def test_nothing_is_true_of_what_was_not_passed(text: str) -> None:
    """A null makes comparisons, arithmetic and functions false, and never raises."""
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("currentTxn.amount >", 20, "read"),
        ("currentTxn.amount ? 1", 19, "read"),
        ("", 1, "read"),
        ("(true", 6, "read"),
        ('currentTxn.note=="open', 18, "read"),
        ("true && currentTx.amount > 1", 9, "profile 'currentTx'"),
        ("currentTxn.amounts > 1", 1, "attribute of currentTxn 'amounts'"),
        ("currentCustomer.extField_x == 1", 1, "attribute"),
        ("currentTxn.note.startsWith('a')", 17, "function 'startsWith'"),
        ("currentTxn.note.contains", 17, "function"),
        ("currentTxn.note.contains()", 17, "takes 1"),
        ("currentTxn.note.matches('(')", 25, "regular"),
        ("currentTxn.note.matches(currentTxn.note)", 25, "written out"),
        ("maybe", 1, "word 'maybe'"),
        ("currentTxn.amount", 1, "whole"),
        ("currentTxn.extField_x", 1, "whole"),
        ("currentTxn.amount && true", 1, "truth value"),
        ("currentTxn.note + 1 == 2", 1, "number"),
        ("currentTxn.amount == 'many' || true", 19, "compared"),
        ("!" * 300 + "true", 202, "deeply"),
    ],
)
def test_a_bad_expression_is_refused_with_its_column(text: str, column: int, word: str) -> None:
    """Whatever is wrong is found when the expression is defined, and the complaint points at it."""
    with pytest.raises(LoyaltyError, match=rf"^column {column}:.*{word}"):
        parse(text, VOCABULARY)


def test_an_endless_expression_is_refused() -> None:
    """There is a limit on how long an expression may be."""
    with pytest.raises(LoyaltyError, match="characters"):
        parse("true" + " " * CHARACTERS_MAX, VOCABULARY)
