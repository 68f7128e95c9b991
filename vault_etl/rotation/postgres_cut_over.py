"""The cut-over on Postgres: the owner's function, called by the role re-encrypt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import LockTimeoutError, ObjectsDependError
from vault_etl.platform.postgres_lock_watch import named
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.next_tokens import Swapped

_SQL: Final = blocks("rotation/tokens.sql")


class PostgresTokenCutOver:
    """`TokenCutOver` on Postgres."""

    def __init__(self, database: Database, *, allow_publication: bool = False) -> None:
        self._database = database
        self._allow_publication = allow_publication

    def check_publications(self) -> None:
        """Raise ConfigurationError, naming them, if publications or slots carry the table elsewhere, unless allowed."""
        if self._allow_publication:
            return
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["publications"])
            names = [name for (name,) in cursor.fetchall()]
        if names:
            message = f"the table is replicated elsewhere: {', '.join(names)}"
            raise ConfigurationError(
                message,
                hint="there, old and new tokens would mix: docs/how-to/logical-replication.md, and then"
                " --allow-publication",
            )

    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> Swapped | Blocked:
        """See `TokenCutOver.cut_over`."""
        try:
            seq, entry_hash, held_ms = self._database.call(
                _SQL["cut_over"],
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
                message, hint="drop them, run this again, and make them anew afterwards"
            ) from None
        return Swapped(Head(seq, bytes(entry_hash)), held_ms)

    def _lock_holders(self) -> tuple[str, ...]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["lock_holders"])
            return tuple(map(named, cursor.fetchall()))

    def _unseen(self, partitions: Sequence[int]) -> list[str]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["partitions"])
            return [name for relation, name in cursor.fetchall() if relation not in partitions]

    def _dependents(self) -> list[str]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["dependents"])
            return [name for (name,) in cursor.fetchall()]
