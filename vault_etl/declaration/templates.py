"""Jinja2 for SQL and for YAML: a line that begins with a comment sign and `%` repeats or leaves out lines."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


@functools.cache
def environment(line: str, read: Callable[[str], str] | None = None) -> jinja2.Environment:
    """Return the environment of templates whose statements are lines that begin with `line`, such as `--%`.

    `{{ … }}` is a value, and `{## … ##}` a comment that is left out. A name that the template is not given is an error.
    `{%% include "…" %%}` is the text of another template, which `read` returns for its name.
    """
    import jinja2  # noqa: PLC0415 - 20 ms, which `--help` need not wait for

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(read) if read else None,
        autoescape=False,  # noqa: S701 - SQL and YAML, whose names and literals quote themselves
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        line_statement_prefix=line,
        block_start_string="{%%",
        block_end_string="%%}",
        comment_start_string="{##",
        comment_end_string="##}",
    )
