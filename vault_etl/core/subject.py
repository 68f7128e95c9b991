"""Whether a quarantined message names a user: it could not be read as an event, so all of it is looked through."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any, Final

_MAX_LAYERS: Final = 5
"""JSON in the strings of JSON, as envelopes have it."""


class Match(StrEnum):
    """`value`: a whole value of the JSON is the id. `text`: the id stands in what is no JSON, as a word of its own."""

    VALUE = "value"
    TEXT = "text"


def match_of(body: bytes, user_id: str) -> Match | None:
    """How a body names the user, or None. A longer word with the id in it is another user's."""
    text = body.decode("utf-8", "replace")
    try:
        return Match.VALUE if _holds(json.loads(text), user_id, _MAX_LAYERS) else None
    except (ValueError, RecursionError):
        return Match.TEXT if _in_text(text, user_id) else None


def _holds(value: Any, user_id: str, layers: int) -> bool:  # noqa: ANN401 - whatever JSON held
    if isinstance(value, dict | list):
        inner = (*value, *value.values()) if isinstance(value, dict) else value
        return any(_holds(one, user_id, layers) for one in inner)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()
        is_json = layers > 0 and text[:1] in {"{", "["}
        return text == user_id or (is_json and _in_json(text, user_id, layers - 1))
    return False


def _in_json(text: str, user_id: str, layers: int) -> bool:
    try:
        return _holds(json.loads(text), user_id, layers)
    except ValueError:
        return _in_text(text, user_id)


def _in_text(text: str, user_id: str) -> bool:
    spelt = "|".join(re.escape(form) for form in {user_id, json.dumps(user_id)[1:-1]})
    return re.search(rf"(?<![\w.@+-])(?:{spelt})(?![\w@+-])", text) is not None
