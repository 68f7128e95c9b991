"""Progress that remembers."""

from __future__ import annotations

from typing_extensions import override

from vault_etl.platform.clock import Progress


class FakeProgress(Progress):
    """`Progress` that keeps every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, dict[str, int | str]]] = []

    @override
    def advance(self, done: int, **details: int | str) -> None:
        self.steps.append((done, details))
