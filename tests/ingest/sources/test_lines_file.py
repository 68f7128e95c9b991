"""The lines of a file as a queue: each until it is acknowledged, in bounded memory."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.file_sources import FakeFileSources
from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.crypto.source_digest import name_digest
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.sources.content import StreamContent
from vault_etl.ingest.sources.lines_file import VISIBILITY_S, LinesFile
from vault_etl.ingest.sources.open_lines import LineOpener, NamedLoad
from vault_etl.ingest.sources.splitters import LineSplitter
from vault_etl.platform.clock import Clock, SystemClock
from vault_etl.records.messages import Line, Message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


KEY = KeyMaterial(bytes(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's file is."""
    return tmp_path / "logins.jsonl"


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
    """The lines of a file of this content, which need not be events."""
    path.write_bytes(content)
    opener = LineOpener(clock or FakeClock(), sources or FakeFileSources(), lambda: KEY)
    lines = opener.open(str(path), source=source, sent=sent, keep_going=True)
    with closing(lines):
        yield lines


def drained(lines: LinesFile) -> list[Message]:
    """All there is, acknowledged as it comes."""
    messages: list[Message] = []
    while received := lines.receive(1):
        messages += received
        assert lines.delete([message.receipt_handle for message in received]) == []
    return messages


def drained_while(writer: threading.Thread, lines: LinesFile) -> None:
    """What a thread writes, which a busy machine may let pause for longer than a receive waits."""
    while writer.is_alive():
        drained(lines)


def bodies(messages: list[Message]) -> list[bytes]:
    """What they say."""
    return [message.body.expose() for message in messages]


def test_each_line_is_a_message(path: Path) -> None:
    """With the line as its body, the number as its handle, and the id of its source."""
    content = b'{"a": 1}\n\n{"b": 2}'
    sources = FakeFileSources()
    with opened(path, content, sources=sources) as lines:
        first, third = drained(lines)
    (source,) = sources.known.values()
    assert (first.body.expose(), third.body.expose()) == (b'{"a": 1}', b'{"b": 2}')
    assert (first.line, third.line) == (Line(source, 1), Line(source, 3))
    assert (first.receipt_handle, third.receipt_handle) == ("1", "3")
    assert (first.sent_ms, first.receive_count) == (0, 1)


def test_neither_name_nor_compression_is_part_of_a_source(tmp_path: Path) -> None:
    """The same content is the same lines, wherever it stands."""
    content = b"a\nb\n"
    seen, sources = set(), FakeFileSources()
    for name, stored in (
        *(("x", content), ("y", content), ("w", content[:-1])),
        ("z.gz", gzip.compress(content)),
    ):
        with opened(tmp_path / name, stored, sources=sources) as lines:
            seen.add(tuple(message.line for message in drained(lines)))
    assert len(seen) == 1
    with opened(tmp_path / "x", b"a\nc\n", sources=sources) as lines:
        assert tuple(message.line for message in drained(lines)) not in seen


def test_a_source_may_be_named(path: Path) -> None:
    """Then that is the source, in UTF-8, and the content may grow."""
    sources = FakeFileSources()
    for content in (b"a\n", b"a\nb\n"):
        with opened(path, content, sources=sources, source="Zugänge") as lines:
            drained(lines)
    assert list(sources.known) == [name_digest(KEY, "Zugänge".encode())]


@pytest.mark.parametrize("source", ["", "x" * 65_536, "ä" * 32_768, "\udcff"])
def test_a_source_that_is_no_name(path: Path, source: str) -> None:
    """Empty, too long for its length of 16 bits, or not UTF-8."""
    with pytest.raises(UsageError, match="--source"), opened(path, b"", source=source):
        pass


def test_a_day_may_be_given(path: Path) -> None:
    """Of lines that name none: its midnight, UTC."""
    day = dt.date(2026, 3, 1)
    with opened(path, b"a", sent=day) as lines:
        assert drained(lines)[0].sent_ms == first_millisecond(day)
    with opened(path, b"a", sent=dt.date(1970, 1, 1)) as lines:
        assert drained(lines)[0].sent_ms == 0
    with (
        pytest.raises(UsageError, match="before 1970"),
        opened(path, b"", sent=dt.date(1969, 1, 1)),
    ):
        pass


