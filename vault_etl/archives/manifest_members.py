"""The members of the manifest of a set, each read by its rule (docs/formats.md, Manifest)."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vault_etl.base.errors import DataError

MAX_MANIFEST_BYTES: Final = 16 * 2**20
"""Enough for 200,000 data keys, or 80,000 parts."""

PART_NAME: Final = r"part-([0-9]{5,9})(?:-[0-9a-f]{8})?\.parquet"
"""The name of a part, with its number."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TYPE: Final = re.compile(r"[a-z][a-z0-9 ]{0,62}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_TOOL: Final = re.compile(r"vault-etl [!-~]{1,64}")
_MAX_NAME_BYTES: Final = 63
_MAX_NUMBER: Final = 2**63 - 1
_MAX_KEY_ID: Final = 2**32 - 1
_MAX_VERSION: Final = 2**31 - 1
_MAX_GENERATION: Final = 2**15 - 1


def read_members(content: bytes) -> dict[str, Any]:
    """Return the members of a manifest by name, with their types. Raises DataError, which names the fault."""
    return _members(_document(content), "the manifest", _MEMBERS)


def malformed(what: str) -> DataError:
    """Return the error for a manifest with this fault."""
    message = f"the manifest is not one of a set: {what}"
    return DataError(message, hint="another program wrote it: take the set from a backup")


def _document(content: bytes) -> object:
    if len(content) > MAX_MANIFEST_BYTES:
        raise malformed("it is too large")
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError):
        raise malformed("it is not JSON") from None


def _members(
    found: object, where: str, wanted: Mapping[str, Callable[[object], Any]]
) -> dict[str, Any]:
    """Read exactly these members of an object, each by its rule. Raises DataError."""
    if not isinstance(found, dict):
        raise malformed(f"{where} is not an object")
    if found.keys() != wanted.keys():
        different = sorted(found.keys() ^ wanted.keys())
        raise malformed(f"{where} has missing or extra members: {', '.join(different)[:200]!a}")
    read = {}
    for name, rule in wanted.items():
        try:
            read[name] = rule(found[name])
        except ValueError:
            raise malformed(f"{name} is not valid") from None
    return read


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return read


def _number(most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not 0 <= value <= most:
            raise ValueError
        return value

    return read


def _list(rules: Mapping[str, Callable[[object], Any]], name: str) -> Callable[[object], Any]:
    def read(value: object) -> Sequence[Mapping[str, Any]]:
        if not isinstance(value, list):
            raise ValueError  # noqa: TRY004 - one class of error for every fault
        return [_members(each, f"a member of {name}", rules) for each in value]

    return read


def _digest(value: object) -> bytes:
    return bytes.fromhex(_matching(_DIGEST)(value))


def _id(value: object) -> uuid.UUID:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as above
    return uuid.UUID(value)


def _or_null(rule: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else rule(value)


def _month(value: object) -> dict[str, Any]:
    return _members(value, "month", {"first": _id, "partition": _text, "until": _id})


def _moment(value: object) -> dt.datetime:
    return dt.datetime.fromisoformat(_matching(_MOMENT)(value))


def _text(value: object) -> str:
    """Read the name of a partition, which may be any identifier of PostgreSQL."""
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode()) <= _MAX_NAME_BYTES
        or "\0" in value
    ):
        raise ValueError
    return value


_MEMBERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "columns": _list({"name": _matching(_NAME), "type": _matching(_TYPE)}, "columns"),
    "content_sha256": _or_null(_digest),
    "declaration_sha256": _digest,
    "event": _matching(_NAME),
    "format_version": _number(_MAX_NUMBER),
    "keys": _list(
        {
            "field": _matching(_NAME),
            "key_id": _number(_MAX_KEY_ID),
            "values": _number(_MAX_NUMBER),
        },
        "keys",
    ),
    "keys_sha256": _digest,
    "made_at": _moment,
    "month": _or_null(_month),
    "parts": _list(
        {
            "name": _matching(re.compile(PART_NAME)),
            "rows": _number(_MAX_NUMBER),
            "sha256": _digest,
            "size": _number(_MAX_NUMBER),
        },
        "parts",
    ),
    "rows": _number(_MAX_NUMBER),
    "set_id": _id,
    "token_generations": _list(
        {"generation": _number(_MAX_GENERATION), "rows": _number(_MAX_NUMBER)}, "token_generations"
    ),
    "tool": _matching(_TOOL),
    "vault_id": _id,
    "version": _number(_MAX_VERSION),
}
