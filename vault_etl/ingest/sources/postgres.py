"""The table of sources on Postgres, for the role ingest, which may use it through functions alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vault_etl.ingest.sources.open_lines import FileSource, Load
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("ingest/sources/file_sources.sql")


class PostgresFileSources:
    """`FileSources` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, known_by: bytes) -> FileSource:
        """See `FileSources.find`."""
        source_id, points = self._database.call(
            _SQL["find"], {"known_by": known_by}, within=ANSWER_WITHIN_S
        )
        return FileSource(source_id, tuple(points))

    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        """See `FileSources.reached`."""
        values = {**_columns(load), "lines": lines, "digest": digest}
        (answer,) = self._database.call(_SQL["reached"], values, within=ANSWER_WITHIN_S)
        return bool(answer)

    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        """See `FileSources.loaded`."""
        values = {**_columns(load), "agreed": list(agreed)}
        (answer,) = self._database.call(_SQL["loaded"], values, within=ANSWER_WITHIN_S)
        return bool(answer)


def _columns(load: Load) -> dict[str, object]:
    return {"load_id": load.load_id, "source_id": load.source_id}
