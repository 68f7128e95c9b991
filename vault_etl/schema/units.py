"""The units of a migration: its statements, and each function with the statements about it that follow.

This is not a parser of SQL. It finds the ends of statements, and reads the headers that functions have in
`migrations/` (docs/adr/0052-schemas-by-declaration.md says why it is not a library).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import rendered

_PIECE: Final = re.compile(
    r"""--[^\n]*|'[^']*'|"[^"]*"|(?P<tag>\$(?:[a-z_]\w*)?\$).*?(?P=tag)|(?P<end>;)|[^-'"$;]+|.""",
    re.DOTALL,
)
"""A part of SQL: a comment, a quoted text or name, the end of a statement, or what is between them."""
_LEAD: Final = re.compile(r"(?:\s+|--[^\n]*\n)*")
_NAME: Final = r'(?:vault_etl\.)?"?(?P<name>\w+)"?'
_CREATE: Final = re.compile(
    rf"CREATE (?:OR REPLACE |UNIQUE )?(?P<kind>FUNCTION|INDEX|SCHEMA|TABLE|TRIGGER|VIEW) {_NAME}"
)
_COMMAND: Final = re.compile(r"\w+")
_FUNCTION: Final = re.compile(
    r"\((?P<arguments>[^()]*)\)"
    r"(?:\s+RETURNS (?P<result>.*?))?\s+LANGUAGE "
    r"(?:[^$]* AS (?P<tag>\$\w*\$)(?P<body>.*)(?P=tag);)?",
    re.DOTALL,
)
_ABOUT: Final = re.compile(rf"(?:REVOKE ALL|GRANT EXECUTE|COMMENT) ON FUNCTION {_NAME}\(")
_DEFAULT: Final = re.compile(r" DEFAULT [^,]*")


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a migration, with the blank lines and comments before it. The texts of all units are the migration."""

    text: str
    kind: str
    """What is created, such as `table`, in lower case. Of another statement: the command, such as `grant`."""
    name: str
    """The name of what is created, without the schema and without quotes. Empty for other statements."""


@dataclass(frozen=True, slots=True)
class Function(Unit):
    """A function, and the REVOKE, GRANT and COMMENT about it that follow."""

    arguments: str
    """The arguments without defaults, in the words of `pg_get_function_identity_arguments`."""
    result: str
    """The type that is returned, in the words of `pg_get_function_result`."""
    source: str | None
    """The body (`prosrc`). None if the function has the form RETURN, which the server keeps in other words."""

    @property
    def signature(self) -> str:
        """The name and the arguments. A function with another signature or result cannot replace this one."""
        return f"{self.name}({self.arguments})"

    @property
    def replacing(self) -> str:
        """The text, as CREATE OR REPLACE."""
        return self.text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


@functools.cache
def units_of(folder: Path, declaration: Declaration) -> tuple[Unit, ...]:
    """The units of all migrations in a folder, rendered for the declaration, in order."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("[0-9]*.sql")))
    return tuple(unit for text in texts for unit in units(rendered(text, declaration)))


def units(sql: str) -> tuple[Unit, ...]:
    """Split the rendered text of a migration. Raises ValueError for a function whose header has another form."""
    found: list[Unit] = []
    for text in _statements(sql):
        statement = _bare(text)
        if found and (not statement or _is_about(found[-1], statement)):
            found[-1] = replace(found[-1], text=found[-1].text + text)
        else:
            found.append(_unit(text, statement))
    return tuple(found)


def _statements(sql: str) -> Iterator[str]:
    """Yield each statement with its semicolon, and what follows the last one."""
    begin = 0
    for piece in _PIECE.finditer(sql):
        if piece["end"]:
            yield sql[begin : piece.end()]
            begin = piece.end()
    if begin < len(sql):
        yield sql[begin:]


def _bare(text: str) -> str:
    """Return a statement without the blank lines and comments before it."""
    return _LEAD.sub("", text, count=1)


def _is_about(unit: Unit, statement: str) -> bool:
    about = _ABOUT.match(statement)
    return about is not None and isinstance(unit, Function) and about["name"] == unit.name


def _unit(text: str, statement: str) -> Unit:
    created = _CREATE.match(statement)
    if created is None:
        command = _COMMAND.match(statement)
        return Unit(text, command[0].lower() if command else "", "")
    kind, name = created["kind"].lower(), created["name"]
    if kind != "function":
        return Unit(text, kind, name)
    header = _FUNCTION.match(statement, created.end())
    if header is None:
        message = f"the function {name} has a header of another form"
        raise ValueError(message)
    arguments = _DEFAULT.sub("", _in_servers_words(header["arguments"]))
    result = _in_servers_words(header["result"] or "record").replace("TABLE (", "TABLE(")
    return Function(text, kind, name, arguments, result, header["body"])


def _in_servers_words(types: str) -> str:
    """Return names and types as PostgreSQL lists them: on one line, and `timestamptz` in full."""
    line = re.sub(r"(?<=\() | (?=\))", "", " ".join(types.split()))
    return re.sub(r"\btimestamptz\b", "timestamp with time zone", line)
