"""The three standard streams, which the caller may have closed."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final, TextIO

NO_FAULT_OF_OURS: Final = frozenset({errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS})
"""Errors of a full or broken disk. They are not bugs, and are reported without a traceback."""


def prepare() -> None:
    """Open closed streams, and print characters that the terminal's encoding lacks as escapes.

    If a standard stream were closed (`<&-`), the next socket or file would get its number, and
    printed text would go into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  # of stderr
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def give_up(stream: TextIO) -> None:
    """Discard all further output of a stream: Python flushes the stream again at exit, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
