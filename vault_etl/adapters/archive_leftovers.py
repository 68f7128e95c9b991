"""Archives in a place, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def folder_archives(root: Path, prefix: str) -> Sequence[str]:
    """The folders in `root` that are named as archives are: the prefix, and eight characters. Sorted."""
    if not root.is_dir():
        return ()
    length = len(prefix) + 8
    return sorted(
        str(each)
        for each in root.iterdir()
        if each.name.startswith(prefix) and len(each.name) == length and each.is_dir()
    )
