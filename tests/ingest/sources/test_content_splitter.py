"""Content of each kind, split into records: the beginning decides the kind, and no byte is lost."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.parsed import NAMES
from vault_etl.base.errors import DataError
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.crypto.source_digest import LineDigest
from vault_etl.ingest.sources.content_splitter import FIRST_RECORDS, HEAD_BYTES, ContentSplitter
from vault_etl.ingest.sources.splitters import MAX_BLANK_BYTES, MAX_LINE_BYTES, JsonSplitter

BOM = b"\xef\xbb\xbf"
A = b'{"a": 1}'
B = b'{\n  "b": "}{\\"",\n  "c": [{"d": []}]\n}'
PIECES = [
    A,
    B,
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\n",
    b" ",
    b'"',
    b"\\",
    b"\x1e",
    b"x",
    BOM,
    b"\xef",
    b"1",
]


def split(content: bytes, *cuts: int, keep_going: bool = False) -> list[tuple[int, bytes]]:
    """Return all records of content that comes in pieces, cut at these places."""
    splitter = ContentSplitter("f", NAMES, keep_going=keep_going)
    pieces = itertools.pairwise([0, *cuts, len(content)])
    found = [record for a, b in pieces for record in splitter.feed(content[a:b])]
    return found + splitter.finish()


def numbered(*records: bytes) -> list[tuple[int, bytes]]:
    """Number records by position, from 1."""
    return list(enumerate(records, 1))


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", []),
        (b"\n \n", []),
        (BOM, []),
        (b"[]", []),
        (b" [\n]\n", []),
        (A, [A]),
        (A + b"\r\n" + BOM + A + b"\n", [A, A]),
        (b"[" + A + b"," + A + b"]", [A, A]),
        (BOM + b"\n[\n  " + B + b",\r\n  " + A + b"\n]\n", [B, A]),
        (b"[" + A + b"]\n[" + A + b"]\n", [A, A]),
        (A + A + B, [A, A, B]),
        (A + b",\n" + A + b",\n", [A, A]),
        (A + b" " + A + b"\n", [A, A]),
        (B + b"\n" + A + b"\n" + BOM + B, [B, A, B]),
        (b"\x1e" + A + b"\n\x1e" + B + b"\n", [A, B]),
        (b'\x1e{"a": \n\x1e' + A + b"\n", [b'{"a":', A]),
        (
            b"[" + A + b', 1, null, "s,]", [2, {}], ' + A + b"]",
            [A, b"1", b"null", b'"s,]"', b"[2, {}]", A],
        ),
        (b"[null,\n" + A + b', "s",\n' + A + b"]\n", [b"null", A, b'"s"', A]),
        (b"[ -1.5e3 , true," + BOM + b"\r\n" + A + b"]", [b"-1.5e3", b"true", A]),
        (b"[" + A + b"] junk\n" + A, [A, b"junk", A]),
        (b"[" + A + b"]]" + A, [A, b"]", A]),
        (B + b'\n{\n "a": "open,\n "b": 1\n}\n' + A, [B, b'{\n "a": "open,\n "b": 1\n}', A]),
        (B + b"\njunk " + A + b" more\n", [B, b"junk", A, b"more"]),
        (b"junk\n" + A + b"\n", [b"junk", A]),
        (b"junk\n" * (FIRST_RECORDS - 1) + A, [b"junk"] * (FIRST_RECORDS - 1) + [A]),
        (A + b"\n" + b"junk\n" * 20, [A, *[b"junk"] * 20]),
        (A + b" junk\n" + A, [A + b" junk", A]),
        (b'{"a": "x\n' + A + b"\n", [b'{"a": "x', A]),
        (b"[2026-01-01 00:00:00] start\n" + A, [b"[2026-01-01 00:00:00] start", A]),
    ],
)
def test_records_of_content(content: bytes, records: list[bytes]) -> None:
    """Lines, an array, consecutive values, pretty-printed or not, a text sequence (RFC 7464) are split."""
    assert split(content) == numbered(*records)
    assert split(content, *range(1, len(content))) == numbered(*records)


@given(st.lists(st.sampled_from(PIECES), max_size=14), st.data())
def test_the_cuts_between_pieces_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    """Pieces come as a disk or a pipe delivers them."""
    content = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    for keep_going in (False, True):
        try:
            whole = split(content, keep_going=keep_going)
        except DataError:
            assert not keep_going
            with pytest.raises(DataError):
                split(content, *cuts)
        else:
            assert split(content, *cuts, keep_going=keep_going) == whole


@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_no_byte_is_lost(pieces: list[bytes]) -> None:
    """Between two records there is only white space, a comma, a separator, a mark or a bracket of an array."""
    content = b"".join(pieces)
    splitter = JsonSplitter("f", keep_going=True)
    at = 0
    for number, record in splitter.feed(content) + splitter.finish():
        assert number
        while content.startswith(BOM, at) or not content.startswith(record, at):
            at = between(content, at)
        at += len(record)
    while at < len(content):
        at = between(content, at)


def between(content: bytes, at: int) -> int:
    """Return the end of the bytes between two records, or fail."""
    assert content[at : at + 1] in b" \n,\x1e[]" or content.startswith(BOM, at)
    return at + (len(BOM) if content.startswith(BOM, at) else 1)


@settings(max_examples=30)
@given(
    st.lists(
        st.dictionaries(st.text(), st.text() | st.lists(st.integers()), min_size=1), min_size=1
    )
)
def test_written_events_are_read(events: list[dict[str, object]]) -> None:
    """Each form in which programs write events gives one record per event."""
    for text in (
        json.dumps(events),
        json.dumps(events, indent=2),
        "".join(json.dumps(event, ensure_ascii=True) for event in events),
        "\n".join(json.dumps(event, indent=1) for event in events),
        "\n".join(json.dumps(event) for event in events),
    ):
        assert [json.loads(record) for _, record in split(text.encode())] == events


@pytest.mark.parametrize(
    "content", [b"junk\n" * 10 + A, b"junk", b"1\n2\n", b'["a", "b"]', b"[[1]]", b'"a"\n']
)
def test_content_without_an_object_at_its_beginning_loads_nothing(content: bytes) -> None:
    """Ten records, or all of fewer, are checked before the digest is given any, so that a source's name stays free."""
    digest = LineDigest(KeyMaterial(bytes(32)))
    splitter = ContentSplitter("f", NAMES, digest)
    with pytest.raises(
        DataError, match=r"first .*of f is (a|not a) JSON object: nothing was loaded"
    ) as caught:
        assert splitter.feed(content) == splitter.finish()
    assert digest.lines == 0
    assert "--keep-going" in str(caught.value.hint)
    kept = split(content, keep_going=True)
    assert [record for _, record in kept if record != A] == content.removesuffix(A).splitlines()


