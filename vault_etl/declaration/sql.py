"""SQL by declaration: renders the text of a migration, or of a file of named blocks, for the declared events.

A template is plain SQL. A line that begins with `--%` repeats or leaves out lines (Jinja2: `--% for event in events`),
and `{{ … }}` is a name or a literal. So an editor and psql read a template as SQL with comments.
docs/adr/0049-sql-by-declaration.md says why.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql_fields import SqlField, SqlSearched, SqlTokens
from vault_etl.declaration.sql_names import SqlEvent, literal, prefixed
from vault_etl.declaration.templates import environment
from vault_etl.platform.resources import named_blocks, text_of

if TYPE_CHECKING:
    import jinja2

LINE: Final = "--%"
"""The beginning of a line with a statement of the template."""


@functools.cache
def sql_blocks(file: str, declaration: Declaration) -> Mapping[str, str]:
    """Return the named blocks of a file, as `blocks` does, rendered for the declaration."""
    return named_blocks(rendered(text_of(file), declaration))


def rendered(template: str, declaration: Declaration) -> str:
    """Render a text for the declaration, by `events` (`SqlEvent`), and what `sql_fields.py` has of its fields.

    A text without a `--%` and without a `{{` stays as it is. Raises jinja2.TemplateError for a fault of the template,
    which no declaration causes.
    """
    if LINE not in template and "{{" not in template:
        return template
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
