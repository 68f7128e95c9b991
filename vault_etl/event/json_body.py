"""From bytes to a JSON value, decided alike by every process."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from vault_etl.event.rejection import Reason, RejectedError

MAX_BODY_BYTES: Final = 256 * 1024
"""No login event is near it; a body of 1 MiB, SQS's own limit, is quarantined. An envelope counts."""

MAX_NESTING: Final = 64
"""Far below the interpreter's recursion limit, so that every process decides alike."""

_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Possessive, and content without an end: else a string that never ends is tried from each of its
quotes, and 256 KiB of them take minutes."""


def json_value(body: bytes) -> object:
    """The value that the body is (RFC 8259).

    Text is `str`, and a number the `bytes` of its spelling: no rounding, no limit of digits, and
    nothing that takes text takes a number for it. Raises RejectedError for what is too large,
    nested too deep, not JSON, or has an object in it with one name twice; and for several objects,
    one behind the other.
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
        return _DECODER.decode(text)
    except ValueError:
        raise RejectedError(
            Reason.SEVERAL_EVENTS if _is_several_objects(text) else Reason.NOT_JSON
        ) from None


def _is_several_objects(text: str) -> bool:
    """JSON lines, or objects with nothing between them: what is no JSON was no object alone."""
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
    """An upper bound of the depth, exact where the cheap one is over the limit."""
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
    """RFC 8259 leaves a name that stands twice to each parser: then nobody knows whose it is."""
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
"""Made once: `json.loads` with these arguments would make one for every body."""
