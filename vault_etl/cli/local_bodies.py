"""The declaration of an embedded stack, and message bodies that `local seed` sends: of a file, or made up."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl import settings
from vault_etl.base.errors import DataError, NotFoundError
from vault_etl.event.made_up_events import made_up_events, made_up_messages

if TYPE_CHECKING:
    from vault_etl.declaration.model import Declaration


def read_bodies(file: Path) -> list[str]:
    """The records as `ingest --file` reads them. Raises NotFoundError, and DataError for a record that is not UTF-8."""
    from vault_etl.event.known_names import KnownNames
    from vault_etl.ingest.sources.content_splitter import ContentSplitter

    is_stream = file == Path("-")
    try:
        content = sys.stdin.buffer.read() if is_stream else file.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}") from None
    splitter = ContentSplitter(
        "standard input" if is_stream else str(file), KnownNames.of(_declaration()), keep_going=True
    )
    bodies = []
    for number, record in splitter.feed(content) + splitter.finish():
        try:
            bodies.append(record.decode())
        except UnicodeDecodeError:
            message = f"record {number} is not UTF-8: a queue carries only text"
            raise DataError(message) from None
    return bodies


def made_up_bodies(count: int) -> Iterable[str]:
    """Make up events of the declaration in force. Those of the default look like the logins of people."""
    from vault_etl.declaration.read import read_declaration

    declaration, seed = _declaration(), secrets.randbits(32)
    if declaration == read_declaration(None):
        return made_up_events(count, seed=seed)
    return made_up_messages(declaration, count, seed=seed)


def checked_schema_file() -> str | None:
    """The absolute path of the declaration that the setting names. Raises ConfigurationError for a faulty one."""
    loaded, _ = settings.load(os.environ)
    if loaded.schema_file is None:
        return None
    _declaration()
    return str(Path(loaded.schema_file).absolute())


def _declaration() -> Declaration:
    from vault_etl.app.declaration import declaration_in_force

    loaded, _ = settings.load(os.environ)
    return declaration_in_force(loaded.schema_file)
