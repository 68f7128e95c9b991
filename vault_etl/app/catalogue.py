"""The catalogue of declarations: the check of each command that writes, and `schema apply`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vault_etl.app import online
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.model import Declaration
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.resources import resource_dir
from vault_etl.platform.waiting import until_unblocked
from vault_etl.schema.online import MigrationStep, Statement
from vault_etl.schema.postgres_apply import ApplyPlan, PostgresApply
from vault_etl.schema.postgres_online import PostgresOnline, apply_online
from vault_etl.schema.postgres_versions import PostgresVersions, VersionInForce


def in_force(parts: Parts) -> VersionInForce | None:
    """The version in force; None before the first `migrate`."""
    return PostgresVersions(parts.database).in_force()


def history(parts: Parts) -> Sequence[Declaration]:
    """Every declaration that was in force, the newest one last. For the role audit and the owner.

    Raises DeniedError for another login, and ConfigurationError before the first `migrate`.
    """
    if found := PostgresVersions(parts.database).all():
        return found
    message = "the database has no declaration yet"
    raise ConfigurationError(message, hint="`vault-etl migrate` records the first")


def plan(parts: Parts, new: Declaration) -> ApplyPlan:
    """Compare a declaration with all that were in force (`schema apply`)."""
    return _apply(parts).plan(new)


def apply(parts: Parts, found: ApplyPlan, progress: Progress, wait: float) -> None:
    """Put the declaration of a plan in force, if it is not, and do the online work that it needs.

    Each lock is tried for `wait` seconds.
    """
    if not found.is_in_force:
        declarations = _apply(parts)
        reason = f"version {found.version}: {len(found.changes)} changes"
        request = audit_request(parts.identity, Action.SCHEMA_APPLY, reason)
        until_unblocked(
            lambda: declarations.try_apply(request, found),
            "the declaration is ready",
            parts.clock,
            threading.Event(),
            progress,
            wait,
        )
    _do_online(parts, found.new, progress, wait)


def online_steps(parts: Parts, declaration: Declaration) -> Sequence[MigrationStep]:
    """The online work that is left: indexes of later columns, and constraints that are not validated."""
    return _online(parts, declaration).left()


def online_statements(parts: Parts, declaration: Declaration) -> Sequence[Statement]:
    """The statements of the online work, if any is left: what they make may be there in part."""
    work = _apply(parts).online_work(declaration)
    return work.statements() if online.steps(parts, work).left() else []


def _do_online(parts: Parts, declaration: Declaration, progress: Progress, wait: float) -> None:
    steps = _online(parts, declaration)
    if steps.left():
        pace = Pace(parts.clock, None)
        with online.alone(parts, steps, progress, pace, wait):
            apply_online(steps, progress, pace, parts.clock, wait)


def _online(parts: Parts, declaration: Declaration) -> PostgresOnline:
    return online.steps(parts, _apply(parts).online_work(declaration))


def _apply(parts: Parts) -> PostgresApply:
    return PostgresApply(parts.database, resource_dir("migrations"), online.locks(parts))
