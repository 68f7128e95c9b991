"""Arguments that are empty: a variable that is not set, most often, and never a value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vault_etl.base.errors import UsageError

_EMPTY: Final = re.compile(r"(?:(--[a-z][a-z-]*)=)?\s*")


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is empty or white space: for each command, before it is parsed.

    No option of ours takes an empty value, and an empty one must not become another command:
    `ingest --file ""` would drain the queue.
    """
    for number, argument in enumerate(arguments):
        if not (found := _EMPTY.fullmatch(argument)):
            continue
        before = arguments[number - 1] if number else ""
        name = found[1] or (before if re.fullmatch(r"--?[a-z][a-z-]*", before) else None)
        where = f"the argument of {name}" if found[1] else f"the argument after {name}"
        message = f"{where if name else f'argument {number + 1}'} is empty"
        raise UsageError(message, hint="is a variable not set? give a value, or leave it out")
