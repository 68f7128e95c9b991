"""Quarantined messages of several kinds, and their list."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.kit.bench import Bench
from tests.kit.rows import Writer
from vault_etl.event.rejection import Reason
from vault_etl.quarantine.read import QuarantinedRow, QuarantineFilter
from vault_etl.records.messages import SealedRejection

NOT_JSON = (Reason.NOT_JSON, "$")


NOT_ADDRESS = (Reason.NOT_AN_ADDRESS, "$.ip")


NULL_USER = (Reason.FIELD_NULL, "$.user_id")


def listed(bench: Bench, **filters: object) -> list[QuarantinedRow]:
    """The rows as they are listed."""
    limit: Any = filters.pop("limit", None)
    wanted = QuarantineFilter(**filters)  # type: ignore[arg-type]
    return list(bench.quarantine.rows(wanted, limit=limit))


def quarantine(process: Writer, *kinds: tuple[Reason, str]) -> list[SealedRejection]:
    """One quarantined message of each kind, each committed alone; in their order."""
    rows = []
    for reason, path in kinds:
        row = dataclasses.replace(process.rejection(), reason=reason, path=path)
        process.load(row)
        rows.append(row)
    return rows
