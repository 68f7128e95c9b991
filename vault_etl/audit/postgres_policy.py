"""The reveal policy in Postgres. The owner's function sets it, on the record; readers and auditors see it."""

from __future__ import annotations

import json
from typing import Final

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.policy import DEFAULT_POLICY, Allowance, Quota
from vault_etl.base.errors import AuditError, ConfigurationError, DeniedError, VaultEtlError
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import ValueRefusedError
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/policy.sql")


class PostgresPolicy:
    """`PolicyReader` and `PolicyWriter` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allowance(self) -> Allowance:
        """See `PolicyReader.allowance`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["allowance"])
            looks, tokens = cursor.fetchall()
        document, reader, *_ = looks
        policy = {**DEFAULT_POLICY, **(json.loads(document) if document else {})}
        return Allowance(policy, reader, Quota(*looks[2:]), Quota(*tokens[2:]))

    def check_owner(self) -> None:
        """Raise DeniedError unless this login may act as the owner."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["act_as_owner"])

    def replace(self, request: AuditRequest, document: str) -> Head:
        """See `PolicyWriter.replace`."""
        try:
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["act_as_owner"])
                cursor.execute(
                    _SQL["set"],
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
