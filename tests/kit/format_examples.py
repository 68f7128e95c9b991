"""The examples of docs/formats.md, read from the page."""

from __future__ import annotations

import configparser
import json
import uuid
from pathlib import Path
from typing import Final

from tests.kit.pages import blocks

PAGE: Final = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


def _bytes(section: str, name: str) -> bytes:
    return bytes.fromhex(EXAMPLES[section][name])


def _text(section: str, name: str) -> str:
    value = json.loads(EXAMPLES[section][name])
    assert isinstance(value, str)
    return value


def _uuid(section: str, name: str) -> uuid.UUID:
    return uuid.UUID(EXAMPLES[section][name])


def _examples() -> configparser.ConfigParser:
    """Every `ini` block of the page, as one."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    for block in blocks(PAGE, "ini"):
        parser.read_string(block)
    return parser


EXAMPLES: Final = _examples()
