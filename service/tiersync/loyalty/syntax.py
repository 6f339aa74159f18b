"""Pure. The syntax of conditions: a grammar, the small tree it makes, and complaints that point at a column."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedInput, UnexpectedToken, v_args

from tiersync.errors import LoyaltyError
from tiersync.loyalty.vocabulary import Value

CHARACTERS_MAX = 4_000

GRAMMAR = r"""
    ?start: either
    ?either: every (OR every)*
    ?every: not_ (AND not_)*
    ?not_: NOT not_ -> unary | comparison
    ?comparison: sum (COMPARE sum)?
    ?sum: product ((PLUS | MINUS) product)*
    ?product: negative (TIMES negative)*
    ?negative: MINUS negative -> unary | postfix
    ?postfix: atom
        | postfix "." NAME -> dotted
        | postfix "." NAME "(" [either ("," either)*] ")" -> called
    ?atom: NUMBER -> number
        | STRING -> string
        | NAME -> name
        | "(" either ")"

    OR: "||"
    AND: "&&"
    NOT: "!"
    COMPARE: "==" | "!=" | ">=" | "<=" | "=" | ">" | "<"
    PLUS: "+"
    MINUS: "-"
    TIMES: "*" | "/" | "%"
    NAME: /[A-Za-z_][A-Za-z0-9_]*/
    NUMBER: /[0-9]+(\.[0-9]+)?/
    STRING: /"[^"]*"|'[^']*'/
    %ignore /\s+/
"""

CONSTANTS: Mapping[str, bool] = {"true": True, "false": False, "yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text or a truth value."""

    value: Value
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    """A bare word: a profile, on its way to an attribute."""

    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a profile."""

    profile: str
    name: str
    column: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function on a value."""

    subject: "Node"
    function: str
    arguments: tuple["Node", ...]
    column: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`!` or `-` before a value."""

    sign: str
    operand: "Node"
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    """Two values and what is between them."""

    sign: str
    left: "Node"
    right: "Node"
    column: int


Node: TypeAlias = Literal | Name | Attribute | Call | Unary | Binary


def read(text: str) -> Node:
    """The tree of a text; what does not parse is refused with its column."""
    if len(text) > CHARACTERS_MAX:
        raise LoyaltyError(f"an expression has at most {CHARACTERS_MAX} characters, this one has {len(text)}")
    try:
        tree: Any = _parser().parse(_flat(text))
    except UnexpectedInput as error:
        at_end = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        raise complaint(text, len(text) + 1 if at_end else error.column, "this cannot be read here") from error
    node: Node = tree
    return node


def complaint(text: str, column: int, what: str) -> LoyaltyError:
    """What is wrong with a text, and an arrow to where."""
    return LoyaltyError(f"column {column}: {what}\n  {_flat(text)}\n  {' ' * (column - 1)}^")


def _flat(text: str) -> str:
    """The text on one line, so that a column is a position."""
    return re.sub(r"\s", " ", text)


@v_args(inline=True)
class _Tree(Transformer[Token, Node]):
    def number(self, token: Token) -> Node:
        return Literal(Decimal(token), _column(token))

    def string(self, token: Token) -> Node:
        return Literal(str(token)[1:-1], _column(token))

    def name(self, token: Token) -> Node:
        constant = CONSTANTS.get(token.casefold())
        return Name(str(token), _column(token)) if constant is None else Literal(constant, _column(token))

    def dotted(self, subject: Node, token: Token) -> Node:
        if isinstance(subject, Name):
            return Attribute(subject.name, str(token), subject.column)
        return Call(subject, str(token), (), _column(token))

    def called(self, subject: Node, token: Token, *arguments: Node | None) -> Node:
        given = tuple(argument for argument in arguments if argument is not None)
        return Call(subject, f"{token}()", given, _column(token))

    def unary(self, sign: Token, operand: Node) -> Node:
        return Unary(str(sign), operand, _column(sign))

    def either(self, first: Node, *rest: Any) -> Node:
        return _chain(first, rest)

    every = comparison = sum = product = either


def _chain(tree: Node, rest: tuple[Any, ...]) -> Node:
    """Left to right: `a - b - c` is `(a - b) - c`."""
    for sign, right in zip(rest[::2], rest[1::2], strict=True):
        tree = Binary("==" if sign == "=" else str(sign), tree, right, _column(sign))
    return tree


def _column(token: Token) -> int:
    return token.column or 0


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", transformer=_Tree())
