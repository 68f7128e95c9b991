"""One archive in a folder of this machine: files of mode 0600 in a folder of mode 0700."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from vault_etl.base.errors import (
    DataError,
    DeniedError,
    IncompleteError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

_PART: Final = ".part"
"""At the end of the name of a file that is not whole yet."""


class FolderArchive:
    """`ArchiveStore` in the folder `path`, which is made with the first file and goes with the last."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a path that is not absolute."""
        if not path.is_absolute():
            message = f"the path of the archive is not absolute: {path}"
            raise UsageError(message, hint="other commands look for it there, from any folder")
        self._path = path

    @property
    def location(self) -> str:
        """See `ArchiveReader.location`."""
        return str(self._path)

    def names(self) -> Sequence[str]:
        """See `ArchiveReader.names`. A file that was not written to its end is none of them."""
        with files_translated(self._path):
            if not os.path.lexists(self._path):
                return ()
            self._must_be_ours()
            return sorted(each.name for each in self._path.iterdir() if each.suffix != _PART)

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """See `ArchiveReader.get`. Raises UsageError for a link, or anything else that is no file."""
        with files_translated(self._path / name):
            try:
                self._must_be_ours()
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                source = os.fdopen(os.open(self._path / name, flags), "rb")
            except FileNotFoundError:
                message = f"{self._path / name} is not there"
                raise NotFoundError(message, hint="was the archive moved or deleted?") from None
            with source:
                found = os.fstat(source.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise no_file(self._path / name)
                must_fit(found.st_size, most_bytes, str(self._path / name))
                with new_file(target) as file:
                    copy_at_most(source, file, most_bytes, str(self._path / name))

    def put(self, name: str, source: Path) -> None:
        """See `ArchiveStore.put`. A file has its name once it is whole and on the disk."""
        target = self._path / name
        with files_translated(target):
            self._make()
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "", str(target))
            waiting = self._path / f"{name}{_PART}"
            waiting.unlink(missing_ok=True)
            try:
                with source.open("rb") as content, new_file(waiting) as file:
                    shutil.copyfileobj(content, file, _BLOCK)
                    file.flush()
                    os.fsync(file.fileno())
                waiting.rename(target)
            except BaseException:
                waiting.unlink(missing_ok=True)
                raise
            _sync(self._path)

    def delete(self, name: str) -> None:
        """See `ArchiveStore.delete`. What was not written to its end goes too."""
        with files_translated(self._path / name):
            if not os.path.lexists(self._path):
                return
            self._must_be_ours()
            (self._path / name).unlink(missing_ok=True)
            (self._path / f"{name}{_PART}").unlink(missing_ok=True)
            if not any(self._path.iterdir()):
                self._path.rmdir()
                _sync(self._path.parent)

    def _make(self) -> None:
        try:
            self._path.mkdir(mode=0o700)
            _sync(self._path.parent)
        except FileExistsError:
            self._must_be_ours()

    def _must_be_ours(self) -> None:
        """Raises UsageError unless the path is a folder, and no link to one."""
        if not stat.S_ISDIR(self._path.lstat().st_mode):
            message = f"{self._path} is no folder"
            raise UsageError(message, hint="an archive is a folder, and no link to one")


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_BLOCK: Final = 2**20


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, `size` of them at most; none at the end."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 that was not there, and is gone if anything is raised. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def copy_at_most(source: Readable, file: BinaryIO, most_bytes: int, name: str) -> None:
    """Copy `source` to its end. Raises DataError, calling it `name`, if it has more than `most_bytes`."""
    size = 0
    while block := source.read(min(_BLOCK, most_bytes - size + 1)):
        size += len(block)
        must_fit(size, most_bytes, name)
        file.write(block)


def must_fit(size: int, most_bytes: int, name: str) -> None:
    """Raises DataError, calling it `name`, for a file of more than `most_bytes`."""
    if size > most_bytes:
        message = f"{name} is too large: more than {most_bytes:,} bytes"
        raise DataError(message, hint="it was changed: take the file from a backup of it")


@contextlib.contextmanager
def files_translated(path: Path) -> Iterator[None]:
    """Turn what the system raises about `path` into our errors."""
    try:
        yield
    except PermissionError:
        message = f"{path} cannot be used by this user"
        raise DeniedError(message, hint="check who owns the folder, and its mode") from None
    except FileNotFoundError:
        message = f"the folder of {path} is not there"
        raise NotFoundError(message, hint="make the folder, or mount its disk") from None
    except FileExistsError:
        message = f"{path} is there already"
        raise IncompleteError(message, hint="another run made it: run the command again") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise no_file(path) from None
        message = f"{path} cannot be used: {os.strerror(error.errno or 0)}"
        raise UnavailableError(message, hint="is the disk full, or not mounted?") from None


def no_file(path: Path) -> UsageError:
    """The error for what is no regular file."""
    message = f"{path} is no regular file"
    return UsageError(message, hint="an archive has no links, pipes or devices in it")


def size_and_sha256(path: Path) -> tuple[int, bytes]:
    """The size of a file in bytes, and the SHA-256 of its content."""
    digest = Hash(SHA256())
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.finalize()
