"""Statements with their values outside the text.

psycopg2 writes values into the text of a statement, and the server shows that text: in `pg_stat_activity`,
in the log of a failed or slow statement, and in `pg_stat_statements`. libpq's PQexecParams sends values
beside the text, which has $1 instead (docs/adr/0033-statement-texts.md).
"""

from __future__ import annotations

import ctypes
import datetime as dt
import functools
import io
import re
import uuid
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

import psycopg2
import psycopg2.extensions
from psycopg2 import _psycopg, sql

from vault_etl.platform.names import DEFAULT, Names

_NAMED: Final = re.compile(r"%\((\w+)\)s")
_DONE: Final = frozenset({1, 2})
"""PGRES_COMMAND_OK, PGRES_TUPLES_OK."""


class StatementRefusedError(psycopg2.DatabaseError):
    """The server refused the statement. `diag` has the constraint and the detail alone."""

    pgcode: str | None = None
    diag: Any = None

    def __init__(self, state: str, constraint: str | None, detail: str | None) -> None:
        super().__init__(f"SQLSTATE {state}")
        self.pgcode = state
        self.diag = SimpleNamespace(constraint_name=constraint, message_detail=detail)


class Cursor(psycopg2.extensions.cursor):
    """A cursor of one vault: statements name its schema and roles (`platform/names.py`).

    Each list is sent as one literal: lists of all lengths are one entry of `pg_stat_statements`.
    """

    names = DEFAULT

    @classmethod
    def of(cls, names: Names) -> type[Cursor]:
        """The class of the cursors of a vault with these names."""
        return cls if names == DEFAULT else type(cls.__name__, (cls,), {"names": names})

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:  # noqa: ANN401 - psycopg2's
        """Copy as psycopg2 does."""
        super().copy_expert(self._named(sql), file, size)

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002, ANN401 - psycopg2's
        """Execute a query as psycopg2 does, with each list as one literal."""
        if isinstance(vars, Mapping):
            vars = _with_texts(vars)  # noqa: A001 - psycopg2's
        super().execute(self._named(query), vars)

    def _named(self, query: Any) -> Any:  # noqa: ANN401 - a text, or a composed one
        """The query with the names of the vault. Literals of a composed query are values, and stay."""
        if self.names is DEFAULT:
            return query
        match query:
            case str():
                return self.names.put_into(query)
            case sql.SQL():
                return sql.SQL(self.names.put_into(query.string))
            case sql.Identifier(strings=(schema, *rest)) if rest:
                return sql.Identifier(self.names.put_into(schema), *rest)
            case sql.Composed():
                return sql.Composed([self._named(part) for part in query.seq])
        return query


def copy_of(cursor: psycopg2.extensions.cursor, query: str, values: Mapping[str, object]) -> bytes:
    """Return the rows of a query in COPY's binary format, with header and trailer. The values are in its text."""
    if isinstance(cursor, Cursor):
        query = cursor.names.put_into(query)
    statement = b"COPY (%s\n) TO STDOUT (FORMAT binary)" % cursor.mogrify(
        query, _with_texts(values)
    )
    rows = io.BytesIO()
    psycopg2.extensions.cursor.copy_expert(cursor, statement, rows)
    return rows.getvalue()


def _with_texts(values: Mapping[str, object]) -> dict[str, object]:
    """The values, with each list as one literal."""
    return {
        name: as_text(value) if isinstance(value, list) else value for name, value in values.items()
    }


