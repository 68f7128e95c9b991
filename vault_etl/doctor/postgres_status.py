"""What `status` asks of Postgres."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

from vault_etl.doctor.status import Commits, Lately, Sessions
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("doctor/status.sql")
_NOTHING: Final[Mapping[str, object]] = {}


class PostgresStatus:
    """`StatusFacts` on Postgres. Each look has the time that `doctor` gives one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def commits(self) -> Commits | None:
        """See `StatusFacts.commits`."""
        return next((Commits(*row) for row in self._rows(_SQL["commits"])), None)

    def quarantined_lately(self, today: dt.datetime, yesterday: dt.datetime) -> Sequence[Lately]:
        """See `StatusFacts.quarantined_lately`."""
        values = {"today": today, "yesterday": yesterday}
        return [Lately(*row) for row in self._rows(_SQL["quarantined_lately"], values)]

    def sessions(self) -> Sequence[Sessions]:
        """See `StatusFacts.sessions`."""
        return [Sessions(*row) for row in self._rows(_SQL["sessions"])]

    def rotations(self) -> Sequence[tuple[str, dt.datetime]]:
        """See `StatusFacts.rotations`."""
        return [(purpose, began) for purpose, began in self._rows(_SQL["rotations"])]

    def _rows(
        self, statement: LiteralString, values: Mapping[str, object] = _NOTHING
    ) -> Sequence[tuple[Any, ...]]:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, dict(values))
            return cursor.fetchall()
