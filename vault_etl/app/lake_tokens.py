"""`lake tokens`: tokens for a column of a table, by a login that seals, or on the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vault_etl.app.audit import audit_log
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.partitions import need_parquet
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import audited
from vault_etl.declaration.searched import Searched

if TYPE_CHECKING:
    from vault_etl.lake.parquet_tokens import MakeTokens


@dataclass(frozen=True, slots=True)
class TokenMaker:
    """Makes the tokens of a column, in the active generation. `is_pending`: a newer one will replace it."""

    make: MakeTokens
    generation: int
    is_pending: bool


def sealing(parts: Parts, wanted: Searched) -> TokenMaker:
    """Tokens for a login of the role ingest, which makes such tokens whenever it seals: no entry."""
    need_parquet()
    from vault_etl.lake.parquet_batches import BatchTokens  # noqa: PLC0415

    must_be_in_force(parts)
    maker, *others = ring(parts).field_tokenizers(wanted.field.name)
    pending = any(other.generation > maker.generation for other in others)
    return TokenMaker(BatchTokens(maker, wanted).tokens, maker.generation, pending)


def on_the_record(
    parts: Parts, wanted: Searched, request: Callable[[int], AuditRequest]
) -> TokenMaker:
    """Tokens for a login of the role reveal: each batch has an entry, made by `request` for its number of values."""
    made = sealing(parts, wanted)

    def make(values: Any) -> tuple[Any, Sequence[int]]:  # noqa: ANN401 - arrays of pyarrow
        amount = len(values) - values.null_count
        if not amount:
            return made.make(values)
        asked = request(amount)
        with audited(audit_log(parts, asked.request_id), asked):
            return made.make(values)

    return TokenMaker(make, made.generation, made.is_pending)
