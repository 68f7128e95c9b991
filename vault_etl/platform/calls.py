"""The observer of each call to AWS and Postgres."""

from __future__ import annotations

from typing import Protocol


class CallObserver(Protocol):
    """Sees every call to AWS and Postgres, from several threads: names, seconds and codes, never a parameter."""

    def called(self, service: str, operation: str, seconds: float) -> None:
        """Record the end of a call, good or bad. `seconds` includes all tries and the waits between them."""

    def failed(self, service: str, operation: str, code: str) -> None:
        """Record a failed try: the error code of AWS, an SQLSTATE class, or the class of the exception.

        A call that succeeds at its second try has failed once: so throttling shows before it hurts.
        """
