"""A transaction that holds a lock, and a wait until a command waits for the lock."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.kit.waiting import until


@contextmanager
def holding(vault: Vault, statement: str) -> Iterator[Any]:
    """A transaction of another session, which is committed at the end of the block."""
    with (
        closing(connect(vault.database_url("admin"))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        yield cursor


def waits(vault: Vault, process: subprocess.Popen[str]) -> None:
    """Wait until a session of this database waits for a lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until(
        lambda: vault.sql(asked) != [(0,)],
        lives=lambda: process.poll() is None,
        told=process.communicate,
    )
