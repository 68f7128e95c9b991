"""Keyed digests that recognise a source of lines: the only thing stored about the content of a file.

    of a name    HMAC(source key, "vault-etl/1/source-name" ‖ name)
    of lines     HMAC(source key, "vault-etl/1/source-lines" ‖ line 1 ‖ U+000A ‖ line 2 ‖ U+000A ‖ …)

One U+000D at the end of a line and one byte order mark at its beginning are left out, so a copy with
other line ends is the same content.

Without the key a digest says nothing. With the key a guess of the whole content can be confirmed, erased
or not. So only `ingest` may open the key, and the database compares digests but shows none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from vault_etl.crypto.digest import hmac_sha256
from vault_etl.crypto.keys import KeyMaterial

_NAME_LABEL: Final = b"vault-etl/1/source-name"
_LINES_LABEL: Final = b"vault-etl/1/source-lines"
_MARKED: Final = b"\n\xef\xbb\xbf"


class LineDigest:
    """The digest of the lines so far, and of the lines up to each of `points`, which are line counts."""

    def __init__(self, key: KeyMaterial, points: Iterable[int] = ()) -> None:
        self.lines = 0
        self.passed: deque[tuple[int, bytes]] = deque()
        """The points that the lines have reached, each with the digest up to that point."""
        self._points = deque(sorted(points))
        self._mac = HMAC(key.expose(), SHA256())
        self._mac.update(_LINES_LABEL)

    def add(self, lines: Sequence[bytes]) -> None:
        """Add the next lines, each as read, up to its U+000A."""
        while self._points and self._points[0] <= self.lines + len(lines):
            before = self._points.popleft() - self.lines
            self._take(lines[:before])
            lines = lines[before:]
            self.passed.append((self.lines, self.value()))
        self._take(lines)

    def value(self) -> bytes:
        """Return the digest of the lines so far: 32 bytes."""
        return self._mac.copy().finalize()

    def _take(self, lines: Sequence[bytes]) -> None:
        if lines:
            # Each line follows a line end here, so one replacement finds every byte order mark.
            text = b"\n".join([b"", *lines, b""])
            self._mac.update(text.replace(b"\r\n", b"\n").replace(_MARKED, b"\n")[1:])
            self.lines += len(lines)


def name_digest(key: KeyMaterial, name: bytes) -> bytes:
    """Return the digest of the name of a source, in UTF-8: 32 bytes."""
    return hmac_sha256(key.expose(), _NAME_LABEL, name)