@pytest.mark.parametrize(
    "content", [b"[" + A + b"," + A, b"[" + B + b"," + B[:-9], A + A[:-1], B + b'\n{"a']
)
def test_content_that_is_cut_off_loads_nothing(content: bytes) -> None:
    """An open array or object is an error at the end; only --keep-going quarantines it."""
    with pytest.raises(DataError, match=r"f is cut off: record \d or its array does not end"):
        split(content)
    records = split(content, keep_going=True)
    assert (
        b"".join(record for _, record in records) in content.replace(b",", b"")
        or records[-1][1] in content
    )
    assert [number for number, _ in records] == list(range(1, len(records) + 1))


def test_a_digest_covers_records_not_their_form() -> None:
    """The same events as lines and as an array have one digest, so that they are loaded once."""
    digests = []
    for content in (
        A + b"\n" + A + b"\n",
        b"[" + A + b",\n" + A + b"]",
        A + A,
        b"\x1e" + A + b"\n\x1e" + A,
        BOM + A + b"\r\n" + BOM + A + b"\r\n",
    ):
        digest = LineDigest(KeyMaterial(bytes(32)))
        splitter = ContentSplitter("f", NAMES, digest)
        assert len(splitter.feed(content) + splitter.finish()) == 2
        digests.append((digest.lines, digest.value()))
    assert len(set(digests)) == 1


def test_other_records_of_the_same_bytes_are_another_source() -> None:
    """Three lines and two records of the same bytes differ: their numbers mean other records."""
    lines = A + b'\n{\n"b": 1}\n'
    digests = [LineDigest(KeyMaterial(bytes(32))) for _ in range(2)]
    for content, digest in zip(
        (lines, b"[" + lines.replace(b"\n{", b",{") + b"]"), digests, strict=True
    ):
        splitter = ContentSplitter("f", NAMES, digest)
        assert splitter.feed(content) + splitter.finish()
    assert [digest.lines for digest in digests] == [3, 2]
    assert digests[0].value() != digests[1].value()


def test_a_record_is_no_longer_than_a_line() -> None:
    """A long record is refused by its number before it fills the memory, and so is endless content."""
    longest = b'{"a": "' + b"x" * (MAX_LINE_BYTES - 9) + b'"}'
    assert split(b"[" + A + b"," + longest + b"]") == numbered(A, longest)
    for keep_going in (False, True):
        with pytest.raises(
            DataError, match="record 2 of f is longer than 1,048,576 bytes"
        ) as caught:
            split(b"[" + A + b"," + longest[:-2] + b'x"}]', keep_going=keep_going)
        assert "xx" not in f"{caught.value} {caught.value.hint}"
    splitter = JsonSplitter("f")
    for _ in range(MAX_BLANK_BYTES // HEAD_BYTES):
        splitter.feed(b" " * HEAD_BYTES)
    with pytest.raises(DataError, match="of blanks before record 1 of f"):
        splitter.feed(b" ")


def test_a_beginning_without_an_end_is_taken_for_lines() -> None:
    """The decision comes after 2 MiB of a stream, so that the wait is bounded."""
    splitter = ContentSplitter("f", NAMES)
    blank = b" " * (HEAD_BYTES // 4) + b"\n"
    for _ in range(5):
        assert splitter.feed(blank) == []
    assert splitter.feed(A + b"\n") == [(6, A)]
