"""The rendering of SQL that has statements of a template or names in it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import LINE
from vault_etl.declaration.sql_fields import SqlField, SqlSearched, SqlTokens
from vault_etl.declaration.sql_names import SqlEvent, literal, prefixed
from vault_etl.declaration.templates import environment

if TYPE_CHECKING:
    import jinja2


def render(template: str, declaration: Declaration) -> str:
    """Render a text, as `sql.rendered` does."""
    events = tuple(SqlEvent.of(event) for event in declaration.events)
    fields = tuple(SqlField.of(field, events) for field in declaration.fields)
    tokens = SqlTokens.all_of(fields)
    return (
        _environment()
        .from_string(template)
        .render(events=events, fields=fields, tokens=tokens, searched=SqlSearched.all_of(tokens))
    )


@functools.cache
def _environment() -> jinja2.Environment:
    made = environment(LINE)
    made.filters["literal"] = literal
    made.filters["prefixed"] = prefixed
    return made
