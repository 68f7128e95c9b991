"""Files that ship with the code: the folders `keys/` and `migrations/`, and named blocks of SQL.

A checkout has them at its top level. A wheel carries them in the package (`vault_etl/resources/keys/`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import vault_etl
from vault_etl.base.errors import ConfigurationError

_PACKAGE: Final = Path(vault_etl.__file__).resolve().parent


def resource_dir(name: Literal["keys", "migrations"]) -> Path:
    """Return the folder called `name`. Raises ConfigurationError if this installation does not have it."""
    for candidate in (_PACKAGE / "resources" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    message = f"this installation of vault-etl has no {name} folder"
    raise ConfigurationError(
        message, hint="reinstall the package: pip install --force-reinstall vault-etl"
    )


_NAME = re.compile(r"^-- name: ([\w/]+)\n", re.MULTILINE)


def blocks(file: str) -> Mapping[str, str]:
    """Return the named blocks of a file, by its path in the package: `audit/audit.sql`."""
    return named_blocks(text_of(file))


def text_of(file: str) -> str:
    """Return the text of a file, by its path in the package."""
    return (_PACKAGE / file).read_text(encoding="utf-8")


def named_blocks(text: str) -> Mapping[str, str]:
    """Return the blocks of a text by their names."""
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], (block.strip() for block in parts[1::2]), strict=True))
