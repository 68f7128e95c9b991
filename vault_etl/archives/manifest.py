"""The manifest of an archive, in its only valid encoding (docs/formats.md, Archive)."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.archives.manifest_members import malformed, read_members
from vault_etl.crypto.fields import EventName

FORMAT_VERSION: Final = 1
SIGNATURE: Final = "manifest.sig"

_PLAIN: Final = ("vault_id", "event", "partition", "first", "until", "archived_at", "tool")
_CIPHERTEXT: Final = "_ciphertext"
"""The end of the names of columns of ciphertexts. No declared name has it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, and PostgreSQL's name of its type (`format_type`)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file of the archive: its name, rows, size in bytes, and SHA-256."""

    name: str
    rows: int
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class KeyCount:
    """The number of values of one name that are sealed under a data key."""

    field: str
    """The name of the value in its event: its column is `NAME_ciphertext`. Mostly it is the name of its field too."""
    key_id: int
    values: int


@dataclass(frozen=True, slots=True)
class GenerationCount:
    """The number of rows that name a generation of tokens, as their active or their next generation."""

    generation: int
    rows: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The rows of a month: number, SHA-256 of COPY's output, and the keys and generations that they need."""

    rows: int
    sha256: bytes
    keys: tuple[KeyCount, ...]
    generations: tuple[GenerationCount, ...]


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """Describes an archive of the record ids from `first` to before `until`; `tool` made it at `archived_at` (UTC)."""

    vault_id: uuid.UUID
    event: EventName
    partition: str
    first: uuid.UUID
    until: uuid.UUID
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    contents: Contents
    archived_at: dt.datetime
    tool: str

    def encode(self) -> bytes:
        """Return the bytes of `manifest.json`: one line of JSON, names sorted, no blanks, ended by U+000A."""
        document = {
            "archived_at": f"{self.archived_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "columns": [{"name": c.name, "type": c.type} for c in self.columns],
            "content_sha256": self.contents.sha256.hex(),
            "event": self.event,
            "first": str(self.first),
            "format_version": FORMAT_VERSION,
            "keys": [
                {"field": k.field, "key_id": k.key_id, "values": k.values}
                for k in self.contents.keys
            ],
            "partition": self.partition,
            "parts": [
                {"name": p.name, "rows": p.rows, "sha256": p.sha256.hex(), "size": p.size}
                for p in self.parts
            ],
            "rows": self.contents.rows,
            "token_generations": [
                {"generation": g.generation, "rows": g.rows} for g in self.contents.generations
            ],
            "tool": self.tool,
            "until": str(self.until),
            "vault_id": str(self.vault_id),
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> ArchiveManifest:
        """Parse a manifest; accept only the bytes that `encode` returns. Raises DataError, which names the fault."""
        members = read_members(content)
        if members["format_version"] != FORMAT_VERSION:
            raise malformed(f"format_version is not {FORMAT_VERSION}")
        parsed = cls(
            **{name: members[name] for name in _PLAIN},
            columns=tuple(Column(**each) for each in members["columns"]),
            parts=tuple(Part(**each) for each in members["parts"]),
            contents=Contents(
                rows=members["rows"],
                sha256=members["content_sha256"],
                keys=tuple(KeyCount(**each) for each in members["keys"]),
                generations=tuple(GenerationCount(**each) for each in members["token_generations"]),
            ),
        )
        _check(parsed)
        if parsed.encode() != content:
            raise malformed("vault-etl encodes it differently")
        return parsed


def part_name(number: int) -> str:
    """Return the name of a part; numbers begin at 1."""
    return f"part-{number:05}.parquet"


def sealed_columns(columns: Iterable[Column]) -> Mapping[str, Column]:
    """Return the columns of ciphertexts, each by the name of its value."""
    return {
        column.name.removesuffix(_CIPHERTEXT): column
        for column in columns
        if column.name.endswith(_CIPHERTEXT)
    }


def _check(manifest: ArchiveManifest) -> None:
    """Check the rules between members. Raises DataError."""
    contents = manifest.contents
    names = [column.name for column in manifest.columns]
    keys = [(key.field, key.key_id) for key in contents.keys]
    generations = [each.generation for each in contents.generations]
    sealed = Counter[str]()
    for key in contents.keys:
        sealed[key.field] += key.values
    rules = (
        (manifest.first < manifest.until, "first is not before until"),
        (len(set(names)) == len(names), "columns has a name twice"),
        ("record_id" in names, "columns has no record_id"),
        (
            [part.name for part in manifest.parts]
            == [part_name(number + 1) for number in range(len(manifest.parts))],
            "parts are not named in their order",
        ),
        (all(part.rows and part.size for part in manifest.parts), "parts has an empty part"),
        (
            sum(part.rows for part in manifest.parts) == contents.rows,
            "rows is not the sum of parts",
        ),
        (keys == sorted(set(keys)), "keys is not in order"),
        (generations == sorted(set(generations)), "token_generations is not in order"),
        (sealed.keys() <= sealed_columns(manifest.columns).keys(), "keys names an unknown value"),
        (
            all(values <= contents.rows for values in sealed.values()),
            "keys counts more values than there are rows",
        ),
    )
    for holds, otherwise in rules:
        if not holds:
            raise malformed(otherwise)
