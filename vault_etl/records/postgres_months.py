"""The months that are not attached, on Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from vault_etl.crypto.fields import EventName
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks
from vault_etl.records.months import PartitionState
from vault_etl.records.unattached_months import Months, UnattachedMonth

_MONTHS: Final = blocks("records/months.sql")


class PostgresMonths(Months):
    """`Months` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def unattached(self) -> Sequence[UnattachedMonth]:
        with self._database.transaction() as cursor:
            cursor.execute(_MONTHS["unattached"])
            return [
                UnattachedMonth(
                    EventName(event), partition, first, until, PartitionState(state), *rest
                )
                for event, partition, first, until, state, *rest in cursor.fetchall()
            ]
