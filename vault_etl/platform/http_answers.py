"""Answers of HTTP/1.1, read without the header parser of e-mail that http.client uses: it takes most of its time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import BadStatusLine, IncompleteRead, LineTooLong
from typing import Final

MAX_HEAD: Final = 65_536
"""Bytes of a status with its headers, and of a line between chunks."""
MAX_BODY: Final = 10 * 6 * 2**20 + 2**22
"""Bytes of a body: ten messages of 1 MiB, each byte of which JSON may write as six, and 4 MiB for the rest."""

_OK: Final = 200
_WITHOUT_BODY: Final = frozenset({204, 304})
_LINE_END: Final = b"\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_DECIMAL: Final = re.compile(r"[0-9]{1,16}")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{1,16}")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. The names of headers are in lower case; of two headers with one name the last counts."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    keeps: bool
    """True if the connection can take another request."""


class Incoming:
    """The bytes of a connection. `receive` returns the next ones as they come, or b"" at its end."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.rest = b""
        """What came and was not read."""

    def until(self, mark: bytes) -> str:
        """Read to a mark, and return what is before it."""
        while (at := self.rest.find(mark, 0, MAX_HEAD)) < 0:
            if len(self.rest) >= MAX_HEAD:
                raise LineTooLong("head")
            self.rest += self._more()
        found, self.rest = self.rest[:at], self.rest[at + len(mark) :]
        return found.decode("latin-1")

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        parts, missing = [self.rest], size - len(self.rest)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        found = b"".join(parts)
        self.rest = found[size:]
        return found[:size]

    def to_end(self) -> bytes:
        """Read to the end of the connection."""
        found, self.rest, more = bytearray(), b"", self.rest
        while more := more or self._receive():
            found += more
            _check(len(found))
            more = b""
        return bytes(found)

    def _more(self) -> bytes:
        more = self._receive()
        if not more:
            raise IncompleteRead(b"")
        return more


def read_answer(incoming: Incoming) -> Answer:
    """Read the answer to a POST request.

    Raises http.client.HTTPException if the connection ends before the end of the answer, or the answer is not HTTP/1,
    ValueError for a length that is not a number or a body above `MAX_BODY`, and OSError.
    """
    version, status, headers = read_head(incoming)
    keeps = version != "HTTP/1.0" and "close" not in headers.get("connection", "").lower()
    if status in _WITHOUT_BODY:
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = _chunks(incoming)
    elif (length := headers.get("content-length")) is not None:
        body = incoming.exactly(_size(length, _DECIMAL, 10))
    else:
        body, keeps = incoming.to_end(), False
    return Answer(status, headers, body, keeps)


def read_head(incoming: Incoming) -> tuple[str, int, dict[str, str]]:
    """Read an answer up to its body: version, status and headers. Raises what `read_answer` raises."""
    version, status, headers = _head(incoming)
    while status < _OK:  # an interim answer, such as 100
        version, status, headers = _head(incoming)
    return version, status, headers


def _head(incoming: Incoming) -> tuple[str, int, dict[str, str]]:
    first, *lines = incoming.until(_HEAD_END).split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise BadStatusLine("")  # its text may be anything
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return version, int(rest[:3]), headers


def _chunks(incoming: Incoming) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while size := _size(incoming.until(_LINE_END).partition(";")[0].strip(), _HEXADECIMAL, 16):
        length += size
        _check(length)
        chunks.append(incoming.exactly(size))
        if incoming.until(_LINE_END):
            raise ValueError("chunk")
    while incoming.until(_LINE_END):  # trailers
        pass
    return b"".join(chunks)


def _size(digits: str, form: re.Pattern[str], base: int) -> int:
    """Return a size. `int` alone takes signs, spaces and underscores too."""
    if not form.fullmatch(digits):
        raise ValueError("size")
    size = int(digits, base)
    _check(size)
    return size


def _check(size: int) -> None:
    if size > MAX_BODY:
        raise ValueError("size")
