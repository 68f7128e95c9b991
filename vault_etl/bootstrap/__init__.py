"""The only place that builds adapters: the settings go in, services come out."""

from __future__ import annotations

from vault_etl.adapters.worker_processes import LIFELINE_OPTION
from vault_etl.bootstrap.ingest import IngestProgram, Source, records_of
from vault_etl.bootstrap.looks import LooksProgram
from vault_etl.bootstrap.month_archives import ArchivesProgram
from vault_etl.bootstrap.partitions import PartitionsProgram
from vault_etl.bootstrap.parts import LastCheckpoint
from vault_etl.bootstrap.rotation import RotationProgram
from vault_etl.bootstrap.status import StatusProgram

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
