"""Text that cannot steer a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` in one line that cannot steer a terminal: what does not print is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
