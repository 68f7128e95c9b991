"""What a rotation prints, whatever it rotated."""

from __future__ import annotations

from collections.abc import Sequence

from vault_etl.cli.output import OutputFormat, print_object


def print_report(
    output: OutputFormat | None,
    *,
    retired: Sequence[int],
    created: Sequence[int] = (),
    done: int = 0,
    remaining: int,
) -> None:
    """Print the keys that went and came, and how many rows were done and were not."""
    print_object(
        {
            "retired": list(retired),
            "created": list(created),
            "rows_reencrypted": done,
            "rows_remaining": remaining,
        },
        output,
    )
