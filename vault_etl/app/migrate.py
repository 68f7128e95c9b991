"""For `migrate`."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

from vault_etl.app.parts import Parts
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.resources import resource_dir
from vault_etl.platform.waiting import until_unblocked
from vault_etl.schema.apply_online import apply_online
from vault_etl.schema.online_port import Step
from vault_etl.schema.postgres_migrations import Applied, Migration, Pending, PostgresMigrations
from vault_etl.schema.postgres_online import PostgresOnline
from vault_etl.schema.postgres_schema import PostgresSchema


class MigrateProgram(Parts):
    """What `migrate` needs."""

    def migrations(self) -> PostgresMigrations:
        """For `migrate`."""
        return PostgresMigrations(self._database, resource_dir("migrations"), self._locks())

    def migrate(
        self, progress: Progress, wait: float, *, adopt: bool, online: bool, rate: float | None
    ) -> Applied:
        """For `migrate`: each lock is tried for `wait` seconds."""
        migrations = self.migrations()
        pace = Pace(self._clock, rate)
        names: list[str] = []
        while True:
            applied = until_unblocked(
                lambda: migrations.try_apply(adopt=adopt, online=online),
                "the migrations are ready",
                self._clock,
                threading.Event(),
                progress,
                wait,
            )
            names += applied.names
            if applied.before is None or not online:
                return dataclasses.replace(applied, names=names)
            self._do_online(applied.before, progress, pace, wait)
            names.append(applied.before.name)

    def _do_online(self, migration: Migration, progress: Progress, pace: Pace, wait: float) -> None:
        steps = self._online(migration)
        with steps.session():
            until_unblocked(
                steps.try_alone, "the online work can begin", self._clock, pace.stop, progress, wait
            )
            if steps.begin():
                apply_online(steps, progress, pace, self._clock, wait)
                steps.finish()

    def online_steps(self, pending: Pending) -> Sequence[Step]:
        """For `migrate --dry-run`: what is left of one that is done online."""
        return self._online(pending.migration).left()

    def _online(self, migration: Migration) -> PostgresOnline:
        watching = self._new_database(" watch")
        return PostgresOnline(self._database, watching, self._locks(), migration)

    def _locks(self) -> LockWatch:
        return LockWatch(self._new_database(" locks"))

    def schema_differences(self, pending: Sequence[Pending] = ()) -> Sequence[str]:
        """For `migrate --check`: what is not as the migrations made it, but for online work that is left."""
        schema = PostgresSchema(self._database, resource_dir("migrations"))
        return schema.differences(
            statement
            for left in pending
            if left.is_online
            for statement in left.migration.statements()
        )
