"""The catalogue beside the migrations: `migrate` records the first declaration, and refuses any other later."""

from __future__ import annotations

from typing import Final

import psycopg2.extensions

from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.document import digest_of, document_of
from vault_etl.declaration.model import Declaration
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("schema/migrations.sql")
_VERSIONS: Final = blocks("schema/versions.sql")


def record_first(cursor: psycopg2.extensions.cursor, declaration: Declaration) -> None:
    """Record the declaration of a new vault, as the owner."""
    cursor.execute(_SQL["has_versions"])
    if cursor.fetchone() == (True,):
        cursor.execute(_SQL["act_as_owner"])
        values = {"document": document_of(declaration).decode(), "digest": digest_of(declaration)}
        cursor.execute(_SQL["first_version"], values)
        cursor.execute(_SQL["act_as_login"])


def must_be_in_force(cursor: psycopg2.extensions.cursor, declaration: Declaration) -> None:
    """Raise ConfigurationError if the vault has another declaration. A new database has none yet."""
    cursor.execute(_SQL["has_versions"])
    ((is_plain,),) = cursor.fetchall()
    if is_plain is None:
        return
    if not is_plain:
        message = "`schema_versions` is not the table that `migrate` made"
        hint = "an owner changed it: check its definition before you read it"
        raise ConfigurationError(message, hint=hint)
    cursor.execute(_VERSIONS["in_force"])
    if (found := cursor.fetchone()) and bytes(found[1]) != digest_of(declaration):
        message = "the vault has another declaration than this one"
        hint = (
            "`vault-etl schema apply FILE` changes it; VAULT_ETL_SCHEMA_FILE names the one in force"
        )
        raise ConfigurationError(message, hint=hint)
