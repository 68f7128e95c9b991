"""The files of deploy/monitoring, and the page of log lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

_ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = _ROOT / "deploy" / "monitoring"
LOGS: Final = _ROOT / "docs" / "operations" / "logs.md"
RULES: Final = FOLDER / "rules.yml"


def rules() -> list[dict[str, Any]]:
    """The rules of all groups."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def documented_lines() -> dict[str, tuple[str, set[str]]]:
    """The log lines of the page by their event: the level, and the fields of this event alone, without reasons."""
    row = re.compile(r"^\| `([a-z ]+)` \| (info|warning) \| (.+) \|$", re.MULTILINE)
    return {
        event: (level, set(re.findall(r"`(\w+)`", fields)) - {"reason_CODE"})
        for event, level, fields in row.findall(LOGS.read_text("utf-8"))
    }
