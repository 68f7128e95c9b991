"""The only place that builds adapters: the settings go in, services come out."""

from __future__ import annotations

from vault_etl.app.ingest import IngestProgram, Source, records_of
from vault_etl.app.looks import LooksProgram
from vault_etl.app.month_archives import ArchivesProgram
from vault_etl.app.partitions import PartitionsProgram
from vault_etl.app.parts import LastCheckpoint
from vault_etl.app.rotation import RotationProgram
from vault_etl.app.status import StatusProgram
from vault_etl.ingest.worker_processes import LIFELINE_OPTION

__all__ = ["LIFELINE_OPTION", "LastCheckpoint", "Program", "Source", "records_of"]


class Program(
    ArchivesProgram,
    IngestProgram,
    LooksProgram,
    PartitionsProgram,
    RotationProgram,
    StatusProgram,
):
    """What one command needs, built from the settings when it is asked for."""
