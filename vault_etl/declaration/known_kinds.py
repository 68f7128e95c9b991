"""The names of the kinds and of their options, until `vault_etl.kinds` has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownKind:
    """A kind by its name and options."""

    name: str
    options: tuple[tuple[str, int | str], ...] = ()
    version: int = 1
