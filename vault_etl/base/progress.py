"""How a long piece of work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after each step."""

    def advance(self, done: int, **details: int | str) -> None:
        """`done` more items; details for the log: counts, ids and codes, never values."""
