"""The sources of `lake seal` as numbered records: JSON lines, other JSON, CSV and Parquet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vault_etl.app.partitions import need_parquet
from vault_etl.base.errors import DataError, UsageError
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest.sources.content import (
    LOAD,
    STANDARD_INPUT,
    FileContent,
    LineContent,
    StreamContent,
)
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.lake.source_records import Records

if TYPE_CHECKING:
    from vault_etl.lake.parquet_tokens import TableWithTokens

_WAIT_S: Final = 5.0
_SEAL: Final = "vault-etl lake seal - --to PLACE"
_HINT: Final = "a source is a file, or - for standard input"
_MAGIC: Final = b"PAR1"
"""The first bytes of a Parquet file."""


@dataclass(frozen=True, slots=True)
class SourceReader:
    """Reads one source of records of one event: a path, or `-` for standard input. A `ReadSource`."""

    path: str
    event: DeclaredEvent
    names: KnownNames
    """The names of this event alone."""
    keep_going: bool = False
    strict: bool = False

    def __call__(self, digest: LineDigest | None = None) -> Iterator[Records]:
        """Yield the records of the source, and add its lines to the digest.

        Raises NotFoundError, DeniedError, UsageError or UnavailableError for a file that cannot be read, and DataError
        for content that holds no records.
        """
        try:
            yield from self._pieces(digest)
        except (DataError, UsageError) as error:
            hint = error.hint and error.hint.replace(LOAD, _SEAL)
            hint = _HINT if isinstance(error, UsageError) else hint
            raise type(error)(str(error), hint=hint) from None

    def _pieces(self, digest: LineDigest | None) -> Iterator[Records]:
        if self.path == STANDARD_INPUT:
            yield from self._lines(StreamContent(0, "standard input"), digest)
            return
        content = FileContent(self.path)
        with contextlib.closing(content):
            if not content.begins_with(_MAGIC):
                yield from self._lines(content, digest)
                return
            need_parquet()
            from vault_etl.lake.parquet_plain import PlainRows  # noqa: PLC0415

            rows = PlainRows(content.seekable(), self.path, self.event)
            if rows.extra_columns and self.strict:
                message = (
                    f"{self.path} has columns without a place: {', '.join(rows.extra_columns)}"
                )
                raise DataError(message, hint="leave out --strict, and they are not read")
            for piece in rows.pieces():
                if digest is not None:
                    digest.add([record for _, record in piece])
                yield piece

    def _lines(self, content: LineContent, digest: LineDigest | None) -> Iterator[Records]:
        splitter = ContentSplitter(content.name, self.names, digest, keep_going=self.keep_going)
        while (chunk := content.read(_WAIT_S)) != b"":
            yield splitter.feed(chunk) if chunk else []
        yield splitter.finish()


@contextlib.contextmanager
def table_with_tokens(path: Path, column: str, token: str) -> Iterator[TableWithTokens]:
    """Open the table of `lake tokens`: Parquet by its first bytes, and else CSV. Raises as a source does."""
    need_parquet()
    from vault_etl.lake.parquet_tokens import TableWithTokens  # noqa: PLC0415

    content = FileContent(str(path))
    with contextlib.closing(content):
        is_parquet = content.begins_with(_MAGIC)
        yield TableWithTokens(
            content.seekable(), str(path), is_parquet=is_parquet, column=column, token=token
        )
