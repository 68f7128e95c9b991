"""Progress that remembers."""

from __future__ import annotations


class FakeProgress:
    """`Progress` that keeps every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, dict[str, int | str]]] = []

    def advance(self, done: int, **details: int | str) -> None:
        """See `Progress.advance`."""
        self.steps.append((done, details))
