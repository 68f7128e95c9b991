"""The signed head of the audit log, for the person to keep outside the database."""

from __future__ import annotations

import sys


def print_receipt(note: str | None) -> None:
    """Print a signed note as it is, byte for byte, under a table. Nothing for None."""
    if note is not None:
        sys.stdout.write(f"\nKeep this receipt (vault-etl audit verify):\n\n{note}")
