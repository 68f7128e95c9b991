"""The manifest of a set, in its only valid encoding, and the names of the files of a set (docs/formats.md, Set)."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.archives.manifest_members import PART_NAME, malformed, read_members
from vault_etl.crypto.fields import EventName

FORMAT_VERSION: Final = 1

_PLAIN: Final = (
    *("vault_id", "set_id", "version", "event", "declaration_sha256"),
    *("keys_sha256", "made_at", "tool"),
)
_PART: Final = re.compile(PART_NAME)
_CIPHERTEXT: Final = "_ciphertext"
"""The end of the names of columns of ciphertexts. No declared name has it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, and PostgreSQL's name of its type (`format_type`)."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file of the set: its name, rows, size in bytes, and SHA-256."""

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
    """The rows of a set: number, SHA-256 of COPY's output, and the keys and generations that they need."""

    rows: int
    sha256: bytes | None
    """None if the parts were not written in one stream: by several processes, or one at a time."""
    keys: tuple[KeyCount, ...]
    generations: tuple[GenerationCount, ...]


NO_CONTENTS: Final = Contents(0, None, (), ())


@dataclass(frozen=True, slots=True)
class ManifestMonth:
    """The partition that a set is an archive of: record ids from `first` to before `until`."""

    partition: str
    first: uuid.UUID
    until: uuid.UUID


@dataclass(frozen=True, slots=True)
class SetManifest:
    """Describes a version of a set; `tool` made it at `made_at` (UTC). `set_id` is that of all its versions."""

    vault_id: uuid.UUID
    set_id: uuid.UUID
    version: int
    event: EventName
    declaration_sha256: bytes
    month: ManifestMonth | None
    """None unless the set is an archive of a month."""
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    contents: Contents
    keys_sha256: bytes
    """SHA-256 of the file of wrapped keys."""
    made_at: dt.datetime
    tool: str

    def encode(self) -> bytes:
        """Return the bytes of the manifest: one line of JSON, names sorted, no blanks, ended by U+000A."""
        month, content = self.month, self.contents.sha256
        document = {
            "columns": [{"name": c.name, "type": c.type} for c in self.columns],
            "content_sha256": None if content is None else content.hex(),
            "declaration_sha256": self.declaration_sha256.hex(),
            "event": self.event,
            "format_version": FORMAT_VERSION,
            "keys": [
                {"field": k.field, "key_id": k.key_id, "values": k.values}
                for k in self.contents.keys
            ],
            "keys_sha256": self.keys_sha256.hex(),
            "made_at": f"{self.made_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
            "month": None
            if month is None
            else {
                "first": str(month.first),
                "partition": month.partition,
                "until": str(month.until),
            },
            "parts": [
                {"name": p.name, "rows": p.rows, "sha256": p.sha256.hex(), "size": p.size}
                for p in self.parts
            ],
            "rows": self.contents.rows,
            "set_id": str(self.set_id),
            "token_generations": [
                {"generation": g.generation, "rows": g.rows} for g in self.contents.generations
            ],
            "tool": self.tool,
            "vault_id": str(self.vault_id),
            "version": self.version,
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def parse(cls, content: bytes) -> SetManifest:
        """Parse a manifest; accept only the bytes that `encode` returns. Raises DataError, which names the fault."""
        members = read_members(content)
        month = members["month"]
        if members["format_version"] != FORMAT_VERSION:
            raise malformed(f"format_version is not {FORMAT_VERSION}")
        parsed = cls(
            **{name: members[name] for name in _PLAIN},
            month=None if month is None else ManifestMonth(**month),
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


def rewritten_part_name(number: int, mark: str) -> str:
    """Return another name of a part that is written again. `mark` has 8 digits in hex."""
    return f"part-{number:05}-{mark}.parquet"


def manifest_name(version: int) -> str:
    """Return the name of the manifest of a version; versions begin at 1."""
    return f"manifest-{version:05}.json"


def signature_name(version: int) -> str:
    """Return the name of the signature of a manifest."""
    return f"manifest-{version:05}.sig"


def keys_name(version: int) -> str:
    """Return the name of the file of wrapped keys of a version."""
    return f"keys-{version:05}.json"


def part_number(name: str) -> int:
    """Return the number of a part. Raises ValueError for another name."""
    found = _PART.fullmatch(name)
    if found is None:
        message = "not the name of a part"
        raise ValueError(message)
    return int(found[1])


def sealed_columns(columns: Iterable[Column]) -> Mapping[str, Column]:
    """Return the columns of ciphertexts, each by the name of its value."""
    return {
        column.name.removesuffix(_CIPHERTEXT): column
        for column in columns
        if column.name.endswith(_CIPHERTEXT)
    }


def _check(manifest: SetManifest) -> None:
    """Check the rules between members. Raises DataError."""
    contents = manifest.contents
    names = [column.name for column in manifest.columns]
    numbers = [part_number(part.name) for part in manifest.parts]
    month = manifest.month
    keys = [(key.field, key.key_id) for key in contents.keys]
    generations = [each.generation for each in contents.generations]
    sealed = Counter[str]()
    for key in contents.keys:
        sealed[key.field] += key.values
    rules = (
        (manifest.version > 0, "version is not 1 or more"),
        (month is None or month.first < month.until, "first is not before until"),
        (len(set(names)) == len(names), "columns has a name twice"),
        ("record_id" in names, "columns has no record_id"),
        (numbers == sorted(set(numbers)), "parts are not in the order of their numbers"),
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
