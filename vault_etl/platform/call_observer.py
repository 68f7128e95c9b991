"""How adapters tell of their calls: names, seconds and codes, never a parameter or an error's text."""

from __future__ import annotations

from typing import Protocol


class CallObserver(Protocol):
    """Told of every call to AWS and Postgres, by several threads: it locks what it must."""

    def called(self, service: str, operation: str, seconds: float) -> None:
        """A call has ended, well or badly. `seconds` counts all its tries and the waits between them."""

    def failed(self, service: str, operation: str, code: str) -> None:
        """One try has failed: AWS's error code, an SQLSTATE class, or the class of the exception.

        A call that a second try cures has failed once, too: so throttling shows before it hurts.
        """
