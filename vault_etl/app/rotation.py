"""For `keys rotate`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from typing import Final

from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import Field
from vault_etl.keys.postgres_destroy import PostgresOldTokens
from vault_etl.keys.ring import ExplainedKeys, KeyRing
from vault_etl.platform.clock import Pace, Progress
from vault_etl.platform.postgres import Database
from vault_etl.rotation.abort_tokens import Aborted, AbortTokens
from vault_etl.rotation.backfill import Backfill, BackfillWorker
from vault_etl.rotation.begin_tokens import BeginTokens
from vault_etl.rotation.cut_over import CutOver
from vault_etl.rotation.data_keys import (
    ResealWorker,
    Rotation,
    RotationPlan,
    plan_rotation,
    retire_data_keys,
)
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.postgres_detached import PostgresDetachedMonths, PostgresDetachedTokens
from vault_etl.rotation.postgres_reencrypt import PostgresResealer
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill, PostgresTokenChecker
from vault_etl.rotation.reseal import WorkersKeys
from vault_etl.rotation.retoken_month import (
    MonthRetoken,
    RetokenPlan,
    RetokenWorker,
    plan_retoken,
)
from vault_etl.rotation.tokens import TokenPlan, TokenRotation, plan_tokens

ROTATION_WORKERS: Final = 4
"""Threads, so that sealing and waiting for Postgres overlap. More processes share the same ranges."""


class RotationProgram(Parts):
    """What `keys rotate` needs."""

    def plan_rotation(self, fields: Sequence[Field], *, lazy: bool) -> RotationPlan:
        """For `keys rotate`: what it would do."""
        return plan_rotation(self._keys, PostgresRotationReader(self._database), fields, lazy=lazy)

    def retire_data_keys(self, request: AuditRequest) -> tuple[int, ...]:
        """Run `keys rotate --lazy`."""
        return retire_data_keys(self.audit_log(request.request_id), self._keys, request)

    def rotation(self, progress: Progress, request_id: uuid.UUID, rate: float | None) -> Rotation:
        """For `keys rotate`."""
        return Rotation(
            audit=self.audit_log(request_id),
            rotations=PostgresDataRotations(self._database),
            workers=[
                ResealWorker(PostgresRangeClaims(database, request_id), PostgresResealer(database))
                for database in self._workers_databases()
            ],
            keys=self._workers_keys(request_id, self._ring(request_id)),
            pace=Pace(self._clock, rate),
            progress=progress,
        )

    def plan_tokens(self, leave_out: Sequence[LeaveOut] = ()) -> TokenPlan:
        """For `keys rotate --tokens`: what it would do."""
        checker = PostgresTokenChecker(self._database)
        return plan_tokens(self._keys, checker, checker, leave_out)

    def check_publications(self) -> None:
        """Raise ConfigurationError, naming it, if anything carries the table elsewhere."""
        PostgresTokenCutOver(self._database).check_publications()

    def token_rotation(
        self,
        progress: Progress,
        request_id: uuid.UUID,
        rate: float | None,
        wait: float,
        *,
        allow_publication: bool = False,
    ) -> TokenRotation:
        """For `keys rotate --tokens`; the cut-over is tried for `wait` seconds."""
        database = self._database
        log = self.audit_log(request_id)
        reader = ExplainedKeys(self._keys, self._keys)
        return TokenRotation(
            audit=log,
            sign=log.sign,
            identity=self.identity(),
            begin=BeginTokens(
                reader,
                PostgresTokenRotations(database),
                self._unseen_generator(request_id),
                self._unwrapper(request_id),
            ),
            backfill=Backfill(
                [
                    BackfillWorker(PostgresRangeClaims(own, request_id), PostgresTokenBackfill(own))
                    for own in self._workers_databases()
                ],
                self._workers_keys(request_id, self._ring(request_id, reader=reader)),
                Pace(self._clock, rate),
                progress,
            ),
            keys=self._keys,
            checker=PostgresTokenChecker(database),
            cut_over=CutOver(
                PostgresTokenCutOver(database, allow_publication=allow_publication),
                self._clock,
                threading.Event(),
                progress,
                wait,
            ),
        )

    def plan_retoken(self, wanted: str) -> RetokenPlan:
        """For `partitions retoken`: what it would do to that month."""
        months = PostgresDetachedMonths(self._database)
        reader = ExplainedKeys(self._keys, self._keys)
        return plan_retoken(months, reader, months.find(wanted))

    def month_retoken(
        self, progress: Progress, request_id: uuid.UUID, rate: float | None
    ) -> MonthRetoken:
        """For `partitions retoken`."""
        reader = ExplainedKeys(self._keys, self._keys)
        return MonthRetoken(
            audit=self.audit_log(request_id),
            identity=self.identity(),
            months=PostgresDetachedMonths(self._database),
            workers=[
                RetokenWorker(PostgresRangeClaims(own, request_id), PostgresDetachedTokens(own))
                for own in self._workers_databases()
            ],
            keys=self._workers_keys(request_id, self._ring(request_id, reader=reader)),
            pace=Pace(self._clock, rate),
            progress=progress,
        )

    def abort_tokens(self, progress: Progress, request: AuditRequest) -> Aborted:
        """Run `keys rotate --tokens --abort`."""
        database = self._database
        abort = AbortTokens(
            self.audit_log(request.request_id),
            PostgresTokenRotations(database),
            self._keys,
            PostgresOldTokens(database),
            progress,
        )
        return abort(request)

    def _workers_keys(self, request_id: uuid.UUID, ring: KeyRing) -> WorkersKeys:
        return WorkersKeys(ring, self._old_keys(ring, request_id), self._leases(), self._clock)

    def _workers_databases(self) -> list[Database]:
        """A connection for each worker of a rotation."""
        return [self._new_database(f" {i + 1}") for i in range(ROTATION_WORKERS)]
