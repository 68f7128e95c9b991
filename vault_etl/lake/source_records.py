"""The records of all sources of a set, numbered through, from after the last record that is sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import OtherContentError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.source_digest import LineDigest

Records = Sequence[tuple[int, bytes]]
"""Records of one source, each with its number from 1."""

ReadSource = Callable[[LineDigest], Iterator[Records]]
"""Reads one source piece by piece, and adds its lines to the digest. A record's number is at most that of lines."""

_HINT: Final = (
    "name the files of the first run, in their order; to seal other files, name another --to"
)


@dataclass(frozen=True, slots=True)
class Reached:
    """The point up to which sources are sealed: the last record's number, the lines that were read, their digest."""

    last: int = 0
    lines: int = 0
    digest: bytes = b""


class SourceRecords:
    """Reads the sources once, in their order. A record's number is its own, and all lines of the sources before it."""

    def __init__(
        self, sources: Iterable[ReadSource], key: KeyMaterial, sealed: Sequence[Reached] = ()
    ) -> None:
        """Take the source key, and how far each part that exists already reached."""
        self._sources = sources
        self._digest = LineDigest(key, [reached.lines for reached in sealed])
        self._sealed = {reached.lines: reached.digest for reached in sealed}
        self._last = max((reached.last for reached in sealed), default=0)

    def pieces(self) -> Iterator[Records]:
        """Yield the records that are not sealed yet.

        Raises OtherContentError if the sources do not begin with the lines that were sealed, and what a source raises.
        """
        for read in self._sources:
            before = self._digest.lines
            for piece in read(self._digest):
                self._compare()
                numbered = ((before + number, record) for number, record in piece)
                if fresh := [one for one in numbered if one[0] > self._last]:
                    self._last = fresh[-1][0]
                    yield fresh
        self._compare()
        if self._sealed:
            raise _other()

    def reached(self) -> Reached:
        """Return how far the pieces so far reach. More lines may be read: of a row of CSV that has begun."""
        return Reached(self._last, self._digest.lines, self._digest.value())

    def _compare(self) -> None:
        passed = self._digest.passed
        while passed:
            lines, digest = passed.popleft()
            if self._sealed.pop(lines, digest) != digest:
                raise _other()


def _other() -> OtherContentError:
    message = "the sources do not begin with the lines that this set was made of"
    return OtherContentError(message, hint=_HINT)
