"""The content that an ingest reads: a file, decompressed by its suffix, or a stream such as stdin.

`refuse_foreign` recognises unsupported content by its first bytes, and names a shell line that
converts it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import select
import stat
import sys
import weakref
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

from typing_extensions import override

from vault_etl.base.errors import (
    DataError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CHUNK_BYTES: Final = 64 * 1024
STANDARD_INPUT: Final = "-"
FIRST_BYTES: Final = 4
"""Number of bytes needed to tell text in UTF-16 or UTF-32 from other content."""

_MAGIC: Final = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""Last three bytes of the magic of a skippable Zstandard frame (RFC 8878): pzstd writes one first."""

_LARGE_WINDOW: Final = "too much memory"
_DICTIONARY: Final = "Dictionary mismatch"
_BEHIND: Final = ("Not a gzipped file", "Unknown frame descriptor")
LOAD: Final = "vault-etl ingest --file - --source NAME"
"""The command that the hints give for content that another program has converted."""

_FOREIGN: Final = (
    (0, b"\x1f\x8b", "compressed with gzip", "| gzip -dc"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "| zstd -dc"),
    (0, b"\xfd7zXZ\x00", "compressed with xz", "| xz -dc"),
    (0, b"BZh", "compressed with bzip2", "| bzip2 -dc"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", "| lz4 -dc"),
    (0, b"LZIP", "compressed with lzip", "| lzip -dc"),
    (0, b"\x1f\x9d", "compressed with compress", "| uncompress -c"),
    (0, b"\xff\xfe\x00\x00", "text in UTF-32", "| iconv -f UTF-32 -t UTF-8"),
    (0, b"\x00\x00\xfe\xff", "text in UTF-32", "| iconv -f UTF-32 -t UTF-8"),
    (0, b"\xff\xfe", "text in UTF-16", "| iconv -f UTF-16 -t UTF-8"),
    (0, b"\xfe\xff", "text in UTF-16", "| iconv -f UTF-16 -t UTF-8"),
    (257, b"ustar", "a tar archive", "| tar -xOf -"),
    (30, b"[Content_Types].xml", "an Office document", None),
    (0, b"\xd0\xcf\x11\xe0", "an Office document", None),
    (0, b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
    (0, b"PK\x05\x06", "an empty zip archive", None),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so FILE"),
    (
        0,
        b"PAR1",
        "a Parquet file",
        "duckdb -c \"COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT json)\"",
    ),
    (0, b"Obj\x01", "an Avro file", "avro-tools tojson FILE"),
    (0, b"ORC", "an ORC file", None),
    (0, b"SQLite format 3", "an SQLite database", None),
    (0, b"PGDMP", "a dump of Postgres", None),
    (0, b"%PDF-", "a PDF document", None),
    (0, bytes(FIRST_BYTES), "all zero bytes at its beginning, as an empty tar archive", None),
    (0, b"<", "XML or HTML, as an error page", None),
)
"""Offset, bytes, kind of content, and the command that makes text of it; after `|`, a filter."""

_NULS: Final[dict[tuple[bool, ...], str]] = {
    (True, False, True, False): "UTF-16BE",
    (False, True, False, True): "UTF-16LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, True, True): "UTF-32LE",
}
"""Zero bytes among the first four of JSON without a byte order mark (RFC 4627, section 3)."""


class LineContent(Protocol):
    """Bytes that are read once, from the beginning to the end."""

    name: str
    """The name in messages; the name of a file is as the user gave it."""

    def read(self, seconds: float) -> bytes | None:
        """Return the next piece, at most 64 KiB; b"" at the end; None if none came within `seconds`."""

    def close(self) -> None:
        """Close what was opened."""


class _ByteSource(Protocol):
    def read(self, size: int, /) -> bytes: ...


class FileContent(LineContent):
    """The content of a regular file; `.gz` and `.zst` are decompressed, in bounded memory.

    Raises NotFoundError, UsageError if the path is not a regular file, DeniedError if the user may
    not read it. Reading raises DataError for compressed data that is damaged or cut off, and
    UnavailableError if the disk fails.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        with self._translated():
            self._file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - it stays open
        # A run may end before the file does: then the file is closed with this object.
        self._closed = weakref.finalize(self, self._file.close)
        self._content = self._decompressed()

    @override
    def read(self, seconds: float = 0.0) -> bytes:
        """Return the next piece; a file is never waited for."""
        del seconds
        with self._translated():
            return self._content.read(CHUNK_BYTES)

    def rewind(self) -> None:
        """Start again at the beginning of the same open file, even if its name is another file's now."""
        with self._translated():
            self._file.seek(0)
        self._content = self._decompressed()

    def begins_with(self, magic: bytes) -> bool:
        """Tell whether these are the first bytes of the file itself, before anything is decompressed."""
        with self._translated():
            return os.pread(self._file.fileno(), len(magic), 0) == magic

    def seekable(self) -> BinaryIO:
        """Return the file itself, at its beginning, for the reader of a kind that seeks."""
        self._file.seek(0)
        return self._file

    @override
    def close(self) -> None:
        self._closed()

    def _decompressed(self) -> _ByteSource:
        about = os.fstat(self._file.fileno())
        if not stat.S_ISREG(about.st_mode):
            message = f"{self.name} is not a regular file, and a file is read twice"
            raise UsageError(message, hint="to read a stream: --file - --source NAME")
        suffix = next((suffix for suffix in _MAGIC if self.name.endswith(suffix)), None)
        if suffix is None:
            return self._file
        with self._translated():
            first = self._file.read(len(_MAGIC[suffix]))
            self._file.seek(0)
        if not first:  # gzip itself accepts an empty file
            message = f"{self.name} is empty: even an empty file compresses to more than 0 bytes"
            raise DataError(message, hint="fetch it again")
        if first != _MAGIC[suffix][: len(first)] and first[1:] != _SKIPPABLE:
            message = f"{self.name} is not what its name says: it does not begin as {suffix} does"
            raise DataError(message, hint="if the file is plain text, rename it")
        return gzip.GzipFile(fileobj=self._file) if suffix == ".gz" else zstd.ZstdFile(self._file)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError):
            message = f"there is no file {self.name}"
            raise NotFoundError(message) from None
        except IsADirectoryError:
            message = f"{self.name} is a directory"
            raise UsageError(message, hint="--file takes one file") from None
        except PermissionError:
            message = f"{self.name} may not be read by this user"
            raise DeniedError(message, hint="see its permissions") from None
        except (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError) as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            message = f"{self.name} cannot be read ({os.strerror(error.errno or 0)})"
            raise UnavailableError(message, hint="check the disk") from None

    def _damaged(self, text: str) -> DataError:
        """Return the error for a text of the library, which has no codes. The first bytes were right."""
        if _LARGE_WINDOW in text:
            return DataError(
                f"{self.name} was compressed with --long, and needs more than 128 MiB of memory",
                hint=f"zstd --long=31 -dc FILE | {LOAD}",
            )
        if _DICTIONARY in text:
            message = f"{self.name} was compressed with a dictionary"
            return DataError(message, hint=f"zstd -D DICTIONARY -dc FILE | {LOAD}")
        program = "gzip" if self.name.endswith(".gz") else "zstd"
        hint = f"fetch it again; to load what can be read: {program} -dc FILE | {LOAD}"
        if any(words in text for words in _BEHIND):
            message = f"{self.name} is damaged: the data after its compressed part is not {program}"
            return DataError(message, hint=hint)
        message = f"{self.name} is damaged or cut off: it does not decompress"
        return DataError(message, hint=hint)


class StreamContent(LineContent):
    """The content of a descriptor such as standard input: plain, and possibly with pauses."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor = descriptor

    @override
    def read(self, seconds: float) -> bytes | None:
        """Return the next piece. Raises UnavailableError if the descriptor is closed or fails."""
        try:
            readable, _, _ = select.select([self._descriptor], [], [], seconds)
            return os.read(self._descriptor, CHUNK_BYTES) if readable else None
        except OSError as error:
            message = f"{self.name} cannot be read ({os.strerror(error.errno or 0)})"
            raise UnavailableError(message) from None

    @override
    def close(self) -> None:
        """Leave the descriptor open: its opener closes it."""


def _open_without_waiting(path: str, flags: int) -> int:
    """Open without blocking: a named pipe would block until another process writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_foreign(name: str, head: bytes) -> None:
    """Raise DataError if content that begins with `head` is of a kind that is not supported."""
    for offset, magic, kind, command in _FOREIGN:
        if head.startswith(magic, offset):
            raise foreign(name, kind, command)
    encoding = _NULS.get(tuple(byte == 0 for byte in head[:FIRST_BYTES]))
    if encoding:
        raise foreign(name, f"text in {encoding[:6]}", f"| iconv -f {encoding} -t UTF-8")


def foreign(name: str, kind: str, command: str | None) -> DataError:
    """Return the error for content of `kind`; `command` makes text of it, after `|` as a filter."""
    hint = _shell_line(name, command) if command else "save it as JSON lines or CSV, in UTF-8"
    return DataError(f"{name} is {kind}: nothing was loaded", hint=hint)


def _shell_line(name: str, command: str) -> str:
    """Return the shell line that loads the content; a filter reads the decompressed file."""
    if not command.startswith("|"):
        return f"{command} | {LOAD}"
    read = {"gz": "gzip -dc FILE ", "st": "zstd -dc FILE "}.get(name[-2:])
    if name == "standard input":
        return f"… {command} | {LOAD}"
    return f"{read}{command} | {LOAD}" if read else f"{command[2:]} < FILE | {LOAD}"
