"""The table of sources on Postgres. The role ingest may use the table through functions only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from typing_extensions import override

from vault_etl.ingest.sources.open_lines import FileSource, FileSources, Load
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("ingest/sources/file_sources.sql")


class PostgresFileSources(FileSources):
    """Calls the functions that find and record sources."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def find(self, known_by: bytes) -> FileSource:
        source_id, points = self._database.call(
            _SQL["find"], {"known_by": known_by}, within=ANSWER_WITHIN_S
        )
        return FileSource(source_id, tuple(points))

    @override
    def reached(self, load: Load, lines: int, digest: bytes) -> bool:
        values = {**_columns(load), "lines": lines, "digest": digest}
        (answer,) = self._database.call(_SQL["reached"], values, within=ANSWER_WITHIN_S)
        return bool(answer)

    @override
    def loaded(self, load: Load, agreed: Iterable[int]) -> bool:
        values = {**_columns(load), "agreed": list(agreed)}
        (answer,) = self._database.call(_SQL["loaded"], values, within=ANSWER_WITHIN_S)
        return bool(answer)


def _columns(load: Load) -> dict[str, object]:
    return {"load_id": load.load_id, "source_id": load.source_id}
