"""The calls of AWS and Postgres that a test made."""

from __future__ import annotations

from typing_extensions import override

from vault_etl.platform.calls import CallObserver


class Told(CallObserver):
    """A `CallObserver` that keeps its reports."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.failures: list[tuple[str, str, str]] = []
        self.seconds = 0.0

    @override
    def called(self, service: str, operation: str, seconds: float) -> None:
        self.calls.append((service, operation))
        self.seconds += seconds

    @override
    def failed(self, service: str, operation: str, code: str) -> None:
        self.failures.append((service, operation, code))
