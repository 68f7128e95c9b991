"""The output of a command, without what differs from run to run."""

from __future__ import annotations

import re

NOTE = "vault-etl/audit/<uuid>\n<n>\n<base64>\n\n\u2014 vault-etl/audit/<uuid> <base64>\n"


PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}


VARYING = (
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"(?<=date  )\d{4}-\d\d-\d\d", "<day>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r"(?<=[\s])[A-Za-z0-9+/]{43,120}={0,2}", "<base64>"),
    (r"^\d+$", "<n>"),
)


def plain(text: str) -> str:
    """Remove the colours of a text."""
    return "".join(
        part.partition("m")[2] if i else part for i, part in enumerate(text.split("\x1b["))
    )


def steady(text: str) -> str:
    """Replace the parts of a text that differ from run to run."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text.replace("\r", "")
