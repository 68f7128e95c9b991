"""For `partitions`."""

from __future__ import annotations

from vault_etl.app.parts import Parts
from vault_etl.partitions.postgres import PostgresPartitions


class PartitionsProgram(Parts):
    """What `partitions` needs."""

    def partitions(self, wait_s: float = 60.0) -> PostgresPartitions:
        """For every command of `partitions`. A detach waits so long for transactions of others."""
        return PostgresPartitions(self._database, wait_s)
