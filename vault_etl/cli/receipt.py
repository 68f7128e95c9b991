"""The signed head of the audit log, for the person to keep outside the database."""

from __future__ import annotations

import sys
from typing import TextIO


def print_receipt(note: str | None, to: TextIO | None = None) -> None:
    """Print a signed note as it is, byte for byte, under a table. Nothing for None."""
    if note is not None:
        (to or sys.stdout).write(f"\nKeep this receipt (vault-etl audit verify):\n\n{note}")
