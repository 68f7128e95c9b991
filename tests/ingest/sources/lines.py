"""Lines of files, opened and read to their end."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.file_sources import FakeFileSources
from tests.kit.parsed import NAMES
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.ingest.sources.open_lines import LineOpener
from vault_etl.platform.clock import Clock
from vault_etl.records.messages import Message

KEY = KeyMaterial(bytes(32))
BLANK = b" " * (2**20 - 1) + b"\n"
"""A blank line of 1 MiB."""


@contextmanager
def opened(
    path: Path,
    content: bytes,
    clock: Clock | None = None,
    *,
    sources: FakeFileSources | None = None,
    source: str | None = None,
    sent: dt.date | None = None,
) -> Iterator[LinesFile]:
    """Open the lines of a file of this content, which need not be events."""
    path.write_bytes(content)
    opener = LineOpener(clock or FakeClock(), sources or FakeFileSources(), lambda: KEY, NAMES)
    lines = opener.open(str(path), source=source, sent=sent, keep_going=True)
    with closing(lines):
        yield lines


def drained(lines: LinesFile) -> list[Message]:
    """Return all lines, each acknowledged as it comes."""
    messages: list[Message] = []
    while received := lines.receive(1):
        messages += received
        assert lines.delete([message.receipt_handle for message in received]) == []
    return messages


def drained_while(writer: threading.Thread, lines: LinesFile) -> None:
    """Return the lines that a thread writes; a busy machine may pause it for longer than a receive waits."""
    while writer.is_alive():
        drained(lines)


def bodies(messages: list[Message]) -> list[bytes]:
    """Return the bodies of messages."""
    return [message.body.expose() for message in messages]
