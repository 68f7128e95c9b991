"""An answer is read as http.client reads it, and a broken one is an error."""

from __future__ import annotations

import http.client
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.platform.http_answers import MAX_BODY, MAX_HEAD, Answer, Incoming, read_answer

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name.lower() not in {"connection", "content-length", "transfer-encoding"}
)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
LENGTH, CHUNKS, END = "length", "chunks", "end"


class _Socket:
    """What http.client needs of a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def incoming(content: bytes, piece: int = 1 << 20) -> Incoming:
    """Bytes that come in pieces."""
    stream = io.BytesIO(content)
    return Incoming(lambda: stream.read(piece))


def read(content: bytes) -> Answer:
    """Read an answer that comes in one piece."""
    return read_answer(incoming(content))


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A whole answer, framed in one of the three ways, perhaps after an interim one."""
    body = draw(st.binary(max_size=300))
    framing = draw(st.sampled_from([LENGTH, CHUNKS, END]))
    version = draw(st.sampled_from(["1.0", "1.1"])) if framing != CHUNKS else "1.1"
    headers = draw(st.dictionaries(NAMES, VALUES, max_size=3))
    if framing == LENGTH:
        headers[draw(st.sampled_from(["Content-Length", "content-length"]))] = str(len(body))
    if framing == CHUNKS:
        headers["Transfer-Encoding"] = "chunked"
        size = draw(st.integers(1, 100))
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x;ext\r\n%b\r\n" % (len(part), part) for part in parts)
        body += b"0\r\nTrailer: x\r\n\r\n"
    if draw(st.booleans()):
        headers["Connection"] = draw(st.sampled_from(["close", "Close", "keep-alive", "x, close"]))
    status = draw(st.integers(200, 599).filter(lambda each: each not in {204, 304}))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" if draw(st.booleans()) else b""
    return interim + f"HTTP/{version} {status} Any words\r\n{lines}\r\n".encode() + body


@given(answers(), st.integers(1, 400))
def test_an_answer_is_read_as_the_library_reads_it(content: bytes, piece: int) -> None:
    """Status, headers, body, and whether the connection is kept; in whichever pieces it comes."""
    socket: Any = _Socket(content)
    theirs = http.client.HTTPResponse(socket, method="POST")
    theirs.begin()
    ours = read_answer(incoming(content, piece))
    assert ours.status == theirs.status
    assert ours.headers == {name.lower(): value for name, value in theirs.getheaders()}
    keeps = not theirs.will_close
    assert ours.body == theirs.read()
    assert ours.keeps == keeps or theirs.version == 10  # such a connection is not kept


@given(answers().filter(lambda each: b"Length" in each or b"length" in each), st.data())
def test_a_part_of_an_answer_is_an_error(content: bytes, data: st.DataObject) -> None:
    """Wherever the connection ends. It is never taken for a shorter answer."""
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(http.client.HTTPException):
        read(content[:cut])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = {
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a long head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n",
    "a length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
    "a length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nbody",
    "a length that only Python takes": b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
    "a length above the largest": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
    "a length beyond memory": b"HTTP/1.1 200 OK\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n",
    "a chunk beyond memory": CHUNKED + b"f" * 30 + b"\r\n",
    "chunks above the largest": CHUNKED + b"5\r\nfirst\r\n%x\r\n" % MAX_BODY,
    "a chunk longer than its size": CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n",
    "a chunk of no size": CHUNKED + b"zz\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_answer_is_an_error(name: str) -> None:
    """No text of the answer is in the error."""
    with pytest.raises((http.client.HTTPException, ValueError)):
        read_answer(incoming(BROKEN[name], 1_000))


def test_a_body_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is not known, so it is read up to the limit."""
    monkeypatch.setattr("vault_etl.platform.http_answers.MAX_BODY", 10)
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert len(read(head + b"x" * 10).body) == 10
    with pytest.raises(ValueError, match="size"):
        read(head + b"x" * 11)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_of_this_status_has_no_body(status: int) -> None:
    """It is not waited for."""
    stream = incoming(b"HTTP/1.1 %d x\r\n\r\nnext" % status)
    assert read_answer(stream).body == b""
    assert stream.rest == b"next"


def test_the_body_is_not_shown() -> None:
    """It may hold messages."""
    shown = repr(read(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"))
    assert "canary" not in shown
