"""The end of a set on the record, for the owner, whose login deletes the files."""

from __future__ import annotations

import contextlib
import uuid
from typing import Final

from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.audit.postgres_owner import as_owner, write
from vault_etl.base.errors import NotFoundError, UsageError, VaultEtlError
from vault_etl.lake.postgres import RecordedSet, read_recorded
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("lake/owner.sql")
_TRIES: Final = 3
"""Attempts, each of which waits up to ten seconds for a lock."""


class PostgresDroppedSets:
    """Takes sets off the record, with an intent before their files are deleted and an outcome after it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, location: str) -> tuple[uuid.UUID, RecordedSet]:
        """Return a set by its place, finished or not. Raises NotFoundError; UsageError for the archive of a month."""
        with as_owner(self._database) as cursor:
            found = next((one for one in read_recorded(cursor) if one.location == location), None)
        if found is None:
            message = f"this database has no record of a set at {location}"
            raise NotFoundError(message, hint="`vault-etl lake list` lists the sets")
        if found.set_id is None:
            message = f"{location} is the archive of {found.partition}"
            raise UsageError(message, hint="`vault-etl partitions drop --archive` deletes it")
        return found.set_id, found

    def intend(self, request: AuditRequest) -> None:
        """Commit the intent."""
        with as_owner(self._database) as cursor:
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)

    def failed(self, request: AuditRequest, error_code: str) -> None:
        """Write the outcome of files that were not all deleted, if the log can be written."""
        with contextlib.suppress(VaultEtlError), as_owner(self._database) as cursor:
            text = "files may be left, and the set is on the record"
            write(cursor, request, Phase.OUTCOME, Decision.FAILED, text, error_code)

    @retried_for_locks(tries=_TRIES)
    def drop(self, request: AuditRequest, set_id: uuid.UUID) -> None:
        """Take a set off the record, whose files were deleted, with the outcome.

        Raises IncompleteError if it is off the record already.
        """
        with as_owner(self._database) as cursor:
            ((location,),) = rows_of(cursor, _SQL["drop"], {"set_id": set_id})
            text = f"the set {set_id} at {location} is deleted and off the record"
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)
