"""What lines are read from: a file, decompressed as its name says, or a stream that may have to be waited for."""

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
from typing import Final, Protocol

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

_MAGIC: Final = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
_SKIPPABLE: Final = b"\x2a\x4d\x18"
"""The last three bytes of a skippable frame of Zstandard (RFC 8878), which may come first: pzstd writes one."""

_LARGE_WINDOW: Final = "too much memory"
_DICTIONARY: Final = "Dictionary mismatch"
_BEHIND: Final = ("Not a gzipped file", "Unknown frame descriptor")


class LineContent(Protocol):
    """Bytes, from the beginning to the end, once."""

    name: str
    """For people: of a file, as they gave it."""

    def read(self, seconds: float) -> bytes | None:
        """The next piece, at most 64 KiB; b"" at the end, or None if none came in so many seconds."""

    def close(self) -> None:
        """Let go of what was opened."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class FileContent:
    """`LineContent` of a regular file; `.gz` and `.zst` are decompressed, in bounded memory.

    Raises NotFoundError, UsageError if it is no regular file, DeniedError if it may not be read.
    Reading raises DataError if what is compressed is damaged or cut off, and UnavailableError if
    the disk fails.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        with self._translated():
            self._file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - it stays open
        # A run may end before the file does: then it is closed when nobody holds this any more.
        self._closed = weakref.finalize(self, self._file.close)
        self._content = self._decompressed()

    def read(self, seconds: float = 0.0) -> bytes:
        """See `LineContent.read`; a file is never waited for."""
        del seconds
        with self._translated():
            return self._content.read(CHUNK_BYTES)

    def rewind(self) -> None:
        """Read it from the beginning again, from the same file, whatever its name stands for by now."""
        with self._translated():
            self._file.seek(0)
        self._content = self._decompressed()

    def close(self) -> None:
        """See `LineContent.close`."""
        self._closed()

    def _decompressed(self) -> _Readable:
        about = os.fstat(self._file.fileno())
        if not stat.S_ISREG(about.st_mode):
            message = f"{self.name} is no regular file, and a file is read twice"
            raise UsageError(message, hint="to read a stream: --file - --source NAME")
        suffix = next((suffix for suffix in _MAGIC if self.name.endswith(suffix)), None)
        if suffix is None:
            return self._file
        with self._translated():
            first = self._file.read(len(_MAGIC[suffix]))
            self._file.seek(0)
        if not first:  # gzip itself takes nothing for nothing
            message = f"{self.name} is empty: not even an empty file compresses to 0 bytes"
            raise DataError(message, hint="fetch it again")
        if first != _MAGIC[suffix][: len(first)] and first[1:] != _SKIPPABLE:
            message = f"{self.name} is not what its name says: it does not begin as {suffix} does"
            raise DataError(message, hint="rename it, if it is plain text")
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
            raise UnavailableError(message, hint="is the disk in order?") from None

    def _damaged(self, text: str) -> DataError:
        """By the words of the library, which has no codes for these; its first bytes were right."""
        load = "vault-etl ingest --file - --source NAME"
        if _LARGE_WINDOW in text:
            return DataError(
                f"{self.name} was compressed with --long, and needs more than 128 MiB of memory",
                hint=f"zstd --long=31 -dc FILE | {load}",
            )
        if _DICTIONARY in text:
            message = f"{self.name} was compressed with a dictionary"
            return DataError(message, hint=f"zstd -D DICTIONARY -dc FILE | {load}")
        program = "gzip" if self.name.endswith(".gz") else "zstd"
        hint = f"fetch it again; to load what can be read: {program} -dc FILE | {load}"
        if any(words in text for words in _BEHIND):
            message = f"{self.name} is damaged: what is behind its compressed part is no {program}"
            return DataError(message, hint=hint)
        message = f"{self.name} is damaged or cut off: it does not decompress"
        return DataError(message, hint=hint)


class StreamContent:
    """`LineContent` of a descriptor such as standard input: plain, and with pauses."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.name = name
        self._descriptor = descriptor

    def read(self, seconds: float) -> bytes | None:
        """See `LineContent.read`. Raises NotFoundError if it is closed, UnavailableError if it fails."""
        try:
            readable, _, _ = select.select([self._descriptor], [], [], seconds)
            return os.read(self._descriptor, CHUNK_BYTES) if readable else None
        except OSError as error:
            message = f"{self.name} cannot be read ({os.strerror(error.errno or 0)})"
            raise UnavailableError(message) from None

    def close(self) -> None:
        """See `LineContent.close`: whoever opened the descriptor closes it."""


def _open_without_waiting(path: str, flags: int) -> int:
    """A named pipe would be waited for until somebody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)