def test_standard_input_needs_a_source() -> None:
    """It cannot be read twice, so nothing else could tell what it is."""
    opener = LineOpener(FakeClock(), FakeFileSources(), lambda: KEY)
    with pytest.raises(UsageError, match="needs --source"):
        opener.open("-")
    with closing(opener.open("-", source="today")) as lines:
        assert lines.depth() == QueueDepth(1, 0, 0)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"a\n" * 50_000 + b"x" * 1_048_577, "line 50001 of .* is longer"),
        (b"a\n\x1f\x8b", None),
        (b"\x1f\x8b", "is compressed"),
    ],
)
def test_a_file_is_looked_through_before_anything_of_it_is_loaded(
    path: Path, content: bytes, error: str | None
) -> None:
    """A fault at its very end stops the first line."""
    if error is None:
        with opened(path, content) as lines:
            assert len(drained(lines)) == 2
        return
    with pytest.raises(DataError, match=error), opened(path, content):
        pass


BLANK = b" " * (2**20 - 1) + b"\n"


@pytest.mark.parametrize(("name", "compress"), [("f.gz", gzip.compress), ("f.zst", zstd.compress)])
def test_a_bomb_of_blank_lines_is_put_down(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    """A few kilobytes, whatever they unpack to: here 640 MiB, of which a tenth is unpacked."""
    with (
        pytest.raises(DataError, match="more than 64 MiB of blank lines before line 66 of"),
        opened(tmp_path / name, compress(BLANK) * 640),
    ):
        pass


def test_a_file_that_is_cut_off_loads_nothing(tmp_path: Path) -> None:
    """Its end is looked for first."""
    whole = gzip.compress(b"a\n" * 100_000)
    with pytest.raises(DataError, match="cut off"), opened(tmp_path / "f.gz", whole[:-3]):
        pass
    with pytest.raises(NotFoundError, match="no file"):
        LineOpener(FakeClock(), FakeFileSources(), lambda: KEY).open(str(tmp_path / "gone"))


@pytest.mark.parametrize("change", [b"a\nB\n", b"a\n", b"a\nb\nc\n", b""])
def test_a_file_that_changes_under_way_is_noticed(path: Path, change: bytes) -> None:
    """Its lines would have the ids of another content."""
    with opened(path, b"a\nb\n") as lines:
        path.write_bytes(change)
        with pytest.raises(DataError, match="has changed while it was read"):
            drained(lines)


def test_a_file_that_is_replaced_under_way_does_not_matter(path: Path) -> None:
    """What was opened is read."""
    with opened(path, b"a\nb\n") as lines:
        path.with_name("new").write_bytes(b"c\n")
        path.with_name("new").rename(path)
        assert bodies(drained(lines)) == [b"a", b"b"]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_receive_brings_at_most_what_was_asked_for(path: Path, limit: int) -> None:
    """In the order of the file."""
    with opened(path, b"\n".join(b"%d" % n for n in range(12))) as lines:
        assert bodies(list(lines.receive(0, limit))) == [b"%d" % n for n in range(limit)]


def test_the_depth_of_a_file_is_known_from_the_beginning(path: Path) -> None:
    """Blank lines are none of it."""
    clock = FakeClock()
    with opened(path, b"a\n\nb\n \nc\nd\n", clock) as lines:
        assert lines.depth() == QueueDepth(4, 0, 0)
        one, two, three = lines.receive(0, 3)
        assert lines.depth() == QueueDepth(1, 3, 0)
        lines.delete([one.receipt_handle])
        lines.extend({two.receipt_handle: 20, three.receipt_handle: VISIBILITY_S})
        assert lines.depth() == QueueDepth(1, 1, 1)
        clock.advance(20)
        assert lines.depth() == QueueDepth(2, 1, 0)
        assert lines.visibility_timeout() == 43_200


def test_a_line_that_is_held_is_not_seen(path: Path) -> None:
    """Until its time is over; then it comes again, as the line that it was."""
    clock = FakeClock()
    with opened(path, b"a\nb\n", clock) as lines:
        first = lines.receive(0)
        assert lines.receive(0) == []
        clock.advance(VISIBILITY_S - 1)
        assert lines.receive(0) == []
        clock.advance(1)
        again = lines.receive(0)
        assert [m.line for m in again] == [m.line for m in first]
        assert [m.receive_count for m in again] == [2, 2]
        assert lines.receive(0) == []


def test_a_line_that_was_given_back_comes_again_when_it_is_due(path: Path) -> None:
    """Before what was not read yet, and once."""
    clock = FakeClock()
    with opened(path, b"a\nb\nc\n", clock) as lines:
        (a,) = lines.receive(0, 1)
        assert lines.extend({a.receipt_handle: 5}) == []
        assert bodies(list(lines.receive(0, 1))) == [b"b"]
        clock.advance(5)
        assert bodies(list(lines.receive(0, 1))) == [b"a"]
        assert bodies(list(lines.receive(0))) == [b"c"]
        assert lines.receive(0) == []


def test_a_line_can_be_held_for_longer(path: Path) -> None:
    """As a heartbeat does."""
    clock = FakeClock()
    with opened(path, b"a line\n", clock) as lines:
        (a,) = lines.receive(0)
        clock.advance(VISIBILITY_S - 1)
        assert lines.extend({a.receipt_handle: VISIBILITY_S}) == []
        clock.advance(VISIBILITY_S - 1)
        assert lines.receive(0) == []
        assert lines.depth() == QueueDepth(0, 1, 0)


def test_a_handle_gone_stale_is_reported(path: Path) -> None:
    """Acknowledged, or never handed out; the others of the call are done."""
    with opened(path, b"a\nb\n") as lines:
        a, b = lines.receive(0)
        assert lines.delete([a.receipt_handle, "9"]) == ["9"]
        assert lines.extend({a.receipt_handle: 1, "9": 1, b.receipt_handle: 0}) == ["1", "9"]
        assert bodies(list(lines.receive(0))) == [b"b"]
        assert lines.delete([b.receipt_handle, b.receipt_handle]) == [b.receipt_handle]


def test_an_empty_file_ends_at_once(path: Path) -> None:
    """Whatever the wait."""
    with opened(path, b"\n\n", SystemClock()) as lines:
        began = time.monotonic()
        assert lines.receive(20) == []
        assert time.monotonic() - began < 5
        assert lines.depth() == QueueDepth(0, 0, 0)


def test_a_receive_at_the_end_waits_for_what_is_held(path: Path) -> None:
    """It may be given back; once it is acknowledged, nothing can come any more."""
    with opened(path, b"a\nb\n", SystemClock()) as lines:
        a, b = lines.receive(0)
        began = time.monotonic()
        assert lines.receive(1) == []
        assert time.monotonic() - began >= 1
        threading.Timer(0.2, lines.extend, [{a.receipt_handle: 0}]).start()
        assert bodies(list(lines.receive(20))) == [b"a"]
        lines.delete([a.receipt_handle])
        threading.Timer(0.2, lines.delete, [[b.receipt_handle]]).start()
        assert lines.receive(20) == []
        assert time.monotonic() - began < 10


def test_several_receivers_share_the_lines(tmp_path: Path) -> None:
    """Each line comes to one of them, and all of them end."""
    content = b"".join(b"%d\n" % n for n in range(20_000))
    seen: list[Message] = []
    with opened(tmp_path / "f", content, SystemClock()) as lines:
        threads = [threading.Thread(target=lambda: seen.extend(drained(lines))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(bodies(seen), key=int) == content.split()


def test_what_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    """Of a large file a piece is held, whatever its size."""
    content = b"".join(b'{"line": %d}\n' % n for n in range(300_000))
    with opened(tmp_path / "f", content, SystemClock()) as lines:
        lines.receive(0)
        held = sum(len(line) + 1 for _, line in lines._lines)
        assert held < 65_536 + MAX_CALL * 20
        assert len(drained(lines)) == 300_000 - MAX_CALL
        assert len(lines._held) == MAX_CALL


class Stream:
    """Lines from a pipe, and the other end of it."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        content = StreamContent(self._read_end, "standard input")
        load = NamedLoad(content.name, FakeFileSources(), KEY, b"s")
        splitter = LineSplitter(content.name, load.digest)
        self.lines = LinesFile(content, SystemClock(), load.source_id, 0, load, splitter)
        self._has_ended = False

    def write(self, content: bytes) -> None:
        """Send all of it."""
        while content:
            content = content[os.write(self._write_end, content) :]

    def end(self) -> None:
        """There is no more."""
        if not self._has_ended:
            os.close(self._write_end)
        self._has_ended = True

    def close(self) -> None:
        """Both ends."""
        self.end()
        os.close(self._read_end)


@pytest.fixture
def stream() -> Iterator[Stream]:
    """A pipe that lines are read from."""
    with closing(Stream()) as pipe:
        yield pipe


def test_a_stream_is_not_waited_for_beyond_the_wait(stream: Stream) -> None:
    """What is there is handed out, and a line that has only begun is not."""
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
    """A reader that waits for more stops nobody."""
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
    """Nobody waits for a sender that sends nothing but line ends."""
    writer = threading.Thread(target=stream.write, args=(BLANK * 65,))
    writer.start()
    with pytest.raises(DataError, match="blank lines before line 66 of standard input"):
        drained_while(writer, stream.lines)
    while writer.is_alive():
        stream.lines._content.read(0.2)


def test_a_fault_of_a_stream_stops_where_it_is(stream: Stream) -> None:
    """What stood before it was handed out; nobody waits for the reader that met it."""
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
