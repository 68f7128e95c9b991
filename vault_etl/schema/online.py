"""Online migrations: files of statements that run a partition at a time, outside of a single transaction.

A file `NNNN_name.online.sql` is plain SQL. In one transaction the file has the same result, and it runs that way
where its tables are small. Each statement has one of three forms (docs/adr/0038-online-migrations.md):

    CREATE INDEX name ON vault_etl.some_table …;
    ALTER TABLE vault_etl.some_table ADD CONSTRAINT name CHECK (…);
    UPDATE vault_etl.some_table SET …
    WHERE the condition of the remaining rows;

A statement ends with a semicolon at the end of a line, a comment is a line of its own, and the WHERE of an UPDATE
begins a line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from vault_etl.base.errors import ConfigurationError

SUFFIX: Final = ".online"
"""The end of the name of an online migration."""

_LONGEST_NAME: Final = 63
"""Bytes of the longest name in Postgres."""
_DIGEST: Final = 8

_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)
_INDEX: Final = re.compile(
    r"CREATE INDEX (?P<name>[a-z_0-9]+) ON vault_etl\.\"?(?P<table>[a-z_0-9]+)\"?\s+(?P<rest>.+)",
    re.DOTALL,
)
_CONSTRAINT: Final = re.compile(
    r"ALTER TABLE vault_etl\.(?P<table>[a-z_0-9]+)\s+ADD CONSTRAINT (?P<name>[a-z_0-9]+)\s+(?P<check>CHECK \(.+\))",
    re.DOTALL,
)
_FILL: Final = re.compile(
    r"UPDATE vault_etl\.(?P<table>[a-z_0-9]+)\s+SET (?P<changes>.+?)\n\s*WHERE (?P<left>.+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Index:
    """An index of the table and of each partition. `rest`: the text from the method or the columns on."""

    table: str
    name: str
    rest: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of the table and of each partition. `check`: CHECK (…)."""

    table: str
    name: str
    check: str


@dataclass(frozen=True, slots=True)
class Fill:
    """An update of rows. `left`: the condition of rows that do not have the values yet."""

    table: str
    changes: str
    left: str


Statement = Index | Constraint | Fill


def parse(name: str, text: str) -> Sequence[Statement]:
    """Parse the statements of a file. Raises ConfigurationError if a statement has another form."""
    *parts, rest = _END.split(_COMMENT.sub("", text))
    statements = [_statement(part.strip()) for part in parts]
    found = [statement for statement in statements if statement is not None]
    if rest.strip() or len(found) < len(statements) or not found:
        number = next((n for n, s in enumerate(statements, 1) if s is None), len(statements) + 1)
        message = f"migration {name} cannot run online: statement {number}"
        raise ConfigurationError(message, hint="CONTRIBUTING.md, Migrations, has the forms")
    return found


def index_in(statement: str) -> Index | None:
    """Parse a CREATE INDEX; None for any other statement."""
    found = _INDEX.fullmatch(statement)
    return Index(found["table"], found["name"], found["rest"]) if found else None


def _statement(text: str) -> Statement | None:
    if index := index_in(text):
        return index
    if found := _CONSTRAINT.fullmatch(text):
        return Constraint(found["table"], found["name"], found["check"])
    if found := _FILL.fullmatch(text):
        return Fill(found["table"], found["changes"], found["left"])
    return None


def index_of(index: Index, partition: str) -> str:
    """The name of a partition's index, in 63 bytes: the name of the index with the partition in place of the table."""
    name = f"{partition}_{index.name.removeprefix(f'{index.table}_')}"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    short = name.encode()[: _LONGEST_NAME - _DIGEST - 1].decode(errors="ignore")
    return f"{short}_{digest}"


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """The next action on a table or on one of its partitions."""

    statement: str
    """The statement of the step, such as `index user_logins_user_id`."""
    table: str
    action: str
    """The action in words: `build`, `attach`, `validate`, `fill`."""
    bytes: int = field(compare=False)
    """Size of the table without its indexes. The table may grow during the step."""

    def __str__(self) -> str:
        return f"{self.statement}, {self.table}: {self.action}"
