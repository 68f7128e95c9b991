"""The environment of Airflow, Dagster and dbt, whose packages do not go with ours: as LocalStack's, made once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
LOCK: Final = REPOSITORY / "requirements" / "integrations.txt"


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `airflow`, `dagster`, `dbt` and their Python: installed from the lock, without bytecode."""
    environment = tmp_path_factory.mktemp("integrations") / "venv"
    _run([sys.executable, "-m", "venv", "--without-pip", str(environment)])
    python = environment / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-compile", "--require-hashes"]
    _run([sys.executable, "-m", "pip", "--python", str(python), *install, "-r", str(LOCK)])
    return python.parent


def run_program(
    programs: Path, command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment in a folder; it imports `vault_etl` from this repository."""
    return subprocess.run(
        [str(programs / command[0]), *command[1:]],
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(REPOSITORY), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
