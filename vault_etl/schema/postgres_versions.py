"""The declarations of a vault on Postgres: which one is in force, and all that were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2.extensions

from vault_etl.base.errors import LoginDeniedError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import declaration_of
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("schema/versions.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")


@dataclass(frozen=True, slots=True)
class VersionInForce:
    """The newest version: its number, its digest, and the digest of the one before if its workers may go on writing."""

    version: int
    digest: bytes
    admits: bytes | None


class PostgresVersions:
    """The catalogue. Every role reads digests; the role audit and the owner read documents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, writer: WriterDeclaration) -> None:
        """Raise ConfigurationError unless a command with this declaration may write."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["state"], {"declaration": writer.digest})
            ((state,),) = cursor.fetchall() or [(None,)]
        writer.check(state)

    def in_force(self) -> VersionInForce | None:
        """Return the newest version; None before the first `migrate`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            if not _are_there(cursor):
                return None
            cursor.execute(_SQL["in_force"])
            ((version, digest, admits),) = cursor.fetchall()
        return VersionInForce(version, bytes(digest), None if admits is None else bytes(admits))

    def all(self) -> Sequence[Declaration]:
        """Return every declaration, the first one first; none before the first `migrate`.

        Raises DeniedError for a login that has neither the role audit nor acts as the owner.
        """
        try:
            with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
                return all_versions(cursor) if _are_there(cursor) else []
        except LoginDeniedError:  # the login of the owner may have its rights by SET ROLE alone
            from vault_etl.audit.postgres_owner import as_owner  # noqa: PLC0415 - of few commands

            with as_owner(self._database, "schema") as cursor:
                return all_versions(cursor)


def _are_there(cursor: psycopg2.extensions.cursor) -> bool:
    """Tell whether the table exists, and reading it runs no code of the owner."""
    cursor.execute(_MIGRATIONS["has_versions"])
    return cursor.fetchone() == (True,)


def all_versions(cursor: psycopg2.extensions.cursor) -> Sequence[Declaration]:
    """Return every declaration, the first one first."""
    cursor.execute(_SQL["documents"])
    return [
        declaration_of(json.loads(document), {}, f"version {version}")
        for version, document in cursor.fetchall()
    ]
