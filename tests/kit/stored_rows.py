"""Rows of events as their tables hold them: the value of each column, by its name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.kit.declarations import DEFAULT
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.records.messages import SealedRecord

Row = Mapping[str, object]

GENERATIONS = ("token_generation", "next_token_generation")


def plain_columns(event: DeclaredEvent) -> tuple[str, ...]:
    """The columns of the plain values."""
    return tuple(name for column in event.plain for name in column.columns)


def personal_columns(event: DeclaredEvent) -> tuple[str, ...]:
    """The columns that an erasure empties: tokens, next tokens and ciphertexts of all values, and the generations."""
    return (*(name for value in event.personal for name in value.columns), *GENERATIONS)


def columns(row: SealedRecord, declaration: Declaration = DEFAULT) -> Row:
    """The columns of a row that is given to the loader. No value has a derived form."""
    event = declaration.event(row.event)
    next_tokens = row.next_tokens or {}
    return {
        **{name: row.plain.get(name) for name in plain_columns(event)},
        **{value.token: row.tokens.get(value.name) for value in event.personal},
        **{value.next_token: next_tokens.get(value.name) for value in event.personal},
        **{value.ciphertext: row.ciphertexts.get(value.name) for value in event.personal},
        **dict(zip(GENERATIONS, (row.token_generation, row.next_token_generation), strict=True)),
    }
