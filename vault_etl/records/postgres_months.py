"""Which months are away, on Postgres, for every role that looks at records or erases them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vault_etl.platform.postgres import Database
from vault_etl.platform.sql_blocks import blocks
from vault_etl.records.month_away import MonthAway
from vault_etl.records.partitions import PartitionState

_SQL: Final = blocks("records/months.sql")


class PostgresMonths:
    """`Months` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def away(self) -> Sequence[MonthAway]:
        """See `Months.away`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["away"])
            return [
                MonthAway(partition, first, until, PartitionState(state), *rest)
                for partition, first, until, state, *rest in cursor.fetchall()
            ]
