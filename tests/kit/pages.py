"""The pages of docs/: their blocks of code, and a shell that runs a block."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vault_etl.local.postgres_server import find_postgres_binaries

DOCS: Final = Path(__file__).parents[2] / "docs"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of code, with its language."""


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a language in a text, in order."""
    return [block for named, block in BLOCK.findall(text) if named == language]


def documented(page: str, language: str) -> list[str]:
    """The blocks of a language on a page of the docs, in order."""
    return blocks((DOCS / page).read_text(encoding="utf-8"), language)


def shell(
    block: str, environment: Mapping[str, str], folder: Path, binaries: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a block of shell in a folder, with `vault-etl` and the programs of PostgreSQL on the PATH."""
    path = [Path(sys.executable).parent, binaries or find_postgres_binaries().bin]
    return subprocess.run(
        ["/bin/sh", "-eu"],
        env={**environment, "PATH": os.pathsep.join([*map(str, path), os.defpath])},
        cwd=folder,
        input=block,
        capture_output=True,
        text=True,
        check=False,
    )
