"""Answers of HTTP/1.1, read without the header parser of e-mail that http.client uses: it takes most of its time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http.client import BadStatusLine, IncompleteRead, LineTooLong, RemoteDisconnected
from typing import BinaryIO, Final

MAX_LINE: Final = 65_536
"""Bytes of a line, as in http.client."""
MAX_HEADERS: Final = 100
MAX_BODY: Final = 10 * 6 * 2**20 + 2**22
"""Bytes of a body: ten messages of 1 MiB, each byte of which JSON may write as six, and 4 MiB for the rest."""

_OK: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 304})
_DECIMAL: Final = re.compile(rb"[0-9]{1,16}")
_HEXADECIMAL: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")


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
    ends within the answer or the answer is not HTTP/1, ValueError for a length that is not a number or a body above
    `MAX_BODY`, and OSError.
    """
    version, status = _status(stream)
    headers = _headers(stream)
    while status < _OK:  # an interim answer, such as 100
        version, status = _status(stream)
        headers = _headers(stream)
    keeps = version != b"HTTP/1.0" and headers.get("connection", "").lower() != "close"
    if status in _WITHOUT_BODY:
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = _chunks(stream)
    elif (length := headers.get("content-length")) is not None:
        body = _exactly(stream, _size(length.encode("latin-1"), _DECIMAL, 10))
    else:
        body, keeps = stream.read(MAX_BODY + 1), False
        _check(len(body))
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
    length = 0
    while size := _size(_line(stream).partition(b";")[0].strip(), _HEXADECIMAL, 16):
        length += size
        _check(length)
        chunks.append(_exactly(stream, size))
        if _line(stream).strip():
            raise ValueError("chunk")
    _headers(stream)  # trailers
    return b"".join(chunks)


def _size(digits: bytes, form: re.Pattern[bytes], base: int) -> int:
    """Return a size. `int` alone takes signs, spaces and underscores too."""
    if not form.fullmatch(digits):
        raise ValueError("size")
    size = int(digits, base)
    _check(size)
    return size


def _check(size: int) -> None:
    if size > MAX_BODY:
        raise ValueError("size")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size)
    if len(body) != size:
        raise IncompleteRead(b"", size - len(body))
    return body
