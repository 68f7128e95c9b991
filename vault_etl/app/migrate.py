"""Migrations of the schema: `migrate`, and the differences that `migrate --check` and `doctor` show."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Sequence

from vault_etl.app import online as online_work
from vault_etl.app.catalogue import online_statements
from vault_etl.app.parts import Parts
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.resources import resource_dir
from vault_etl.platform.waiting import until_unblocked
from vault_etl.schema.online import MigrationStep
from vault_etl.schema.postgres_migrations import Applied, Migration, Pending, PostgresMigrations
from vault_etl.schema.postgres_online import apply_online
from vault_etl.schema.postgres_schema import PostgresSchema


def migrations(parts: Parts) -> PostgresMigrations:
    """The migrations of this version, and which of them are applied."""
    return PostgresMigrations(
        parts.database, resource_dir("migrations"), online_work.locks(parts), parts.declaration
    )


def migrate(
    parts: Parts, progress: Progress, wait: float, *, online: bool, rate: float | None
) -> Applied:
    """Run `migrate`. Each lock is tried for `wait` seconds."""
    all_migrations = migrations(parts)
    pace = Pace(parts.clock, rate)
    names: list[str] = []
    while True:
        applied = until_unblocked(
            lambda: all_migrations.try_apply(online=online),
            "the migrations are ready",
            parts.clock,
            threading.Event(),
            progress,
            wait,
        )
        names += applied.names
        if applied.before is None or not online:
            return dataclasses.replace(applied, names=names)
        _do_online(parts, applied.before, progress, pace, wait)
        names.append(applied.before.name)


def _do_online(
    parts: Parts, migration: Migration, progress: Progress, pace: Pace, wait: float
) -> None:
    steps = online_work.steps(parts, migration)
    with online_work.alone(parts, steps, progress, pace, wait):
        if steps.begin():
            apply_online(steps, progress, pace, parts.clock, wait)
            steps.finish()


def online_steps(parts: Parts, pending: Pending) -> Sequence[MigrationStep]:
    """The steps that remain of an online migration (`migrate --dry-run`)."""
    return online_work.steps(parts, pending.migration).left()


def schema_differences(parts: Parts, pending: Sequence[Pending] = ()) -> Sequence[str]:
    """Differences between the database and what the migrations make, except for online work that is pending."""
    schema = PostgresSchema(parts.database, resource_dir("migrations"), parts.declaration)
    files = [left.migration.statements() for left in pending if left.is_online]
    return schema.differences(
        [*itertools.chain(*files), *online_statements(parts, parts.declaration)]
    )
