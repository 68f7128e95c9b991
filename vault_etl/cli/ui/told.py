"""The running text of `vault-etl demo` and `local start`, which are never silent for long."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self, TextIO

WIDTH: Final = 78
DOT_AFTER_S: Final = 1.0

_BOLD: Final = "\x1b[1m{}\x1b[0m"


class Told:
    """Titles, text and quotations, and a dot for each second without any of them. Safe for threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._awake = threading.Event()
        self._dots = 0
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._awake.set()
        self._thread.join()
        self.write("")

    def title(self, text: str) -> None:
        """Write a heading, in bold on a terminal unless NO_COLOR is set (https://no-color.org)."""
        line = f"── {text} {'─' * max(0, WIDTH - 4 - len(text))}"
        self.write(f"\n{_BOLD.format(line) if _has_styles(self._stream) else line}\n")

    def say(self, text: str) -> None:
        """Write a paragraph."""
        self.write(textwrap.fill(text, WIDTH) + "\n")

    def step(self, text: str) -> None:
        """Write the step that comes next."""
        self.write(f"  {text}\n")

    def quote(self, text: str) -> None:
        """Write the output of a program, indented."""
        filled = textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
        self.write(filled + "\n")

    def write(self, text: str) -> None:
        """Write the text as it is, on its own line."""
        with self._lock:
            self._stream.write(("\n" if self._dots else "") + text)
            self._stream.flush()
            self._dots = 0
            self._awake.set()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Write no dots in the block, while a program of ours uses the terminal for its own live line."""
        with self._lock:
            yield
            self._awake.set()

    def _tick(self) -> None:
        while not self._ended.is_set():
            if self._awake.wait(DOT_AFTER_S):
                self._awake.clear()
                continue
            with self._lock:
                if self._awake.is_set():  # a silent block ended, and more was written
                    continue
                self._stream.write(".")
                self._stream.flush()
                self._dots += 1


def _has_styles(stream: TextIO) -> bool:
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return stream.isatty() and wanted
