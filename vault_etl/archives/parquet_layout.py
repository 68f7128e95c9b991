"""The columns of a set: those of the table of its event that hold data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.archives.manifest import Column
from vault_etl.archives.parquet_columns import Arrow, schema_of
from vault_etl.declaration.model import DeclaredEvent, PlainType

GENERATION: Final = "token_generation"


def columns_of_set(event: DeclaredEvent) -> tuple[Column, ...]:
    """Return the columns in their order: record id, plain columns, tokens, ciphertexts, generation.

    Columns of retired values are left out: no new record has them.
    """
    plain = {
        name: column.type for column in event.plain if not column.retired for name in column.columns
    }
    moments = {column.moment for column in event.plain}
    personal = [value for value in event.personal if not value.retired]
    return (
        Column("record_id", "uuid"),
        *(
            Column(name, _TYPES[PlainType.MOMENT if name in moments else type_])
            for name, type_ in plain.items()
        ),
        *(Column(name, "uuid") for value in personal for name in value.tokens),
        *(Column(value.ciphertext, "bytea") for value in personal),
        Column(GENERATION, "smallint"),
    )


def schema_of_set(event: DeclaredEvent) -> Arrow:
    """Return the Arrow schema of the parts of a set."""
    return schema_of(columns_of_set(event))


_TYPES: Final[Mapping[PlainType, str]] = {
    PlainType.TEXT: "text",
    PlainType.INTEGER: "bigint",
    PlainType.DECIMAL: "numeric",
    PlainType.BOOLEAN: "boolean",
    PlainType.DAY: "date",
    PlainType.MOMENT: "timestamp with time zone",
}
"""PostgreSQL's names of the types, as `format_type` returns them."""
