"""Looking records up by token on Postgres, for the role reveal."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from typing import Final

from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_stream import stream
from vault_etl.adapters.sql import blocks
from vault_etl.core.fields import Field
from vault_etl.ports.record_finder import Holder, Holders

_SQL: Final = blocks("find.sql")


class PostgresRecordFinder:
    """`RecordFinder` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def holding(self, field: Field, tokens: Sequence[uuid.UUID], limit: int) -> Holders:
        """See `RecordFinder.holding`. Count and list are of one snapshot."""
        values = {"tokens": list(tokens), "limit": limit}
        rows = stream(self._database, _SQL[f"holding_{field.value}"], values)
        first = next(rows, None)
        if first is None:
            return Holders(0, iter(()))
        return Holders(first[3], (Holder(*row[:3]) for row in itertools.chain((first,), rows)))
