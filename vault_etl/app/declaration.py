"""The declaration in force: the file that the setting names, or the default."""

from __future__ import annotations

from vault_etl.base.errors import ConfigurationError, VaultEtlError
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
