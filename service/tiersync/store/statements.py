"""Statements of the hot path, compiled once for each database and handed to the driver as they are.

SQLAlchemy looks at every parameter of every row anew, and writes out every list of ids; for the few rows of a commit
that costs more than the database does.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Text,
    TypeDecorator,
    bindparam,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """`values` picks a row's parameters in the driver's order; `processors` turn some into the driver's types."""

    text: str
    values: Callable[[Row], tuple[Any, ...]]
    constants: Row
    processors: Sequence[tuple[int, Callable[[Any], Any]]]

    def parameters(self, row: Row) -> tuple[Any, ...]:
        values = self.values({**self.constants, **row} if self.constants else row)
        if not self.processors:
            return values
        processed = list(values)
        for place, process in self.processors:
            processed[place] = process(processed[place])
        return tuple(processed)


class Many:
    """Runs one statement for many rows: mappings from the names of its parameters, each row with the same ones."""

    def __init__(self, build: Callable[[str], Executable]) -> None:
        """`build` makes the statement in the dialect of that name."""
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def __call__(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it; not at all without a row."""
        if rows:
            dialect = connection.dialect
            compiled = self._compiled.get(dialect.name)
            if compiled is None:
                compiled = self._compiled[dialect.name] = _compile(self._build(dialect.name), dialect, rows[0])
            connection.exec_driver_sql(compiled.text, [compiled.parameters(row) for row in rows])


def _compile(statement: Executable, dialect: Dialect, row: Row) -> _Compiled:
    compiled = statement.compile(dialect=dialect, column_keys=list(row))  # type: ignore[attr-defined]
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - what a statement compiles to
    names = compiled.positiontup
    assert names is not None  # noqa: S101 - both drivers number their parameters
    assert len(names) > 1  # noqa: S101 - of one name `itemgetter` would make no tuple
    return _Compiled(
        text=str(compiled),
        values=itemgetter(*names),
        constants={name: compiled.params[name] for name in names if name not in row},
        processors=[
            (place, process)
            for place, name in enumerate(names)
            if (process := _processor(compiled.binds[name], dialect)) is not None
        ],
    )


def _processor(parameter: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    return parameter.type.dialect_impl(dialect).bind_processor(dialect)


class _Ids(TypeDecorator[Sequence[int]]):
    """Many ids in one parameter: an array, or JSON where there are no arrays."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(BigInteger()) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        ids = list(value or ())
        return ids if dialect.name == "postgresql" else json.dumps(ids)


class _Keys(TypeDecorator[Sequence[tuple[int, ...]]]):
    """Many tuples of ids in one parameter, as JSON."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[tuple[int, ...]] | None, _dialect: Dialect) -> str:
        return json.dumps(list(value or ()))


class among(FunctionElement[Any]):  # noqa: N801 - reads like SQLAlchemy's own
    """Is one of the ids in the parameter of that name: one statement, however many they are.

    For primary keys: of other columns SQLite knows too little then to choose the right index. It has no boolean type,
    because SQLAlchemy would write `= 1` behind it, and SQLite would look at every row.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[int], name: str) -> None:
        """`name` is bound to a collection of integers when the statement runs."""
        super().__init__(column, bindparam(name, type_=_Ids()))


class among_keys(FunctionElement[Any]):  # noqa: N801
    """Are together one of the tuples of integers in the parameter of that name."""

    inherit_cache = True

    def __init__(self, *columns: ColumnElement[int], name: str) -> None:
        """Tuples with as many integers as there are columns, in their order."""
        super().__init__(*columns, bindparam(name, type_=_Keys()))


@compiles(among, "sqlite")
def _among_on_sqlite(element: among, compiler: SQLCompiler, **more: Any) -> str:
    column, ids = (compiler.process(clause, **more) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - a column and the name of a parameter


@compiles(among, "postgresql")
def _among_on_postgresql(element: among, compiler: SQLCompiler, **more: Any) -> str:
    column, ids = (compiler.process(clause, **more) for clause in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(among_keys, "sqlite")
def _among_keys_on_sqlite(element: among_keys, compiler: SQLCompiler, **more: Any) -> str:
    *columns, keys = (compiler.process(clause, **more) for clause in element.clauses)
    parts = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
    return f"({', '.join(columns)}) IN (SELECT {parts} FROM json_each({keys}))"  # noqa: S608


@compiles(among_keys, "postgresql")
def _among_keys_on_postgresql(element: among_keys, compiler: SQLCompiler, **more: Any) -> str:
    *columns, keys = (compiler.process(clause, **more) for clause in element.clauses)
    parts = ", ".join(f"(value ->> {place})::bigint" for place in range(len(columns)))
    return f"({', '.join(columns)}) IN (SELECT {parts} FROM jsonb_array_elements(({keys})::jsonb))"  # noqa: S608
