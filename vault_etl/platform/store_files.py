"""Files of an archive on this machine: for their owner alone, and never written over."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from vault_etl.base.errors import (
    DataError,
    DeniedError,
    IncompleteError,
    NotFoundError,
    UnavailableError,
    UsageError,
)

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
