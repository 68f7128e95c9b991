"""The declared event of a set."""

from __future__ import annotations

from vault_etl.archives.manifest import SetManifest
from vault_etl.base.errors import ConfigurationError, DataError
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.declaration.sql_names import SqlEvent


def event_of(manifest: SetManifest, declaration: Declaration) -> DeclaredEvent:
    """Return the event of a set. Columns that the set does not have were declared later: their values are NULL.

    Raises ConfigurationError if the declaration does not have the event, or one of the columns: an erasure or a
    rotation would pass over it. Raises DataError if the set has no subject, day or generation.
    """
    names = [column.name for column in manifest.columns]
    event = next((each for each in declaration.events if each.name == manifest.event), None)
    declared = {name.raw for name in SqlEvent.of(event).columns} if event else set[str]()
    if event is None:
        message = f"the set is of the event {manifest.event}, which is not declared"
    elif other := [name for name in names if name not in declared]:
        message = f"the set has columns that are not declared: {', '.join(other)}"
    elif missing := {event.subject.name, event.day.name, "token_generation"}.difference(names):
        message = f"the set has no column {', '.join(sorted(missing))}"
        raise DataError(message, hint="another program made it: take the set from a backup of it")
    else:
        return event
    raise ConfigurationError(
        message,
        hint="is VAULT_ETL_SCHEMA_FILE the file of this vault? Values that are not taken any more are retired in it",
    )
