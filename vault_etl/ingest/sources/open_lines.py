"""From what the command line names to the lines that are loaded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from vault_etl.base.errors import UsageError
from vault_etl.crypto.digest import MAX_PREFIXED_BYTES
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.ingest.sources.known import FileSources
from vault_etl.ingest.sources.line_checks import NamedLoad, SameAgain
from vault_etl.ingest.sources.line_content import FileContent, LineContent, StreamContent
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.platform.clock import Clock

STANDARD_INPUT: Final = "-"

_WAIT_S: Final = 5.0


class LineOpener:
    """Opens files and streams, whose sources are found again by digests under the source key."""

    def __init__(self, clock: Clock, sources: FileSources, key: Callable[[], KeyMaterial]) -> None:
        self._clock = clock
        self._sources = sources
        self._key = key

    def open(
        self,
        name: str,
        *,
        source: str | None = None,
        sent: dt.date | None = None,
        keep_going: bool = False,
    ) -> LinesFile:
        """The records of the file `name`, or of standard input if that is `-`, as `ContentSplitter` reads it.

        A file is read to its end first: so a damaged one, one with a line too long, or one that does
        not begin with what its source holds, loads nothing. Raises UsageError for `-` without a
        source, for a source that is empty, over 65,535 bytes or not UTF-8, and for a day before
        1970; DataError; and what `FileContent` and the database raise.
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
            stream = StreamContent(0, "standard input")
            load = NamedLoad(stream.name, self._sources, self._key(), named)
            splitter = ContentSplitter(stream.name, load.digest, keep_going=keep_going)
            return LinesFile(stream, self._clock, load.source_id, sent_ms, load, splitter)
        content = FileContent(name)
        try:
            return self._looked_through(content, named, sent_ms, keep_going=keep_going)
        except BaseException:
            content.close()
            raise

    def _looked_through(
        self, content: FileContent, named: bytes | None, sent_ms: int, *, keep_going: bool
    ) -> LinesFile:
        key = self._key()
        load = NamedLoad(content.name, self._sources, key, named) if named else None
        digest = load.digest if load else LineDigest(key)
        again = SameAgain(content.name, LineDigest(key), load)
        splitter, lines = ContentSplitter(content.name, digest, keep_going=keep_going), 0
        while chunk := content.read():
            lines += len(splitter.feed(chunk))
            again.look(digest)
        lines += len(splitter.finish())
        again.look(digest)
        if load:
            load.looked_through()
            source_id = load.source_id
        else:
            source_id = self._sources.find(digest.value()).source_id
        content.rewind()
        splitter = ContentSplitter(content.name, again.digest, keep_going=keep_going)
        return LinesFile(content, self._clock, source_id, sent_ms, again, splitter, lines=lines)


def records_of(name: str, *, keep_going: bool) -> Iterator[list[tuple[int, bytes]]]:
    """The records of a file or of standard input, piece by piece, each with its number. Raises as `open`."""
    content: LineContent = (
        StreamContent(0, "standard input") if name == STANDARD_INPUT else FileContent(name)
    )
    splitter = ContentSplitter(content.name, keep_going=keep_going)
    with closing(content):
        while (chunk := content.read(_WAIT_S)) != b"":
            yield splitter.feed(chunk) if chunk else []
        yield splitter.finish()


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
