"""The environment of Airflow, Dagster and dbt, whose packages do not fit ours: `make integrations` makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(sys.prefix) / "integrations" / "bin"


def run_program(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment in a folder; it imports `vault_etl` from this repository."""
    return subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:]],
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
