"""The declaration in force: the file that the setting names, or the default; and what is built for it so far."""

from __future__ import annotations

from vault_etl.base.errors import ConfigurationError, VaultEtlError
from vault_etl.crypto.fields import PERSONAL_FIELDS
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.read import read_declaration

SETTING = "VAULT_ETL_SCHEMA_FILE"


def declaration_in_force(path: str | None) -> Declaration:
    """Return the declaration in the file at `path`, or the default. Raises ConfigurationError for a faulty file."""
    try:
        return read_declaration(path)
    except VaultEtlError as error:
        message = f"{SETTING}: {error}"
        raise ConfigurationError(message, hint=error.hint) from None


def must_be_archivable(declaration: Declaration) -> None:
    """Raise ConfigurationError for personal values that archives have no place for."""
    values = [value.name for event in declaration.events for value in event.personal]
    if values == list(PERSONAL_FIELDS):
        return
    message = f"an archive has the personal values {' and '.join(PERSONAL_FIELDS)} alone so far"
    raise ConfigurationError(message, hint="a month of other values can be detached, and dropped")
