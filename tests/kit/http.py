"""Asking a server of HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request


def get(address: str, path: str) -> tuple[int, bytes]:
    """Return status and body of the answer of HOST:PORT, an error or not."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
