"""From what the command line names to the lines that are loaded."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.base.errors import DataError, OtherContentError, UsageError
from vault_etl.crypto.digest import MAX_PREFIXED_BYTES
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.crypto.source_digest import LineDigest, name_digest
from vault_etl.ingest.sources.content import FileContent, LineContent, StreamContent
from vault_etl.ingest.sources.content_splitter import ContentSplitter
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


@dataclass(frozen=True, slots=True)
class FileSource:
    """A source. `points` are the line counts at which a load must agree with earlier ones."""

    source_id: uuid.UUID
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a source."""

    load_id: uuid.UUID
    source_id: uuid.UUID


class FileSources(Protocol):
    """May find sources, and say how far they are loaded. Reads no digest."""

    def find(self, known_by: bytes) -> FileSource:
        """The source that is known by this digest of 32 bytes; it is drawn if there is none."""

    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        """Commit that a load may have stored so many lines, of this digest, from now on.

        False, and nothing is committed, if another load had other lines there.
        """

    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        """Commit that all lines which the load has reached are stored.

        False, and nothing is committed, if other loads of the source reached further, or a point
        that is not among `agreed`.
        """


_SEEN_BYTES: Final = 16
"""Of a piece's digest: it is compared within this process, and kept nowhere."""


class NamedLoad:
    """`LineCheck` of one load of a named source: it agrees with every load before it.

    How far it got is committed before a line is handed out, so that a load that is killed is one to
    agree with, too. Raises OtherContentError if it does not agree.
    """

    def __init__(self, content: str, sources: FileSources, key: KeyMaterial, name: bytes) -> None:
        found = sources.find(name_digest(key, name))
        self.digest = LineDigest(key, found.points)
        self.source_id = found.source_id
        self._content = content
        self._sources = sources
        self._load = Load(uuid.uuid4(), found.source_id)
        self._points = found.points
        self._recorded = 0

    def looked_through(self) -> None:
        """As `passed`, of a whole content of which nothing was handed out."""
        try:
            if any(point > self.digest.lines for point in self._points):
                raise self._other()
            self.passed()
        except OtherContentError as error:
            message = f"{error}: nothing of it was loaded"
            raise OtherContentError(message, hint=error.hint) from None

    def passed(self) -> None:
        """See `LineCheck.passed`."""
        passed = self.digest.passed
        while passed:
            self._reach(*passed[0])
            passed.popleft()
        if self.digest.lines > self._recorded:
            self._reach(self.digest.lines, self.digest.value())

    def loaded(self) -> None:
        """See `LineCheck.loaded`. A load that agrees with this one may have taken its place meanwhile."""
        if self.digest.lines:
            self._reach(self.digest.lines, self.digest.value())
        if not self._sources.loaded(self._load, self._points):
            raise self._other()

    def _reach(self, lines: int, digest: bytes) -> None:
        if not self._sources.reached(self._load, lines, digest):
            raise self._other()
        self._recorded = lines

    def _other(self) -> OtherContentError:
        return OtherContentError(
            f"{self._content} does not begin with the lines that were loaded under this --source",
            hint="one that only grows may keep its name; under another --source all its lines are"
            " new records, those that were loaded before too",
        )


class SameAgain:
    """`LineCheck` of a file that was looked through: each piece is what it was at the first look."""

    def __init__(self, content: str, digest: LineDigest, named: NamedLoad | None) -> None:
        self.digest = digest
        self._content = content
        self._named = named
        self._seen = bytearray()
        self._at = 0

    def look(self, digest: LineDigest) -> None:
        """Remember the next piece of the first look: 16 bytes for 64 KiB."""
        self._seen += digest.value()[:_SEEN_BYTES]

    def passed(self) -> None:
        """See `LineCheck.passed`."""
        end = self._at + _SEEN_BYTES
        if self._seen[self._at : end] != self.digest.value()[:_SEEN_BYTES]:
            raise self._changed()
        self._at = end

    def loaded(self) -> None:
        """See `LineCheck.loaded`."""
        if self._at != len(self._seen):
            raise self._changed()
        if self._named is not None:
            self._named.loaded()

    def _changed(self) -> DataError:
        return DataError(
            f"{self._content} has changed while it was read",
            hint="what was loaded stays; load a file that nobody writes to any more",
        )
