"""The cut-over to a generation of tokens, on Postgres."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import named
from vault_etl.platform.postgres_statement_errors import LockTimeoutError, ObjectsDependError
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.token_keys import CutOverDone, TokenCutOver


class PostgresTokenCutOver(TokenCutOver):
    """`TokenCutOver` on Postgres."""

    def __init__(
        self, database: Database, declaration: Declaration, *, allow_publication: bool = False
    ) -> None:
        self._database = database
        self._sql = sql_blocks("rotation/cut_over.sql", declaration)
        self._allow_publication = allow_publication

    def check_publications(self) -> None:
        """Raise ConfigurationError if publications or slots replicate the table, naming them, unless allowed."""
        if self._allow_publication:
            return
        with self._database.transaction() as cursor:
            cursor.execute(self._sql["publications"])
            names = [name for (name,) in cursor.fetchall()]
        if names:
            message = f"the table is replicated elsewhere: {', '.join(names)}"
            raise ConfigurationError(
                message,
                hint="there, old and new tokens would mix: docs/how-to/logical-replication.md, and then"
                " --allow-publication",
            )

    @override
    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> CutOverDone | Blocked:
        try:
            seq, entry_hash, held_ms = self._database.call(
                self._sql["cut_over"],
                {
                    "request_id": request.request_id,
                    "actor": request.actor,
                    "host": request.host,
                    "reason": request.reason,
                    "generation": generation,
                    "allow_publication": self._allow_publication,
                    "partitions": None if partitions is None else list(partitions),
                },
            )
        except LockTimeoutError:
            return Blocked(self._lock_holders())
        except IncompleteError:
            if partitions is not None and (names := self._unseen(partitions)):
                message = f"nothing is cut over: {', '.join(names)} came after the check"
                raise IncompleteError(message, hint="run it again: it is checked then") from None
            raise
        except ObjectsDependError:
            self.check_publications()
            message = f"other objects depend on the token columns: {', '.join(self._dependents())}"
            raise ConfigurationError(
                message, hint="drop them, run this again, and create them again afterwards"
            ) from None
        return CutOverDone(Head(seq, bytes(entry_hash)), held_ms)

    def _lock_holders(self) -> tuple[str, ...]:
        with self._database.transaction() as cursor:
            cursor.execute(self._sql["lock_holders"])
            return tuple(map(named, cursor.fetchall()))

    def _unseen(self, partitions: Sequence[int]) -> list[str]:
        with self._database.transaction() as cursor:
            cursor.execute(self._sql["partitions"])
            return [name for relation, name in cursor.fetchall() if relation not in partitions]

    def _dependents(self) -> list[str]:
        with self._database.transaction() as cursor:
            cursor.execute(self._sql["dependents"])
            return [name for (name,) in cursor.fetchall()]
