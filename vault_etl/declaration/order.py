"""The order of fields, events, values and columns. It does not depend on the order in a file.

A document has no order, so two files with one digest make equal declarations, and equal SQL.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from vault_etl.declaration.model import Declaration, DeclaredEvent

FIRST: Final = (
    *("ip", "device_id"),
    *("user_id", "device_type", "locale", "app_version", "create_date"),
)
"""Names of the default declaration, in the order of its file. They come before all others."""


def in_order(declaration: Declaration) -> Declaration:
    """Return the declaration with all names in the order of the alphabet, those of the default first."""
    return Declaration(
        fields=tuple(sorted(declaration.fields, key=lambda field: order_of(field.name))),
        events=tuple(
            map(_event_in_order, sorted(declaration.events, key=lambda event: order_of(event.name)))
        ),
    )


def _event_in_order(event: DeclaredEvent) -> DeclaredEvent:
    return dataclasses.replace(
        event,
        personal=tuple(sorted(event.personal, key=lambda value: order_of(value.name))),
        plain=tuple(sorted(event.plain, key=lambda column: order_of(column.name))),
    )


def order_of(name: str) -> tuple[int, str]:
    """Return what names are sorted by."""
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)
