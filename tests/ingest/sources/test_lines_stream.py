"""The lines of a stream as a queue: a pipe that may pause, end, or fail."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.ingest.sources.lines import BLANK, KEY, bodies, drained, drained_while
from tests.kit.fakes.file_sources import FakeFileSources
from vault_etl.base.errors import DataError
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.sources.content import StreamContent
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.ingest.sources.open_lines import NamedLoad
from vault_etl.ingest.sources.splitters import LineSplitter
from vault_etl.platform.clock import SystemClock


class Stream:
    """Lines from a pipe, and the other end of the pipe."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        content = StreamContent(self._read_end, "standard input")
        load = NamedLoad(content.name, FakeFileSources(), KEY, b"s")
        splitter = LineSplitter(content.name, load.digest)
        self.lines = LinesFile(content, SystemClock(), load.source_id, 0, load, splitter)
        self._has_ended = False

    def write(self, content: bytes) -> None:
        """Send all of the bytes."""
        while content:
            content = content[os.write(self._write_end, content) :]

    def end(self) -> None:
        """Close the write end."""
        if not self._has_ended:
            os.close(self._write_end)
        self._has_ended = True

    def close(self) -> None:
        """Close both ends."""
        self.end()
        os.close(self._read_end)


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A pipe that lines are read from."""
    with closing(Stream()) as pipe:
        yield pipe


def test_a_stream_is_not_waited_for_beyond_the_wait(stream: Stream) -> None:
    """Complete lines are returned, and an incomplete line is not."""
    lines = stream.lines
    assert lines.receive(0) == []
    stream.write(b"a\nb\nc")
    assert bodies(list(lines.receive(5))) == [b"a", b"b"]
    began = time.monotonic()
    assert lines.receive(1) == []
    assert 1 <= time.monotonic() - began < 5
    assert lines.depth() == QueueDepth(1, 2, 0)
    stream.end()
    assert bodies(list(lines.receive(5))) == [b"c"]
    assert lines.depth() == QueueDepth(0, 3, 0)


def test_lines_of_a_stream_are_acknowledged_while_it_is_waited_for(stream: Stream) -> None:
    """A reader that waits for more blocks no other thread."""
    lines = stream.lines
    stream.write(b"a\n")
    (a,) = lines.receive(5)
    waiting = threading.Thread(target=lines.receive, args=(20,))
    waiting.start()
    began = time.monotonic()
    assert lines.delete([a.receipt_handle]) == []
    assert lines.depth() == QueueDepth(1, 0, 0)
    assert lines.receive(0) == []
    assert time.monotonic() - began < 5
    stream.end()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_stream_of_blank_lines_ends_too(stream: Stream) -> None:
    """A sender of line ends alone is not waited for."""
    writer = threading.Thread(target=stream.write, args=(BLANK * 65,))
    writer.start()
    with pytest.raises(DataError, match="blank lines before line 66 of standard input"):
        drained_while(writer, stream.lines)
    while writer.is_alive():
        stream.lines._content.read(0.2)


def test_a_fault_of_a_stream_stops_at_its_place(stream: Stream) -> None:
    """The lines before the fault are returned; no thread waits for the reader that met it."""
    lines = stream.lines
    stream.write(b"a\n")
    assert bodies(list(lines.receive(5))) == [b"a"]
    writer = threading.Thread(target=stream.write, args=(b"x" * 1_300_000,))
    writer.start()
    for _ in range(2):
        with pytest.raises(DataError, match="line 2 of standard input is longer"):
            drained(lines)
    while lines._content.read(0.2):
        pass
    writer.join(5)
