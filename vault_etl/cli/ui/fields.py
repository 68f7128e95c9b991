"""`--field` and `--event`: names of the declaration, which are checked once it is read, and offered to a shell."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

import typer
import typer.models

from vault_etl.base.errors import UsageError, VaultEtlError
from vault_etl.crypto.fields import FieldName

if TYPE_CHECKING:
    from vault_etl.declaration.model import Declaration


def field_option(
    text: str, complete: Callable[[str], list[str]] | None = None
) -> typer.models.OptionInfo:
    """Return the option `--field` with this help, which names a declared field, or what `complete` offers."""
    text = f"{text} `vault-etl schema show` lists them."
    found: typer.models.OptionInfo = typer.Option(
        "--field",
        "-f",
        metavar="FIELD",
        autocompletion=complete or complete_fields,
        help=text,
    )
    return found


def named_fields(names: Iterable[str], known: Collection[FieldName]) -> tuple[FieldName, ...]:
    """Return the fields of these names, each once. Raises UsageError for a name that is not in `known`."""
    fields = tuple(FieldName(name) for name in dict.fromkeys(names))
    if any(field not in known for field in fields):
        message = "--field is not a field of this vault"
        raise UsageError(message, hint=f"its fields are {', '.join(known)}")
    return fields


def token_column(name: FieldName) -> str:
    """Return the column of the tokens of a field, or of a derived form of one, in what a command writes."""
    return f"masked_{name}".replace("/", "_")


def complete_fields(incomplete: str) -> list[str]:
    """Return the declared fields that begin like this; none for a declaration that cannot be read."""
    return _complete(incomplete, lambda declaration: declaration.field_names)


def complete_data_fields(incomplete: str) -> list[str]:
    """Return the fields of data keys that begin like this."""
    return _complete(incomplete, lambda declaration: declaration.data_fields)


def complete_searched(incomplete: str) -> list[str]:
    """Return the declared fields and derived forms, `ip/network`, that begin like this."""
    from vault_etl.declaration.searched import searched

    return _complete(incomplete, searched)


def complete_events(incomplete: str) -> list[str]:
    """Return the declared events that begin like this."""
    return _complete(incomplete, lambda declaration: [event.name for event in declaration.events])


def _complete(incomplete: str, names_of: Callable[[Declaration], Iterable[str]]) -> list[str]:
    from vault_etl.app.declaration import SETTING, declaration_in_force

    try:
        declaration = declaration_in_force(os.environ.get(SETTING))
    except VaultEtlError:
        return []
    return [name for name in names_of(declaration) if name.startswith(incomplete)]
