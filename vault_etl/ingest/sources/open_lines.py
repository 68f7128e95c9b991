"""Opens files and streams as queues of lines, and checks the lines against earlier loads.

A *source* is what lines come from. A source is known by a digest of its name or of its content, and
remembers the lines that were loaded, so that a second load of the same lines stores nothing twice.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from typing_extensions import override

from vault_etl.base.errors import DataError, OtherContentError, UsageError
from vault_etl.crypto.digest import MAX_PREFIXED_BYTES
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.crypto.source_digest import LineDigest, name_digest
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.content import (
    STANDARD_INPUT,
    FileContent,
    LineContent,
    StreamContent,
)
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.ingest.sources.lines_file import LineCheck, LinesFile
from vault_etl.ingest.sources.splitters import LineSplitter
from vault_etl.platform.clock import Clock

_SEEN_BYTES: Final = 16
"""Bytes of a piece's digest: compared within this process, and not stored."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """A known source. `points` are the line counts at which a load must agree with earlier loads."""

    source_id: uuid.UUID
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a source."""

    load_id: uuid.UUID
    source_id: uuid.UUID


class FileSources(Protocol):
    """Finds sources, and records how far they are loaded. Reads no digest."""

    def find(self, known_by: bytes) -> FileSource:
        """Return the source of this 32-byte digest; create the source if it is unknown."""

    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        """Commit that the load may have stored `lines` lines, with this digest, from now on.

        Return False, and commit nothing, if another load had other lines there.
        """

    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        """Commit that all lines which the load has reached are stored.

        Return False, and commit nothing, if another load of the source reached further, or reached
        a point that is not in `agreed`.
        """


class LineOpener:
    """Opens files and streams. Their sources are identified by digests under the source key."""

    def __init__(
        self, clock: Clock, sources: FileSources, key: Callable[[], KeyMaterial], events: KnownNames
    ) -> None:
        self._clock = clock
        self._sources = sources
        self._key = key
        self._events = events

    def open(
        self,
        name: str,
        *,
        source: str | None = None,
        sent: dt.date | None = None,
        keep_going: bool = False,
    ) -> LinesFile:
        """Open the file `name`, or standard input for `-`, as `ContentSplitter` reads it.

        A file is read to its end first, so that nothing is loaded from a file that is damaged, has
        a line that is too long, or does not begin with the lines of its source. Raises UsageError
        for `-` without a source, for a source that is empty, over 65,535 bytes or not UTF-8, and
        for a day before 1970; DataError; and what `FileContent` and the database raise.
        """
        named = None if source is None else _named(source)
        sent_ms = _sent_ms(sent)
        if name == STANDARD_INPUT:
            if named is None:
                message = (
                    "--file - needs --source: a name for the input, the same if it is read again"
                )
                raise UsageError(message, hint="--source logins-2026-05")
            stream = StreamContent(0, "standard input")
            load = NamedLoad(stream.name, self._sources, self._key(), named)
            splitter = ContentSplitter(
                stream.name, self._events, load.digest, keep_going=keep_going
            )
            return LinesFile(stream, self._clock, load.source_id, sent_ms, load, splitter)
        content = FileContent(name)
        try:
            return self._read_through(content, named, sent_ms, keep_going=keep_going)
        except BaseException:
            content.close()
            raise

    def open_rows(
        self, content: LineContent, source: str, sent: dt.date | None = None
    ) -> LinesFile:
        """Open JSON lines that a program makes, under a name. Raises UsageError as `open` does."""
        named, sent_ms = _named(source), _sent_ms(sent)
        load = NamedLoad(content.name, self._sources, self._key(), named)
        splitter = LineSplitter(content.name, load.digest)
        return LinesFile(content, self._clock, load.source_id, sent_ms, load, splitter)

    def _read_through(
        self, content: FileContent, named: bytes | None, sent_ms: int, *, keep_going: bool
    ) -> LinesFile:
        key = self._key()
        load = NamedLoad(content.name, self._sources, key, named) if named else None
        digest = load.digest if load else LineDigest(key)
        second = SecondReading(content.name, LineDigest(key), load)
        splitter = ContentSplitter(content.name, self._events, digest, keep_going=keep_going)
        lines = 0
        while chunk := content.read():
            lines += len(splitter.feed(chunk))
            second.remember(digest)
        lines += len(splitter.finish())
        second.remember(digest)
        if load:
            load.check_whole()
            source_id = load.source_id
        else:
            source_id = self._sources.find(digest.value()).source_id
        content.rewind()
        splitter = ContentSplitter(content.name, self._events, second.digest, keep_going=keep_going)
        return LinesFile(content, self._clock, source_id, sent_ms, second, splitter, lines=lines)


class NamedLoad(LineCheck):
    """One load of a named source, which must agree with every earlier load.

    Its progress is committed before a line is received, so that later loads must also agree with a
    load that was killed. Raises OtherContentError if the lines do not agree.
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

    def check_whole(self) -> None:
        """Check a whole content of which no line was received yet, as `passed` does for a piece."""
        try:
            if any(point > self.digest.lines for point in self._points):
                raise self._other()
            self.passed()
        except OtherContentError as error:
            message = f"{error}: nothing was loaded"
            raise OtherContentError(message, hint=error.hint) from None

    @override
    def passed(self) -> None:
        passed = self.digest.passed
        while passed:
            self._reach(*passed[0])
            passed.popleft()
        if self.digest.lines > self._recorded:
            self._reach(self.digest.lines, self.digest.value())

    @override
    def loaded(self) -> None:
        """Commit the end. A load that agrees with this one may have taken its place meanwhile."""
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
            hint="a file that only grows may keep its name; under another --source all its lines"
            " become new records, earlier ones too",
        )


class SecondReading(LineCheck):
    """The second reading of a file: each piece must be the same as in the first reading."""

    def __init__(self, content: str, digest: LineDigest, named: NamedLoad | None) -> None:
        self.digest = digest
        self._content = content
        self._named = named
        self._seen = bytearray()
        self._at = 0

    def remember(self, digest: LineDigest) -> None:
        """Remember the next piece of the first reading: 16 bytes for 64 KiB."""
        self._seen += digest.value()[:_SEEN_BYTES]

    @override
    def passed(self) -> None:
        end = self._at + _SEEN_BYTES
        if self._seen[self._at : end] != self.digest.value()[:_SEEN_BYTES]:
            raise self._changed()
        self._at = end

    @override
    def loaded(self) -> None:
        if self._at != len(self._seen):
            raise self._changed()
        if self._named is not None:
            self._named.loaded()

    def _changed(self) -> DataError:
        return DataError(
            f"{self._content} has changed while it was read",
            hint="loaded records stay; load a file that no process writes to",
        )


def _sent_ms(sent: dt.date | None) -> int:
    sent_ms = 0 if sent is None else first_millisecond(sent)
    if sent_ms < 0:
        message = "--sent is a day before 1970"
        raise UsageError(message)
    return sent_ms


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
