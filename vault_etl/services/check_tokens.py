"""Whether the next tokens may take the place of the old ones."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from vault_etl.errors import DataError
from vault_etl.ports.tokens import TokenChecker
from vault_etl.services.backfill import NextTokenMaker

SAMPLE_ROWS: Final = 100
"""Rows whose tokens are made anew, from all over the table."""


def check_tokens(
    checker: TokenChecker, maker: NextTokenMaker, leave_out: Sequence[uuid.UUID]
) -> None:
    """Return if old and new tokens map one to one, in all rows but these, and a sample is right.

    One snapshot: rows that are committed after it have both tokens from their loader, or the fence
    would have refused them. Raises DataError, naming records, and what `NextTokenMaker.make` raises.
    """
    check = checker.check(maker.generations, leave_out)
    if check.missing:
        raise _refused(f"no next token in {check.missing} records", check.missing_ids)
    if not check.holds:
        raise _refused("tokens that do not map one to one", check.unequal_ids)
    rows = checker.sample(maker.generations, SAMPLE_ROWS)
    made = maker.make(rows)
    wrong = [row.record_id for row in rows if made.get(row.record_id) != row.next_tokens]
    if wrong:
        raise _refused("a token of something else than the record holds", wrong)


def _refused(what: str, record_ids: Sequence[uuid.UUID]) -> DataError:
    named = ", ".join(str(record_id) for record_id in record_ids)
    return DataError(
        f"nothing is cut over: {what}: {named}",
        hint="these rows do not open, or hold another's token: mend them, or --leave-out ID",
    )
