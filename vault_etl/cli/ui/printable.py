"""Text without the control characters that a terminal would obey."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` in one line, with every character escaped that does not print: it cannot control a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
