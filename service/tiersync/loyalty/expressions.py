"""Pure. The condition language: text to a small tree, checked against a vocabulary, evaluated over profiles.

    currentTxn.extField_member_card_swiped=="No" || currentTxn.extField_member_card_swiped.isNull()

Whatever can be known before an event comes is refused when the expression is defined, with the column: what does not
parse, what nobody knows, what does not fit together, and a whole that is not a truth value.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias, assert_never

from tiersync.errors import LoyaltyError
from tiersync.loyalty.syntax import CONSTANTS, Attribute, Binary, Call, Literal, Name, Node, Unary, complaint, read
from tiersync.loyalty.vocabulary import (
    DATE_PARTS,
    FUNCTIONS,
    NULL_SAFE,
    Type,
    Value,
    Vocabulary,
    alike,
    as_number,
)

DEPTH_MAX = 200

Profiles: TypeAlias = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was checked; what it is true of is asked by `holds`."""

    text: str
    tree: Node

    def holds(self, profiles: Profiles) -> bool:
        """Whether it is true of these profiles; a profile or attribute that was not passed is null."""
        return evaluate(self.tree, profiles) is True


def parse(text: str, vocabulary: Vocabulary) -> Expression:
    """Read a condition; whatever is wrong with it is refused with its column."""
    tree = read(text)
    if _Checker(text, vocabulary).type_of(tree) is not Type.TRUTH:
        raise complaint(text, 1, "the whole must be true or false: compare it with something")
    return Expression(text, tree)


class _Checker:
    """Finds the type of every part, and complains about what has none."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._vocabulary = vocabulary

    def type_of(self, node: Node, depth: int = 0) -> Type:
        if depth > DEPTH_MAX:
            raise complaint(self._text, node.column, "this is nested too deeply")
        match node:
            case Literal(value):
                return _literal_type(value)
            case Name(name):
                raise self._unknown(node, "word", name, self._vocabulary)
            case Attribute():
                return self._attribute(node)
            case Call():
                return self._call(node, depth)
            case Unary(sign, operand):
                wanted = Type.TRUTH if sign == "!" else Type.NUMBER
                return self._expect(operand, wanted, depth)
            case Binary():
                return self._binary(node, depth)
            case _:
                assert_never(node)

    def _attribute(self, node: Attribute) -> Type:
        profile = self._vocabulary.get(node.profile)
        if profile is None:
            raise self._unknown(node, "profile", node.profile, self._vocabulary)
        found = profile.type_of(node.name)
        if found is None:
            raise self._unknown(node, f"attribute of {node.profile}", node.name, profile.attributes)
        return found

    def _call(self, node: Call, depth: int) -> Type:
        name = node.function.removesuffix("()")
        function = FUNCTIONS.get(name)
        if function is None or (name == node.function and name not in DATE_PARTS):
            raise self._unknown(node, "function", name, FUNCTIONS)
        self._expect(node.subject, function.on, depth)
        if len(node.arguments) != len(function.takes):
            raise complaint(self._text, node.column, f"{name} takes {len(function.takes)} values")
        for argument, wanted in zip(node.arguments, function.takes, strict=True):
            self._expect(argument, wanted, depth)
            if name == "matches":
                self._check_pattern(argument)
        return function.makes

    def _check_pattern(self, node: Node) -> None:
        if not isinstance(node, Literal):
            raise complaint(self._text, node.column, "a pattern must be written out")
        try:
            re.compile(str(node.value))
        except re.error as error:
            raise complaint(self._text, node.column, f"this is no regular expression: {error}") from error

    def _binary(self, node: Binary, depth: int) -> Type:
        if node.sign in {"||", "&&"}:
            self._expect(node.left, Type.TRUTH, depth)
            return self._expect(node.right, Type.TRUTH, depth)
        if node.sign in _ARITHMETIC:
            self._expect(node.left, Type.NUMBER, depth)
            self._expect(node.right, Type.NUMBER, depth)
            return Type.NUMBER
        left, right = self.type_of(node.left, depth + 1), self.type_of(node.right, depth + 1)
        if not (left.accepts(right) or right.accepts(left) or _says_truth(node)):
            raise complaint(self._text, node.column, f"{left} cannot be compared with {right}")
        return Type.TRUTH

    def _expect(self, node: Node, wanted: Type, depth: int) -> Type:
        found = self.type_of(node, depth + 1)
        loose = found is Type.ANY and wanted is Type.TRUTH
        if not wanted.accepts(found) or loose:
            raise complaint(self._text, node.column, f"here must stand {wanted}, this is {found}")
        return wanted

    def _unknown(self, node: Node, what: str, name: str, known: Mapping[str, object]) -> LoyaltyError:
        return complaint(self._text, node.column, f"unknown {what} {name!r}; there are {', '.join(sorted(known))}")


def _literal_type(value: Value) -> Type:
    if isinstance(value, bool):
        return Type.TRUTH
    return Type.NUMBER if isinstance(value, Decimal) else Type.TEXT


def _says_truth(node: Binary) -> bool:
    """`isGroupMember=="Yes"` is written in the field as often as `==Yes`."""
    texts = [side.value for side in (node.left, node.right) if isinstance(side, Literal)]
    return any(isinstance(text, str) and text.casefold() in CONSTANTS for text in texts)


_ARITHMETIC: Mapping[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def evaluate(node: Node, profiles: Profiles) -> Value:
    """The value of a checked tree; what cannot be computed is null."""
    match node:
        case Literal(value):
            return value
        case Name():
            return None
        case Attribute(profile, name):
            return profiles.get(profile, {}).get(name)
        case Call(subject, function, arguments):
            return _call(function.removesuffix("()"), [evaluate(part, profiles) for part in (subject, *arguments)])
        case Unary("!", operand):
            return evaluate(operand, profiles) is not True
        case Unary(_, operand):
            return _compute("-", Decimal(0), evaluate(operand, profiles))
        case Binary():
            return _binary(node, profiles)
        case _:
            assert_never(node)


def _binary(node: Binary, profiles: Profiles) -> Value:
    left = evaluate(node.left, profiles)
    if node.sign == "||":
        return left is True or evaluate(node.right, profiles) is True
    if node.sign == "&&":
        return left is True and evaluate(node.right, profiles) is True
    right = evaluate(node.right, profiles)
    return _compute(node.sign, left, right) if node.sign in _ARITHMETIC else _compare(node.sign, left, right)


def _call(name: str, values: list[Value]) -> Value:
    if name not in NULL_SAFE and None in values:
        return None
    return FUNCTIONS[name].compute(*values)


def _compute(sign: str, left: Value, right: Value) -> Value:
    first, second = as_number(left), as_number(right)
    if first is None or second is None:
        return None
    try:
        return _ARITHMETIC[sign](first, second)
    except ArithmeticError:
        return None


def _compare(sign: str, left: Value, right: Value) -> bool:
    first, second = alike(left, right)
    if first is None or second is None:
        return sign == "!="
    return _COMPARISONS[sign](first, second)
