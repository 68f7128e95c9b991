"""The audit log, in memory: a gapless chain, and what it discloses."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import uuid
from collections.abc import Iterator, Mapping

from typing_extensions import override

from tests.kit.fakes.database import FakeDatabase
from tests.kit.login_records import column
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import (
    Action,
    AuditReceipt,
    AuditRequest,
    Decision,
    Phase,
    mint_receipt,
)
from vault_etl.audit.log import EVERY_ENTRY, AuditEntry, AuditFilter, AuditLog, AuditReader
from vault_etl.audit.opening import DisclosedValue, DisclosedValues
from vault_etl.base.errors import AuditError, DeniedError
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE

_GENESIS = bytes(32)
_FRESH = dt.timedelta(seconds=60)


class FakeAuditLog(AuditLog, DisclosedValues, AuditReader):
    """`AuditLog`, `AuditReader` and `DisclosedValues` in memory.

    `broken` holds the phases that cannot be written.
    """

    def __init__(self, database: FakeDatabase, login: str = "fake") -> None:
        self._database = database
        self._login = login
        self.broken: set[Phase] = set()

    @override
    def intend(self, request: AuditRequest) -> AuditReceipt:
        entry = self._append(request, Phase.INTENT, Decision.ALLOWED, None)
        return mint_receipt(request, entry.seq, entry.hash, entry.login, entry.logged_at)

    @override
    def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
        decision = Decision.FAILED if error_code else Decision.DONE
        request = dataclasses.replace(
            receipt.request, reason=receipt.outcome or receipt.request.reason
        )
        entry = self._append(request, Phase.OUTCOME, decision, error_code)
        return Head(entry.seq, entry.hash)

    @override
    def disclose(self, receipt: AuditReceipt) -> Mapping[str, DisclosedValue]:
        entry = self.use(receipt, Action.REVEAL, Action.REVEAL_MASKED, Action.QUARANTINE_SHOW)
        if entry.record_id is None:
            return {}
        if entry.action == Action.QUARANTINE_SHOW:
            return self._body(entry.record_id) if QUARANTINE in entry.fields else {}
        record = self._database.records.get(entry.record_id)
        if record is None:
            return {}
        event = self._database.declaration.event(record.event)
        return {
            field: DisclosedValue(
                record.event,
                field,
                record.ciphertexts.get(field),
                record.subject,
                column(record, event.day.name),
                (record.tokens.get(field),),
                record.token_generation,
            )
            for field in (value.name for value in event.personal)
            if field in entry.fields
        }

    def use(self, receipt: AuditReceipt, *actions: Action) -> AuditEntry:
        """The intent of this receipt, used up. Raises DeniedError if it allows none of these."""
        entry = next((e for e in self._database.audit if e.seq == receipt.seq), None)
        if (
            entry is None
            or entry.phase != Phase.INTENT
            or entry.action not in actions
            or entry.login != self._login
            or self._database.clock.now() - entry.logged_at > _FRESH
            or entry.seq in self._database.disclosed
        ):
            raise DeniedError("no committed intent of this login discloses this")
        self._database.disclosed.add(entry.seq)
        return entry

    @override
    def entries(
        self, wanted: AuditFilter = EVERY_ENTRY, *, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        found = [
            entry
            for entry in self._database.audit
            if (wanted.since is None or entry.logged_at >= wanted.since)
            and (wanted.until is None or entry.logged_at < wanted.until)
            and wanted.record_id in {None, entry.record_id}
            and (wanted.field is None or wanted.field in entry.fields)
            and wanted.action in {None, entry.action}
            and wanted.ticket in {None, entry.ticket}
            and wanted.actor in {None, entry.actor, entry.login}
        ]
        yield from found if limit is None else found[-limit:]

    @override
    def last_trimmed(self) -> None:
        """None: this log is never trimmed."""

    def _body(self, record_id: uuid.UUID) -> Mapping[str, DisclosedValue]:
        rejection = self._database.quarantine.get(record_id)
        if rejection is None:
            return {}
        is_erased = record_id in self._database.erased_bodies
        return {
            QUARANTINE: DisclosedValue(
                QUARANTINE_TABLE, QUARANTINE, None if is_erased else rejection.body_ciphertext
            )
        }

    def _intended(self, request: AuditRequest) -> bool:
        """An allowed intent of this login is of this request, and about the same."""
        return any(
            (e.request_id, e.phase, e.decision) == (request.request_id, "intent", "allowed")
            and (e.login, e.actor, e.host, e.action, e.record_id, e.purpose, e.ticket)
            == (
                self._login,
                request.actor,
                request.host,
                request.action,
                request.record_id,
                request.purpose,
                request.ticket,
            )
            and set(e.fields) == set(request.fields)
            for e in self._database.audit
        )

    def _append(
        self, request: AuditRequest, phase: Phase, decision: Decision, error_code: str | None
    ) -> AuditEntry:
        log = self._database.audit
        twice = any(e.request_id == request.request_id and e.phase == phase for e in log)
        if (
            phase in self.broken
            or twice
            or (phase is Phase.OUTCOME and not self._intended(request))
        ):
            raise AuditError("the audit log could not be written")
        seq, previous = len(log) + 1, log[-1].hash if log else _GENESIS
        content = f"{seq} {request.request_id} {phase} {decision} {error_code}".encode()
        entry = AuditEntry(
            seq=seq,
            logged_at=self._database.clock.now(),
            request_id=request.request_id,
            phase=phase.value,
            login=self._login,
            client_address=None,
            actor=request.actor,
            host=request.host,
            action=request.action.value,
            record_id=request.record_id,
            fields=tuple(sorted(field for field in request.fields)),
            purpose=request.purpose,
            ticket=request.ticket,
            reason=request.reason,
            decision=decision.value,
            error_code=error_code,
            prev_hash=previous,
            hash=hashlib.sha256(previous + content).digest(),
        )
        log.append(entry)
        return entry
