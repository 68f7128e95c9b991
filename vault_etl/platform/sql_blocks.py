"""SQL in named blocks: `-- name: some_block` begins one, the next one ends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def blocks(file: str) -> Mapping[str, str]:
    """Return the named blocks of a file, by its path in the package: `audit/audit.sql`."""
    text = resources.files("vault_etl").joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], (block.strip() for block in parts[1::2]), strict=True))
