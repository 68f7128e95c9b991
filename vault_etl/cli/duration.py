"""A length of time on the command line."""

from __future__ import annotations

import re
from typing import Final

import typer

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration:
    """Parses 90, 90s, 10m, 2h or 1d into seconds."""

    __name__ = "TIME"

    def __call__(self, value: str | float) -> float:
        """Seconds. Raises typer's BadParameter for anything else."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd]?)", value.strip())
        if found is None:
            message = "a time is a number and s, m, h or d: 90s, 10m, 2h"
            raise typer.BadParameter(message)
        return float(found[1]) * _SECONDS[found[2]]
