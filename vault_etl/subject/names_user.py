"""Search for a user in a quarantined message. The message is not a valid event, so all of its text is searched."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from vault_etl.event.envelopes import text_of_base64

_MAX_LAYERS: Final = 5
"""Levels of JSON within strings of JSON, as envelopes have it."""
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


class Match(StrEnum):
    """`value`: a whole value of the JSON is the id. `text`: the id is a separate word in text that is not JSON."""

    VALUE = "value"
    TEXT = "text"


def match_of(body: bytes, user_id: str) -> Match | None:
    """The way in which a body names the user, or None. A longer word that contains the id names another user.

    The body is read as UTF-8, and as UTF-16 if it may be that; base64 of JSON counts as JSON, as it does for `ingest`.
    """
    found = {_match(text, user_id, _MAX_LAYERS) for text in _texts(body)}
    return next((match for match in Match if match in found), None)


def _texts(body: bytes) -> Iterator[str]:
    yield body.decode("utf-8", "replace")
    if b"\0" in body or body[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        for encoding in ("utf-16-le", "utf-16-be"):
            yield body.decode(encoding, "replace").removeprefix("\ufeff")


def _match(text: str, user_id: str, layers: int) -> Match | None:
    inner = text_of_base64(text) if layers > 0 else None
    if inner is not None:
        return _match(inner, user_id, layers - 1)
    try:
        return Match.VALUE if _holds(_pairs(text), user_id, layers) else None
    except (ValueError, RecursionError):
        return Match.TEXT if _in_text(text, user_id) else None


def _pairs(text: str) -> Any:  # noqa: ANN401 - whatever JSON held
    """Parse JSON into lists of pairs, so that a name that occurs twice has two values."""
    return json.loads(text, object_pairs_hook=list)


def _holds(value: Any, user_id: str, layers: int) -> bool:  # noqa: ANN401 - as above
    if isinstance(value, list | tuple):
        return any(_holds(one, user_id, layers) for one in value)
    if isinstance(value, float) and value.is_integer():
        return user_id in {str(value), str(int(value))}
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()
        return text == user_id or (layers > 0 and _in_json(text, user_id, layers - 1))
    return False


def _in_json(text: str, user_id: str, layers: int) -> bool:
    if text[:1] not in {"{", "["}:
        inner = text_of_base64(text)
        return inner is not None and _in_json(inner.strip(), user_id, layers)
    try:
        return _holds(_pairs(text), user_id, layers)
    except ValueError:
        return _in_text(text, user_id)


def _in_text(text: str, user_id: str) -> bool:
    spelt = "|".join(re.escape(form) for form in {user_id, json.dumps(user_id)[1:-1]})
    word = rf"(?<![\w.@+-])(?:{spelt})(?![\w@+-])"
    return any(re.search(word, each) for each in (text, _ESCAPE.sub(_character, text)))


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))
