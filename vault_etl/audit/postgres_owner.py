"""Transactions as the owner of the tables, the entries written in them, and the reveal policy."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Final

import psycopg2.extensions

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.audit.policy import DEFAULT_POLICY, Allowance, Quota
from vault_etl.base.errors import AuditError, ConfigurationError, DeniedError, VaultEtlError
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import ValueRefusedError
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/owner.sql")


@contextlib.contextmanager
def as_owner(
    database: Database, name: str = "partitions", *, frozen: bool = False
) -> Iterator[psycopg2.extensions.cursor]:
    """Begin one long transaction as the owner; `frozen`: it sees one moment, and writes nothing.

    Observers see it under `name`. Raises DeniedError for any other login.
    """
    with database.transaction(name, long=True) as cursor:
        if frozen:
            cursor.execute(_SQL["freeze"])
        cursor.execute(_SQL["act_as_owner"])
        yield cursor


def write_both(cursor: psycopg2.extensions.cursor, request: AuditRequest, text: str) -> None:
    """Write both entries, last in the transaction that does the work."""
    write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)
    write(cursor, request, Phase.OUTCOME, Decision.DONE, text)


def write(
    cursor: psycopg2.extensions.cursor,
    request: AuditRequest,
    phase: Phase,
    decision: Decision,
    reason: str,
    error_code: str | None = None,
) -> None:
    """Write one entry."""
    cursor.execute(
        _SQL["entry"],
        {
            "request_id": request.request_id,
            "phase": phase.value,
            "actor": request.actor,
            "host": request.host,
            "action": request.action.value,
            "ticket": request.ticket,
            "reason": reason,
            "decision": decision.value,
            "error_code": error_code,
        },
    )


class PostgresPolicy:
    """The reveal policy: the owner sets it, and the roles reveal, audit and owner read it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allowance(self) -> Allowance:
        """Read the policy in force, and what this login has used of its quotas."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["allowance"])
            accesses, tokens = cursor.fetchall()
        document, reader, *_ = accesses
        policy = {**DEFAULT_POLICY, **(json.loads(document) if document else {})}
        return Allowance(policy, reader, Quota(*accesses[2:]), Quota(*tokens[2:]))

    def check_owner(self) -> None:
        """Raise DeniedError unless this login may act as the owner."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["act_as_owner"])

    def replace(self, request: AuditRequest, document: str) -> Head:
        """Put `document` in force and record it, in one transaction. Return the head after it.

        Raises DeniedError, AuditError, and ConfigurationError for a pattern that Postgres does not take.
        """
        try:
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["act_as_owner"])
                cursor.execute(
                    _SQL["set_policy"],
                    {
                        "request_id": request.request_id,
                        "actor": request.actor,
                        "host": request.host,
                        "reason": request.reason,
                        "document": document,
                    },
                )
                ((seq, hash_),) = cursor.fetchall()
        except DeniedError:
            raise
        except ValueRefusedError as error:
            message = f"Postgres does not take this policy (SQLSTATE {error.sqlstate})"
            raise ConfigurationError(
                message, hint="is each ticket_pattern a regular expression?"
            ) from None
        except VaultEtlError as error:
            message = f"the audit log could not be written: {error}"
            raise AuditError(message, hint="the policy is as it was") from None
        return Head(seq, bytes(hash_))
