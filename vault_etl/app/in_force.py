"""The check of each command that needs the declaration in force."""

from __future__ import annotations

from typing import Final

from vault_etl.app.parts import Parts
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.platform.postgres import Database
from vault_etl.schema.postgres_versions import PostgresVersions

BETWEEN_RECORDS_S: Final = 1.0
"""Seconds between two comparisons of a command that goes through records: it lasts longer than a declaration may."""


def must_be_in_force(
    parts: Parts,
    *,
    may_be_before: bool = False,
    database: Database | None = None,
    within: float = 0.0,
) -> None:
    """Raise ConfigurationError unless the database has this command's declaration in force: the primary, or this one.

    With `may_be_before`, the version before will do, if the newest one only adds optional values. What was compared
    less than `within` seconds ago is not compared again.
    """
    now = parts.clock.monotonic()
    if now - parts.compared_at < within:
        return
    writer = WriterDeclaration.of(parts.declaration, may_be_before=may_be_before)
    PostgresVersions(database or parts.database).check(writer)
    parts.compared_at = now
