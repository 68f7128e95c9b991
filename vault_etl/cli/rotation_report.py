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
    left_out: int | None = None,
) -> None:
    """Print the keys that went and came, and how many rows were done and were not.

    `left_out` is of a rotation of the token keys that was cut over.
    """
    print_object(
        {
            "retired": list(retired),
            "created": list(created),
            "rows_reencrypted": done,
            "rows_remaining": remaining,
            **({} if left_out is None else {"rows_left_out": left_out}),
        },
        output,
    )
