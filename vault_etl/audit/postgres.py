"""The audit log on Postgres: each entry is a transaction of its own, committed before the call returns."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from typing_extensions import override

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import (
    Action,
    AuditReceipt,
    AuditRequest,
    Decision,
    Phase,
    mint_receipt,
)
from vault_etl.audit.log import (
    EVERY_ENTRY,
    AuditEntry,
    AuditFilter,
    AuditLog,
    AuditReader,
    LastTrimmed,
)
from vault_etl.audit.policy import DENIALS
from vault_etl.base.errors import (
    AuditError,
    LoginDeniedError,
    PolicyDeniedError,
    RateLimitedError,
    VaultEtlError,
)
from vault_etl.crypto.fields import FieldName
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/audit.sql")


class PostgresAuditLog(AuditLog):
    """Writes entries by a procedure that commits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check_role(
        self, *roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
    ) -> None:
        """Raise DeniedError unless this login acts as one of these roles.

        Call it before the intent: after it, a login that cannot write the log is a fault of the log
        (exit 74). A login that may write the log all the same gets its requests recorded, as denied.
        """
        named = [self._database.names.put_into(role) for role in roles]
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["acts_as"], {"roles": named})
            ((acts, may_append),) = cursor.fetchall()
        if acts:
            return
        if may_append:
            for request in requests():
                self._append(request, Phase.INTENT, Decision.DENIED, "role")
        message = "Postgres: this login may not do that"
        raise LoginDeniedError(message, hint=f"use a login that has the role {' or '.join(named)}")

    @override
    def intend(self, request: AuditRequest) -> AuditReceipt:
        seq, hash_, denial, login, logged_at = self._append(
            request, Phase.INTENT, Decision.ALLOWED, None
        )
        if denial is not None:
            message, hint = DENIALS.get(denial, (f"the reveal policy says no ({denial})", ""))
            raise PolicyDeniedError(message, hint=hint, seq=seq, hash_=hash_)
        return mint_receipt(request, seq, hash_, login, logged_at)

    def resume(self, seq: int) -> AuditReceipt:
        """Return the receipt of an intent that another process of this login committed, to open or rotate a set.

        Raises DeniedError unless the intent was allowed, is at most 6 hours old, and has no outcome yet.
        """
        with self._database.transaction() as cursor:
            entry = entry_of(*rows_of(cursor, _SQL["resume"], {"seq": seq}))
        request = AuditRequest(
            request_id=entry.request_id,
            action=Action(entry.action),
            actor=entry.actor,
            host=entry.host,
            reason=entry.reason,
            record_id=entry.record_id,
            fields=tuple(map(FieldName, entry.fields)),
            purpose=entry.purpose,
            ticket=entry.ticket,
        )
        return mint_receipt(request, entry.seq, entry.hash, entry.login, entry.logged_at)

    @override
    def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
        decision = Decision.FAILED if error_code else Decision.DONE
        request = dataclasses.replace(
            receipt.request, reason=receipt.outcome or receipt.request.reason
        )
        seq, hash_, *_ = self._append(request, Phase.OUTCOME, decision, error_code)
        return Head(seq, hash_)

    def _append(
        self, request: AuditRequest, phase: Phase, decision: Decision, error_code: str | None
    ) -> tuple[int, bytes, str | None, str, dt.datetime]:
        """Return the entry's seq and hash, the reason of a denial or None, its login and its time."""
        try:
            seq, hash_, decided, code, login, logged_at = self._database.call(
                _SQL["append"],
                {
                    "request_id": request.request_id,
                    "phase": phase.value,
                    "actor": request.actor,
                    "host": request.host,
                    "action": request.action.value,
                    "record_id": request.record_id,
                    "fields": sorted(request.fields),
                    "purpose": request.purpose,
                    "ticket": request.ticket,
                    "reason": request.reason,
                    "decision": decision.value,
                    "error_code": error_code,
                    "amount": request.amount if phase is Phase.INTENT else None,
                },
            )
        except RateLimitedError:
            raise
        except VaultEtlError as error:
            message = f"the audit log could not be written: {error}"
            raise AuditError(
                message, hint="nothing was shown; see to the audit log first"
            ) from None
        denial = code if decided == Decision.DENIED else None
        return seq, bytes(hash_), denial, login, logged_at


class PostgresAuditReader(AuditReader):
    """Reads the log for the role audit, at most 250 entries of 14 KB at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def entries(
        self, wanted: AuditFilter = EVERY_ENTRY, *, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        filters = dataclasses.asdict(wanted)
        return itertools.islice(self._entries(filters, self._start(filters, limit)), limit)

    @override
    def last_trimmed(self) -> LastTrimmed | None:
        return last_trimmed(self._database)

    def _start(self, filters: Mapping[str, object], limit: int | None) -> int:
        """Return the seq of the entry after which the listing begins."""
        with self._database.transaction() as cursor:
            if limit is not None:
                cursor.execute(_SQL["before_the_newest"], {**filters, "limit": limit})
            elif filters["since"] is not None:
                cursor.execute(_SQL["before_a_time"], filters)
            else:
                return 0
            found = cursor.fetchone()
        return found[0] if found else 0

    def _entries(self, filters: Mapping[str, object], after: int) -> Iterator[AuditEntry]:
        while True:
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["entries"], {**filters, "after": after})
                rows = cursor.fetchall()
            if not rows:
                return
            yield from map(entry_of, rows)
            after = rows[-1][0]


def last_trimmed(database: Database) -> LastTrimmed | None:
    """Return the newest entry that is in segments alone, for the roles audit and reveal."""
    with database.transaction() as cursor:
        cursor.execute(_SQL["last_trimmed"])
        found = cursor.fetchone()
    return LastTrimmed(*found) if found else None


def entry_of(row: tuple[Any, ...]) -> AuditEntry:
    """Build an entry from its columns in the order of the block `entries`."""
    *plain, fields, purpose, ticket, reason, decision, error_code, prev, hash_ = row
    seq, logged_at, request_id, phase, login, address, who, host, action, record = plain
    return AuditEntry(
        seq=seq,
        logged_at=logged_at,
        request_id=request_id,
        phase=phase,
        login=login,
        client_address=address,
        actor=who,
        host=host,
        action=action,
        record_id=record,
        fields=tuple(fields),
        purpose=purpose,
        ticket=ticket,
        reason=reason,
        decision=decision,
        error_code=error_code,
        prev_hash=bytes(prev),
        hash=bytes(hash_),
    )
