"""Parse bytes into a JSON value, with the same result in every process."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from vault_etl.event.rejection import Reason, RejectedError

MAX_BODY_BYTES: Final = 256 * 1024
"""The size limit of a body, envelopes included. Login events are far smaller; SQS itself allows 1 MiB."""

MAX_NESTING: Final = 64
"""The limit is far below the recursion limit of the interpreter, so every process decides the same."""

_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""The pattern is possessive and its end is optional. Otherwise a string without an end is tried from each of
its quotes, which takes minutes for 256 KiB of quotes."""


def json_value(body: bytes) -> object:
    """Return the JSON value of the body (RFC 8259).

    Text is `str`. A number is the `bytes` of its spelling: it is not rounded, has no limit of digits, and
    cannot be mistaken for text. Raises RejectedError for a body that is too large, nested too deep or not
    JSON, for an object with one name twice, and for several objects in a row.
    """
    if len(body) > MAX_BODY_BYTES:
        raise RejectedError(Reason.BODY_TOO_LARGE)
    if _nesting(body) > MAX_NESTING:
        raise RejectedError(Reason.NESTED_TOO_DEEP)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise RejectedError(Reason.NOT_UTF8) from None
    try:
        if text[:1] == "{":  # nearly always: there is no white space to skip
            value, end = _DECODER.raw_decode(text)
            if end == len(text):
                return value
        return _DECODER.decode(text)
    except ValueError:
        raise RejectedError(
            Reason.SEVERAL_EVENTS if _is_several_objects(text) else Reason.NOT_JSON
        ) from None


def _is_several_objects(text: str) -> bool:
    """Tell whether the text is several objects, with white space or nothing between them."""
    count, at = 0, _after_space(text, 0)
    while at < len(text):
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RejectedError):
            return False
        if not isinstance(value, dict):
            return False
        count, at = count + 1, _after_space(text, end)
    return count > 1


def _after_space(text: str, at: int) -> int:
    space = _WHITE_SPACE.match(text, at)
    return space.end() if space else at


def _nesting(body: bytes) -> int:
    """Return an upper bound of the depth: exact if the cheap bound exceeds the limit."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= MAX_NESTING:
        return brackets
    depth = deepest = 0
    for byte in _STRING.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Reject an object with one name twice: RFC 8259 lets each parser choose a different value."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RejectedError(Reason.FIELD_TWICE)
    return fields


def _no_constant(_: str) -> NoReturn:
    raise ValueError


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_without_twins,
    parse_int=str.encode,
    parse_float=str.encode,
    parse_constant=_no_constant,
)
"""The decoder is made once: `json.loads` with these arguments makes a decoder for every body."""
