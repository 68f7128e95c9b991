"""From what the command line names to the lines that are loaded."""

from __future__ import annotations

import datetime as dt
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from vault_etl.adapters.line_content import FileContent, StreamContent
from vault_etl.adapters.line_splitter import LineSplitter
from vault_etl.adapters.lines_file import LinesFile
from vault_etl.core.digest import MAX_PREFIXED_BYTES
from vault_etl.core.record_id import first_millisecond
from vault_etl.errors import UsageError
from vault_etl.ports.clock import Clock

STANDARD_INPUT: Final = "-"


def open_lines(
    name: str, clock: Clock, *, source: str | None = None, sent: dt.date | None = None
) -> LinesFile:
    """The lines of the file `name`, or of standard input if that is `-`.

    A file is read to its end first: so a damaged one, or one with a line too long, loads nothing.
    Raises UsageError for `-` without a source, for a source that is empty, over 65,535 bytes or not
    UTF-8, and for a day before 1970; DataError; and what `FileContent` raises.
    """
    named = None if source is None else _named(source)
    sent_ms = 0 if sent is None else first_millisecond(sent)
    if sent_ms < 0:
        message = "--sent is a day before 1970"
        raise UsageError(message)
    if name == STANDARD_INPUT:
        if named is None:
            message = (
                "--file - needs --source: a name for what is read, the same if it is read again"
            )
            raise UsageError(message, hint="--source logins-2026-05")
        return LinesFile(StreamContent(0, "standard input"), clock, named, sent_ms)
    content = FileContent(name)
    try:
        digest, lines = _looked_through(content)
        content.rewind()
    except BaseException:
        content.close()
        raise
    return LinesFile(content, clock, named or digest, sent_ms, digest=digest, lines=lines)


def _named(source: str) -> bytes:
    try:
        name = source.encode()
    except UnicodeEncodeError:
        message = "--source is not UTF-8"
        raise UsageError(message) from None
    if not 1 <= len(name) <= MAX_PREFIXED_BYTES:
        message = f"--source is empty, or longer than {MAX_PREFIXED_BYTES:,} bytes"
        raise UsageError(message)
    return name


def _looked_through(content: FileContent) -> tuple[bytes, int]:
    """The SHA-256 of the whole content, and how many lines are not blank."""
    digest, splitter, lines = Hash(SHA256()), LineSplitter(content.name), 0
    while chunk := content.read():
        digest.update(chunk)
        lines += len(splitter.feed(chunk))
    return digest.finalize(), lines + len(splitter.finish())
