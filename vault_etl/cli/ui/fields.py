"""`--field`: names of the declaration, which are checked once it is read, and offered to a shell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import typer
import typer.models

from vault_etl.base.errors import UsageError, VaultEtlError
from vault_etl.crypto.fields import QUARANTINE, FieldName


def field_option(text: str, *, of_data_keys: bool = False) -> typer.models.OptionInfo:
    """Return the option `--field` with this help. `of_data_keys` lets it name `quarantine` too."""
    complete = complete_data_fields if of_data_keys else complete_personal_fields
    found: typer.models.OptionInfo = typer.Option(
        "--field", "-f", metavar="FIELD", autocompletion=complete, help=text
    )
    return found


def named_fields(names: Iterable[str], known: Sequence[FieldName]) -> tuple[FieldName, ...]:
    """Return the fields of these names, each once. Raises UsageError for a name that is not in `known`."""
    fields = tuple(FieldName(name) for name in dict.fromkeys(names))
    if any(field not in known for field in fields):
        message = "--field is not a field of this vault"
        raise UsageError(message, hint=f"its fields are {', '.join(known)}")
    return fields


def complete_data_fields(incomplete: str) -> list[str]:
    """Return the fields of data keys that begin like this; none for a declaration that cannot be read."""
    return [name for name in _data_fields() if name.startswith(incomplete)]


def complete_personal_fields(incomplete: str) -> list[str]:
    """Return the declared fields that begin like this; none for a declaration that cannot be read."""
    return [name for name in complete_data_fields(incomplete) if name != QUARANTINE]


def _data_fields() -> Sequence[FieldName]:
    from vault_etl.app.declaration import SETTING, declaration_in_force

    try:
        return declaration_in_force(os.environ.get(SETTING)).data_fields
    except VaultEtlError:
        return []
