"""A file that a command is given, read in one piece."""

from __future__ import annotations

import sys
from pathlib import Path

from vault_etl.base.errors import NotFoundError


def read_bounded(path: Path | None, limit: int) -> bytes:
    """The content of a file, or of standard input for None: one byte more than `limit` if it is longer.

    Raises NotFoundError for one that cannot be read.
    """
    try:
        if path is None:
            if sys.stdin.isatty():
                sys.stderr.write("vault-etl: reads standard input; end it with Ctrl-D\n")
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        message = f"{path or 'standard input'} cannot be read: {error.strerror}"
        raise NotFoundError(message, hint="check the name of the file") from None
