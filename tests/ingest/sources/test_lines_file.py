"""The lines of a file as a queue: each line until it is acknowledged, in bounded memory."""

from __future__ import annotations

import datetime as dt
import gzip
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.ingest.sources.lines import BLANK, KEY, bodies, drained, opened
from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.file_sources import FakeFileSources
from tests.kit.parsed import NAMES
from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.crypto.source_digest import name_digest
from vault_etl.ingest.engine.limits import MAX_CALL
from vault_etl.ingest.queue import QueueDepth
from vault_etl.ingest.sources.lines_file import VISIBILITY_S
from vault_etl.ingest.sources.open_lines import LineOpener
from vault_etl.platform.clock import SystemClock
from vault_etl.records.messages import Line, Message

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The place of a test's file."""
    return tmp_path / "logins.jsonl"


def test_each_line_is_a_message(path: Path) -> None:
    """The line is the body, its number the handle, and it has the id of its source."""
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
    """The same content is the same lines, in any place."""
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
    """The name, in UTF-8, identifies the source, and the content may grow."""
    sources = FakeFileSources()
    for content in (b"a\n", b"a\nb\n"):
        with opened(path, content, sources=sources, source="Zugänge") as lines:
            drained(lines)
    assert list(sources.known) == [name_digest(KEY, "Zugänge".encode())]


@pytest.mark.parametrize("source", ["", "x" * 65_536, "ä" * 32_768, "\udcff"])
def test_an_invalid_name_of_a_source_is_refused(path: Path, source: str) -> None:
    """Names that are empty, longer than 16 bits can tell, or not UTF-8 are refused."""
    with pytest.raises(UsageError, match="--source"), opened(path, b"", source=source):
        pass


def test_a_day_may_be_given(path: Path) -> None:
    """Lines without a day get its midnight, UTC."""
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
    """Standard input cannot be read twice, so only a name can identify it."""
    opener = LineOpener(FakeClock(), FakeFileSources(), lambda: KEY, NAMES)
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
def test_a_file_is_read_through_before_any_line_is_loaded(
    path: Path, content: bytes, error: str | None
) -> None:
    """A fault at the very end stops the first line."""
    if error is None:
        with opened(path, content) as lines:
            assert len(drained(lines)) == 2
        return
    with pytest.raises(DataError, match=error), opened(path, content):
        pass


@pytest.mark.parametrize(("name", "compress"), [("f.gz", gzip.compress), ("f.zst", zstd.compress)])
def test_a_bomb_of_blank_lines_is_refused(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    """A few kilobytes unpack to 640 MiB, of which a tenth is unpacked."""
    with (
        pytest.raises(DataError, match="more than 64 MiB of blank lines before line 66 of"),
        opened(tmp_path / name, compress(BLANK) * 640),
    ):
        pass


def test_a_file_that_is_cut_off_loads_nothing(tmp_path: Path) -> None:
    """Its end is checked first."""
    whole = gzip.compress(b"a\n" * 100_000)
    with pytest.raises(DataError, match="cut off"), opened(tmp_path / "f.gz", whole[:-3]):
        pass
    with pytest.raises(NotFoundError, match="no file"):
        LineOpener(FakeClock(), FakeFileSources(), lambda: KEY, NAMES).open(str(tmp_path / "gone"))


@pytest.mark.parametrize("change", [b"a\nB\n", b"a\n", b"a\nb\nc\n", b""])
def test_a_file_that_changes_under_way_is_noticed(path: Path, change: bytes) -> None:
    """Its lines would have the ids of another content."""
    with opened(path, b"a\nb\n") as lines:
        path.write_bytes(change)
        with pytest.raises(DataError, match="has changed while it was read"):
            drained(lines)


def test_a_file_that_is_replaced_under_way_does_not_matter(path: Path) -> None:
    """The opened file is read."""
    with opened(path, b"a\nb\n") as lines:
        path.with_name("new").write_bytes(b"c\n")
        path.with_name("new").rename(path)
        assert bodies(drained(lines)) == [b"a", b"b"]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_a_receive_brings_at_most_its_limit(path: Path, limit: int) -> None:
    """The lines come in the order of the file."""
    with opened(path, b"\n".join(b"%d" % n for n in range(12))) as lines:
        assert bodies(list(lines.receive(0, limit))) == [b"%d" % n for n in range(limit)]


def test_the_depth_of_a_file_is_known_from_the_beginning(path: Path) -> None:
    """Blank lines do not count."""
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


def test_a_held_line_is_not_visible(path: Path) -> None:
    """The same line comes again after its time."""
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
    """The line comes before unread lines, and once."""
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
    """A heartbeat extends it."""
    clock = FakeClock()
    with opened(path, b"a line\n", clock) as lines:
        (a,) = lines.receive(0)
        clock.advance(VISIBILITY_S - 1)
        assert lines.extend({a.receipt_handle: VISIBILITY_S}) == []
        clock.advance(VISIBILITY_S - 1)
        assert lines.receive(0) == []
        assert lines.depth() == QueueDepth(0, 1, 0)


def test_a_handle_gone_stale_is_reported(path: Path) -> None:
    """Acknowledged and unknown handles are stale; the other handles of the call are extended."""
    with opened(path, b"a\nb\n") as lines:
        a, b = lines.receive(0)
        assert lines.delete([a.receipt_handle, "9"]) == ["9"]
        assert lines.extend({a.receipt_handle: 1, "9": 1, b.receipt_handle: 0}) == ["1", "9"]
        assert bodies(list(lines.receive(0))) == [b"b"]
        assert lines.delete([b.receipt_handle, b.receipt_handle]) == [b.receipt_handle]


def test_an_empty_file_ends_at_once(path: Path) -> None:
    """The wait does not matter."""
    with opened(path, b"\n\n", SystemClock()) as lines:
        began = time.monotonic()
        assert lines.receive(20) == []
        assert time.monotonic() - began < 5
        assert lines.depth() == QueueDepth(0, 0, 0)


def test_a_receive_at_the_end_waits_for_held_lines(path: Path) -> None:
    """A held line may be given back; after its acknowledgement no line can come."""
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


def test_a_file_is_read_on_demand(tmp_path: Path) -> None:
    """One piece of a large file is held, whatever its size."""
    content = b"".join(b'{"line": %d}\n' % n for n in range(60_000))
    with opened(tmp_path / "f", content, SystemClock()) as lines:
        lines.receive(0)
        held = sum(len(line) + 1 for _, line in lines._lines)
        assert held < 65_536 + MAX_CALL * 20
        assert len(drained(lines)) == 60_000 - MAX_CALL
        assert len(lines._held) == MAX_CALL
