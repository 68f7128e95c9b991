"""The sessions that block a waiting session. Only another connection can see them, and only during the wait."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from vault_etl.base.errors import VaultEtlError
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("platform/lock_watch.sql")

_EVERY_S: Final = 0.2
"""A wait for a lock lasts a second, so a few queries fall into it."""


class LockWatch:
    """Watches one session at a time, from a thread, on a connection of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: Sequence[tuple[int, str, str]] = ()

    @property
    def blockers(self) -> tuple[str, ...]:
        """The blocking sessions that were seen last."""
        return tuple(map(named, self._seen))

    @contextlib.contextmanager
    def of(self, pid: int) -> Iterator[None]:
        """Watch the session of this pid during the block. A failed query of the watch has no other effect."""
        self._seen = ()
        over = threading.Event()
        looking = threading.Thread(target=self._look, args=(pid, over), daemon=True)
        looking.start()
        try:
            yield
        finally:
            over.set()
            looking.join()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _look(self, pid: int, over: threading.Event) -> None:
        with contextlib.suppress(VaultEtlError):
            while not over.wait(_EVERY_S):
                with self._database.transaction(within=5.0) as cursor:
                    cursor.execute(_SQL["blockers"], {"pid": pid})
                    self._seen = cursor.fetchall() or self._seen


def named(session: tuple[int, str, str]) -> str:
    """Name a session by its pid, its login and its application_name."""
    pid, *names = session
    return f"pid {pid} ({', '.join(filter(None, names)) or 'a background process'})"
