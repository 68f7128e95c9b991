"""The columns and constraints of a CREATE TABLE. It reads the SQL of this repository, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_PIECE: Final = re.compile(r"""--[^\n]*|'[^']*'|"[^"]*"|[(),]""")
_TABLE: Final = re.compile(r"^CREATE TABLE vault_etl\.(?P<table>\S+) \(", re.MULTILINE)
_LEAD: Final = re.compile(r"\A(?:\s+|--[^\n]*\n)+")
_CONSTRAINT: Final = re.compile(r"CONSTRAINT (?P<name>\S+) (?P<text>.*)", re.DOTALL)
_COLUMN: Final = re.compile(
    r'(?P<name>[a-z_0-9]+|"[a-z_0-9]+") (?P<type>[a-z]+(?:\[\])?)(?P<rest>.*)', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its name as SQL has it, its type, and what it must be."""

    name: str
    type: str
    not_null: bool
    check: str | None
    """`CHECK (…)`; None: no such limit."""
    check_name: str


@dataclass(frozen=True, slots=True)
class MadeTable:
    """A table. `rest`: the elements that are neither a column nor a constraint with a name."""

    name: str
    """The name as SQL has it, without the schema."""
    columns: Mapping[str, TableColumn]
    constraints: Mapping[str, str]
    rest: Sequence[str]

    @classmethod
    def of(cls, statement: str) -> MadeTable | None:
        """Parse a CREATE TABLE; None if it has no columns of its own, as a partition."""
        found = _TABLE.search(statement)
        if found is None:
            return None
        columns, constraints, rest = dict[str, TableColumn](), dict[str, str](), list[str]()
        for element in _elements(statement, found.end()):
            if named := _CONSTRAINT.fullmatch(element):
                constraints[named["name"]] = named["text"]
            elif column := _COLUMN.fullmatch(element):
                columns[column["name"]] = _column(found["table"], column)
            else:
                rest.append(element)
        return cls(found["table"], columns, constraints, rest)


def _elements(statement: str, begin: int) -> Iterator[str]:
    """Yield what is between the commas of the parentheses that begin before `begin`."""
    depth = 1
    for piece in _PIECE.finditer(statement, begin):
        depth += {"(": 1, ")": -1}.get(piece[0], 0)
        if (piece[0] == "," and depth == 1) or depth == 0:
            yield _LEAD.sub("", statement[begin : piece.start()]).rstrip()
            begin = piece.end()
        if depth == 0:
            return


def _column(table: str, found: re.Match[str]) -> TableColumn:
    """Parse a column. PostgreSQL names a CHECK without a name `TABLE_COLUMN_check`."""
    rest, check, condition = found["rest"].partition(" CHECK ")
    name = rest.partition(" CONSTRAINT ")[2] or f"{table}_{found['name']}_check"
    return TableColumn(
        found["name"],
        found["type"],
        " NOT NULL" in rest,
        f"CHECK {condition}" if check else None,
        name,
    )
