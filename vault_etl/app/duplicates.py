"""Tokens that several records share: the command `duplicates`, which asks no AWS."""

from __future__ import annotations

from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.parts import Parts
from vault_etl.reveal.duplicates import DuplicateFinder
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder


def duplicate_finder(parts: Parts) -> DuplicateFinder:
    """Build `duplicates`, for the server that `parts.reads` chose."""
    must_be_in_force(parts, database=parts.reads)
    return PostgresDuplicateFinder(parts.reads, parts.declaration)
