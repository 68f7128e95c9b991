"""The files of deploy/monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES: Final = FOLDER / "rules.yml"


def rules() -> list[dict[str, Any]]:
    """The rules of all groups."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
