"""The three standard streams, whatever state the caller left them in."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final, TextIO

NO_FAULT_OF_OURS: Final = frozenset({errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EROFS})
"""What writing to a full or broken place fails with: no bug, and nothing to report."""


def prepare() -> None:
    """Open what is closed, and print what the terminal's encoding lacks as an escape.

    With a standard stream closed (`<&-`) the next socket or file would get its number, and
    whatever is printed would go there.
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
    """Let nothing more come of it: Python flushes it once more at exit, and would fail as before."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
