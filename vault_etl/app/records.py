"""Records: batches that are written, months that are not attached, and erasure."""

from __future__ import annotations

from vault_etl.app.parts import Parts
from vault_etl.records.postgres_months import PostgresMonths
from vault_etl.records.unattached_months import Months


def months(parts: Parts) -> Months:
    """The months that a query of the table does not see, as the server that `parts.reads` chose has them."""
    return PostgresMonths(parts.reads)
