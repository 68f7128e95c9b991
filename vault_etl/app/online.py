"""Work on large tables beside loaders: an online migration, or what a later declaration needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vault_etl.app.parts import Parts
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.waiting import until_unblocked
from vault_etl.schema.postgres_online import OnlineFile, PostgresOnline


def steps(parts: Parts, work: OnlineFile) -> PostgresOnline:
    """Build the steps of the work."""
    return PostgresOnline(parts.database, parts.new_database(" watch"), locks(parts), work)


@contextlib.contextmanager
def alone(
    parts: Parts, work: PostgresOnline, progress: Progress, pace: Pace, wait: float
) -> Iterator[None]:
    """Hold the session in which no other process does online work. Other holders are waited for, `wait` seconds."""
    with work.session():
        until_unblocked(
            work.try_alone, "the online work can begin", parts.clock, pace.stop, progress, wait
        )
        yield


def locks(parts: Parts) -> LockWatch:
    """Build what names the sessions that hold locks, over a connection of its own."""
    return LockWatch(parts.new_database(" locks"))
