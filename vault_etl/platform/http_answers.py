"""Answers of HTTP/1.1, read without the header parser of e-mail that http.client uses: it takes most of its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.client import BadStatusLine, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import BinaryIO, Final

MAX_LINE: Final = 65_536
"""Bytes of a line, as in http.client."""
MAX_HEADERS: Final = 100

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. The names of headers are in lower case; of two headers with one name the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    keeps: bool
    """True if the connection can take another request."""


def read_answer(stream: BinaryIO) -> Answer:
    """Read the answer to a POST request.

    Raises http.client.RemoteDisconnected if the connection ends before the first byte, another HTTPException if it
    ends within the answer or the answer is not HTTP/1, ValueError for a length that is not a number, and OSError.
    """
    version, status = _status(stream)
    headers = _headers(stream)
    while status < _OK:  # an interim answer, such as 100
        version, status = _status(stream)
        headers = _headers(stream)
    keeps = version != b"HTTP/1.0" and headers.get("connection", "").lower() != "close"
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _chunks(stream)
    elif (length := headers.get("content-length")) is not None:
        body = _exactly(stream, int(length))
    else:
        body, keeps = stream.read(), False
    return Answer(status, headers, body, keeps)


def _status(stream: BinaryIO) -> tuple[bytes, int]:
    line = stream.readline(MAX_LINE)
    if not line:
        raise RemoteDisconnected("")
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise BadStatusLine("")  # its text may be anything
    return version, int(rest[:3])


def _headers(stream: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = _line(stream)
        if line in {b"\r\n", b"\n"}:
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    raise LineTooLong("headers")


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise LineTooLong("header") if len(line) == MAX_LINE else IncompleteRead(b"")
    return line


def _chunks(stream: BinaryIO) -> bytes:
    chunks: list[bytes] = []
    while size := int(_line(stream).partition(b";")[0], 16):
        chunks.append(_exactly(stream, size))
        _line(stream)
    _headers(stream)  # trailers
    return b"".join(chunks)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size)
    if len(body) != size:
        raise IncompleteRead(b"", size - len(body))
    return body
