"""What lines are checked against before they are handed out: earlier loads, and the first look at a file."""

from __future__ import annotations

import uuid
from typing import Final, Protocol

from vault_etl.base.errors import DataError, OtherContentError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.source_digest import LineDigest, name_digest
from vault_etl.ingest.sources.known import FileSources, Load

_SEEN_BYTES: Final = 16
"""Of a piece's digest: it is compared within this process, and kept nowhere."""


class LineCheck(Protocol):
    """Is told of each piece of a content before a line of it is handed out."""

    digest: LineDigest
    """Of all lines that were read."""

    def passed(self) -> None:
        """Check what the digest was given. Raises DataError if it must not be handed out."""

    def loaded(self) -> None:
        """All lines are stored. Raises DataError if not each of them may be."""


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
