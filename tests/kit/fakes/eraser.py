"""Forgetting, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.database import FakeDatabase
from vault_etl.audit.entries import AuditRequest
from vault_etl.erase.erase import Erasable, Eraser, Erasure, RecordTarget, Target
from vault_etl.records.messages import SealedRecord, SealedRejection


class FakeEraser(Eraser):
    """`Eraser` in memory."""

    def __init__(self, database: FakeDatabase) -> None:
        self._database = database
        self._log = FakeAuditLog(database, login="eraser")

    @override
    def preview(self, target: Target) -> Erasable | None:
        records, bodies = self._there(target)
        if not records and not bodies:
            return None
        return Erasable(
            sum(bool(r.tokens or r.next_tokens or r.ciphertexts) for r in records),
            sum(q.record_id not in self._database.erased_bodies for q in bodies),
        )

    @override
    def erase(self, request: AuditRequest, target: Target) -> Erasure | None:
        there = self.preview(target)
        if there is None:
            return None
        records, bodies = self._there(target)
        for record in records:
            self._database.records[record.record_id] = record._replace(
                tokens={},
                next_tokens=None,
                ciphertexts={},
                token_generation=None,  # type: ignore[arg-type]  # as the loader never writes it
                next_token_generation=None,
            )
        self._database.erased_bodies.update(body.record_id for body in bodies)
        self._log.conclude(self._log.intend(request))
        entry = self._database.audit[-1]
        return Erasure(there.records, there.bodies, {}, entry.logged_at, entry.seq, entry.hash)

    def _there(self, target: Target) -> tuple[Sequence[SealedRecord], Sequence[SealedRejection]]:
        database = self._database
        if isinstance(target, RecordTarget):
            record = database.records.get(target.record_id)
            body = database.quarantine.get(target.record_id)
            return [record] if record else [], [body] if body else []
        return [r for r in database.records.values() if r.subject == target.user_id], []