def rows_of(
    cursor: psycopg2.extensions.cursor, statement: str, values: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """Run a statement with its values beside the text, and return its rows as psycopg2 does.

    The type of a value is what the statement takes in its place. Raises psycopg2.Error. Where libpq hides
    its symbols, psycopg2 sends the values in the text.
    """
    library = libpq()
    if library is None:
        cursor.execute(statement, values)
        return cursor.fetchall()
    if isinstance(cursor, Cursor):
        statement = cursor.names.put_into(statement)
    text, names = _numbered(statement)
    given = [as_text(values[name]) for name in names]
    if any("\0" in value for value in given if value is not None):
        message = "a text with NUL"
        raise psycopg2.ProgrammingError(message)
    encoded = (ctypes.c_char_p * len(given))(
        *(None if value is None else value.encode() for value in given)
    )
    result = library.PQexecParams(
        cursor.connection.pgconn_ptr, text.encode(), len(given), None, encoded, None, None, 0
    )
    try:
        return _rows(cursor, library, result)
    finally:
        library.PQclear(result)


def as_text(value: object) -> str | None:
    """Return a value in the text format of PostgreSQL."""
    match value:
        case None | str():
            return value
        case bool():
            return "t" if value else "f"
        case bytes() | bytearray() | memoryview():
            return f"\\x{bytes(value).hex()}"
        case list() | tuple():
            return f"{{{','.join(map(_element, value))}}}"
        case int() | float() | uuid.UUID() | dt.date():
            return str(value)
        case dt.timedelta():
            return f"{value.days} days {value.seconds}.{value.microseconds:06} seconds"
    raise psycopg2.ProgrammingError(type(value).__name__)


def _element(value: object) -> str:
    text = as_text(value)
    if text is None:
        return "NULL"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@functools.cache
def _numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """Return the statement with $1, $2, … in place of its names, and the names."""
    names = tuple(dict.fromkeys(_NAMED.findall(statement)))
    text = _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement)
    return text.replace("%%", "%"), names


def _rows(
    cursor: psycopg2.extensions.cursor, library: ctypes.CDLL, result: int | None
) -> list[tuple[Any, ...]]:
    if library.PQresultStatus(result) not in _DONE:
        state, constraint, detail = (
            found.decode(errors="replace")
            if (found := library.PQresultErrorField(result, ord(field)))
            else None
            for field in (SQLSTATE, CONSTRAINT, DETAIL)
        )
        if state is None:
            message = "the connection was lost"
            raise psycopg2.OperationalError(message)
        raise StatementRefusedError(state, constraint, detail)
    ours, known = cursor.connection.string_types, psycopg2.extensions.string_types
    types = [library.PQftype(result, column) for column in range(library.PQnfields(result))]
    casts = [ours.get(oid) or known.get(oid, psycopg2.STRING) for oid in types]
    return [
        tuple(
            None
            if library.PQgetisnull(result, row, column)
            else cast(library.PQgetvalue(result, row, column).decode(), cursor)
            for column, cast in enumerate(casts)
        )
        for row in range(library.PQntuples(result))
    ]


SQLSTATE, DETAIL, CONSTRAINT = b"C", b"D", b"n"
"""Fields of an error (PG_DIAG_…)."""

_POINTER, _INT, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p

_DECLARED: Final = {
    "PQsetErrorVerbosity": (_INT, [_POINTER, _INT]),
    "PQreset": (None, [_POINTER]),
    "PQexecParams": (
        _POINTER,
        [_POINTER, _TEXT, _INT, _POINTER, ctypes.POINTER(_TEXT), _POINTER, _POINTER, _INT],
    ),
    "PQresultStatus": (_INT, [_POINTER]),
    "PQresultErrorField": (_TEXT, [_POINTER, _INT]),
    "PQntuples": (_INT, [_POINTER]),
    "PQnfields": (_INT, [_POINTER]),
    "PQftype": (ctypes.c_uint, [_POINTER, _INT]),
    "PQgetisnull": (_INT, [_POINTER, _INT, _INT]),
    "PQgetvalue": (_TEXT, [_POINTER, _INT, _INT]),
    "PQclear": (None, [_POINTER]),
}
"""Functions of libpq-fe.h with their result and parameters."""


@functools.cache
def libpq() -> ctypes.CDLL | None:
    """Load libpq and declare the functions in use; None where its symbols are hidden."""
    # A lookup also searches the libraries that this one is linked with.
    library = ctypes.CDLL(_psycopg.__file__)
    try:
        for name, (result, parameters) in _DECLARED.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
    except AttributeError:
        return None
    return library
