"""SQL by declaration: renders the text of a migration, or of a file of named blocks, for the declared events.

A template is plain SQL. A line that begins with `--%` repeats or leaves out lines (Jinja2: `--% for event in events`),
and `{{ … }}` is a name or a literal. So an editor and psql read a template as SQL with comments.
docs/adr/0049-sql-by-declaration.md says why.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from vault_etl.declaration.model import Declaration
from vault_etl.platform.resources import named_blocks, text_of

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
    from vault_etl.declaration.sql_render import render  # noqa: PLC0415 - most commands render nothing

    return render(template, declaration)
