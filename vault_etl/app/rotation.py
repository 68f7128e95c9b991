"""Rotation: data keys and tokens (`keys rotate`), and tokens of a detached month (`partitions retoken`)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Final

from vault_etl.app.audit import audit_log
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import key_store, ring, unwrapper
from vault_etl.app.keys import leases, unseen_generator, value_keys
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import FieldName
from vault_etl.keys.postgres_destroy import PostgresOldTokens
from vault_etl.keys.ring import ExplainedKeys, KeyRing
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.postgres import Database
from vault_etl.rotation.backfill import Backfill
from vault_etl.rotation.data_keys import (
    Rotation,
    RotationPlan,
    plan_rotation,
    retire_data_keys,
)
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.pending_generation import Aborted, AbortTokens, BeginTokens
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_retoken import PostgresDetachedMonths, PostgresDetachedTokens
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill, PostgresTokenComparer
from vault_etl.rotation.retoken import (
    MonthRetoken,
    RetokenPlan,
    plan_retoken,
)
from vault_etl.rotation.token_keys import CutOverTries, TokenPlan, TokenRotation, plan_tokens
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeWorker

ROTATION_WORKERS: Final = 4
"""Threads, so that sealing and waiting for Postgres overlap. Several processes share the same ranges."""


def plan_data_keys(parts: Parts, fields: Sequence[FieldName], *, lazy: bool) -> RotationPlan:
    """The plan of `keys rotate`."""
    must_be_in_force(parts)
    return plan_rotation(
        key_store(parts), PostgresRotationReader(parts.database), fields, lazy=lazy
    )


def retire(parts: Parts, request: AuditRequest) -> tuple[int, ...]:
    """Run `keys rotate --lazy`."""
    must_be_in_force(parts)
    return retire_data_keys(audit_log(parts, request.request_id), key_store(parts), request)


def data_rotation(
    parts: Parts, progress: Progress, request_id: uuid.UUID, rate: float | None
) -> Rotation:
    """Build `keys rotate`."""
    return Rotation(
        audit=audit_log(parts, request_id),
        rotations=PostgresDataRotations(parts.database, parts.declaration),
        workers=[
            RangeWorker(
                PostgresRangeClaims(database, request_id),
                PostgresReencrypter(database, parts.declaration),
            )
            for database in _worker_databases(parts)
        ],
        keys=_worker_keys(parts, request_id, ring(parts, request_id)),
        pace=Pace(parts.clock, rate),
        progress=progress,
    )


def plan_token_keys(parts: Parts, leave_out: Sequence[LeaveOut] = ()) -> TokenPlan:
    """The plan of `keys rotate --tokens`."""
    must_be_in_force(parts)
    comparer = PostgresTokenComparer(parts.database, parts.declaration)
    return plan_tokens(key_store(parts), comparer, comparer, leave_out)


def check_publications(parts: Parts) -> None:
    """Raise ConfigurationError, which names the publication, if the table is replicated to another server."""
    PostgresTokenCutOver(parts.database, parts.declaration).check_publications()


def token_rotation(
    parts: Parts,
    progress: Progress,
    request_id: uuid.UUID,
    rate: float | None,
    wait: float,
    *,
    allow_publication: bool = False,
) -> TokenRotation:
    """Build `keys rotate --tokens`. The cut-over is tried for `wait` seconds."""
    database = parts.database
    log = audit_log(parts, request_id)
    reader = ExplainedKeys(key_store(parts), key_store(parts))
    return TokenRotation(
        audit=log,
        sign=log.sign,
        identity=parts.identity,
        begin=BeginTokens(
            reader,
            PostgresTokenRotations(database, parts.declaration),
            unseen_generator(parts, request_id),
            unwrapper(parts, request_id),
            parts.declaration.field_names,
        ),
        backfill=Backfill(
            [event.name for event in parts.declaration.events],
            [
                RangeWorker(
                    PostgresRangeClaims(own, request_id),
                    PostgresTokenBackfill(own, parts.declaration),
                )
                for own in _worker_databases(parts)
            ],
            _worker_keys(parts, request_id, ring(parts, request_id, reader=reader)),
            Pace(parts.clock, rate),
            progress,
        ),
        keys=key_store(parts),
        comparer=PostgresTokenComparer(database, parts.declaration),
        cut_over=CutOverTries(
            PostgresTokenCutOver(database, parts.declaration, allow_publication=allow_publication),
            parts.clock,
            threading.Event(),
            progress,
            wait,
        ),
    )


def plan_month(parts: Parts, wanted: str) -> RetokenPlan:
    """The plan of `partitions retoken` for one month."""
    must_be_in_force(parts)
    months = PostgresDetachedMonths(parts.database, parts.declaration)
    reader = ExplainedKeys(key_store(parts), key_store(parts))
    return plan_retoken(months, reader, months.find(wanted), parts.declaration.field_names)


def month_retoken(
    parts: Parts, progress: Progress, request_id: uuid.UUID, rate: float | None
) -> MonthRetoken:
    """Build `partitions retoken`."""
    reader = ExplainedKeys(key_store(parts), key_store(parts))
    return MonthRetoken(
        audit=audit_log(parts, request_id),
        identity=parts.identity,
        months=PostgresDetachedMonths(parts.database, parts.declaration),
        workers=[
            RangeWorker(
                PostgresRangeClaims(own, request_id), PostgresDetachedTokens(own, parts.declaration)
            )
            for own in _worker_databases(parts)
        ],
        keys=_worker_keys(parts, request_id, ring(parts, request_id, reader=reader)),
        pace=Pace(parts.clock, rate),
        progress=progress,
    )


def abort_tokens(parts: Parts, progress: Progress, request: AuditRequest) -> Aborted:
    """Run `keys rotate --tokens --abort`."""
    must_be_in_force(parts)
    database = parts.database
    abort = AbortTokens(
        audit_log(parts, request.request_id),
        PostgresTokenRotations(database, parts.declaration),
        key_store(parts),
        PostgresOldTokens(database),
        progress,
    )
    return abort(request)


def _worker_keys(parts: Parts, request_id: uuid.UUID, keys: KeyRing) -> WorkerKeys:
    return WorkerKeys(
        keys,
        value_keys(parts, keys, request_id),
        leases(parts),
        parts.clock,
        parts.declaration,
    )


def _worker_databases(parts: Parts) -> list[Database]:
    """Connections, one for each worker of a rotation."""
    return [parts.new_database(f" {i + 1}") for i in range(ROTATION_WORKERS)]
