"""Manifests of sets: one spelling, and a clear error for everything else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.manifests import MANIFEST
from vault_etl.archives.manifest import (
    Column,
    KeyCount,
    Part,
    SetManifest,
    part_number,
    rewritten_part_name,
)
from vault_etl.base.errors import DataError

MONTH = MANIFEST.month or pytest.fail("the manifest is of a month")
ENCODED = MANIFEST.encode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The manifest after a change of its members, in the one spelling."""
    members = json.loads(ENCODED)
    change(members)
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_an_encoded_manifest_is_parsed_unchanged() -> None:
    """The encoding is one line."""
    assert SetManifest.parse(ENCODED) == MANIFEST
    assert ENCODED.index(b"\n") == len(ENCODED) - 1
    assert changed(lambda _: None) == ENCODED


@given(
    st.integers(0, 2**32 - 1),
    st.text(min_size=1, max_size=10).filter(lambda text: "\0" not in text),
    st.integers(1, 2**63 - 1),
)
def test_any_manifest_survives_a_round_trip(key_id: int, partition: str, rows: int) -> None:
    """The name of the partition may be any identifier."""
    contents = replace(MANIFEST.contents, rows=rows, keys=(KeyCount("ip", key_id, rows),))
    part = Part("part-00001.parquet", rows, 1, bytes(32))
    month = replace(MONTH, partition=partition)
    one = replace(MANIFEST, month=month, parts=(part,), contents=contents)
    assert SetManifest.parse(one.encode()) == one


def test_a_set_of_several_writers_has_no_month_and_no_content_hash() -> None:
    """Its parts may leave out numbers, and have been written again."""
    parts = (
        Part("part-00002.parquet", 1, 1, bytes(32)),
        Part(rewritten_part_name(7, "0000300a"), 3, 1, bytes(32)),
    )
    contents = replace(MANIFEST.contents, sha256=None)
    one = replace(MANIFEST, month=None, version=3, parts=parts, contents=contents)
    assert SetManifest.parse(one.encode()) == one


def test_an_empty_month_has_no_part() -> None:
    """The archive of an empty month is valid."""
    contents = replace(MANIFEST.contents, rows=0, keys=(), generations=())
    empty = replace(MANIFEST, parts=(), contents=contents)
    assert SetManifest.parse(empty.encode()) == empty


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.pop("tool"), "missing or extra members: 'tool'"),
        (lambda m: m.update(more=1), "missing or extra members: 'more'"),
        (lambda m: m.update(format_version=2), "format_version is not 1"),
        (lambda m: m.update(format_version=True), "format_version is not valid"),
        (lambda m: m.update(vault_id="4711"), "vault_id is not valid"),
        (lambda m: m["month"].update(first=m["month"]["until"]), "first is not before until"),
        (lambda m: m["month"].update(first=1), "first is not valid"),
        (lambda m: m["month"].update(partition=""), "partition is not valid"),
        (lambda m: m["month"].update(partition="x" * 64), "partition is not valid"),
        (lambda m: m.update(columns={}), "columns is not valid"),
        (lambda m: m.update(columns=[]), "columns has no record_id"),
        (lambda m: m["columns"].append(m["columns"][0]), "columns has a name twice"),
        (lambda m: m["columns"][0].update(name="a;b"), "name is not valid"),
        (lambda m: m["columns"].append("x"), "a member of columns is not an object"),
        (lambda m: m["parts"][0].update(name="../x"), "name is not valid"),
        (lambda m: m["parts"].reverse(), "parts are not in the order of their numbers"),
        (lambda m: m["parts"][0].update(size=0), "parts has an empty part"),
        (lambda m: m["parts"][0].update(size=1.0), "size is not valid"),
        (lambda m: m["parts"][0].update(sha256="AB" * 32), "sha256 is not valid"),
        (lambda m: m["parts"][0].update(rows=4), "rows is not the sum of parts"),
        (lambda m: m.update(rows=-1), "rows is not valid"),
        (lambda m: m["keys"][0].update(field="a_value"), "keys names an unknown value"),
        (lambda m: m["keys"][0].update(field=";"), "field is not valid"),
        (lambda m: m["keys"][0].update(key_id=2**32), "key_id is not valid"),
        (lambda m: m["keys"][0].update(values=5), "more values than there are rows"),
        (lambda m: m["keys"].reverse(), "keys is not in order"),
        (lambda m: m["token_generations"].reverse(), "token_generations is not in order"),
        (lambda m: m.update(made_at="2026-02-30T00:00:00Z"), "made_at is not valid"),
        (lambda m: m.update(made_at="2026-02-03"), "made_at is not valid"),
        (lambda m: m.update(month={}), "month has missing or extra members"),
        (lambda m: m.update(set_id=None), "set_id is not valid"),
        (lambda m: m.update(version=0), "version is not 1 or more"),
        (lambda m: m.update(version=2**31), "version is not valid"),
        (lambda m: m.update(keys_sha256=None), "keys_sha256 is not valid"),
        (lambda m: m.update(declaration_sha256="00"), "declaration_sha256 is not valid"),
        (lambda m: m.update(tool="rm"), "tool is not valid"),
    ],
)
def test_an_invalid_member_is_named(change: Callable[[dict[str, Any]], object], says: str) -> None:
    """An operator can inspect a damaged archive."""
    with pytest.raises(DataError) as raised:
        SetManifest.parse(changed(change))
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]\n",
        b"\xff",
        b"[" * 100_000,
        ENCODED.rstrip(),
        ENCODED.replace(b":", b": "),
        ENCODED + b"\n",
        ENCODED.replace(b'"tool"', b'"tool":"vault-etl 1","tool"'),
    ],
)
def test_other_spellings_are_refused(content: bytes) -> None:
    """A manifest has one hash."""
    with pytest.raises(DataError):
        SetManifest.parse(content)


@given(JSON, st.sampled_from(sorted(json.loads(ENCODED))))
def test_any_json_as_a_member_is_accepted_unchanged_or_refused(value: object, name: str) -> None:
    """Only DataError is raised, and an accepted manifest encodes to the same bytes."""
    content = changed(lambda members: members.update({name: value}))
    try:
        parsed = SetManifest.parse(content)
    except DataError:
        return
    assert parsed.encode() == content


def test_the_members_are_values() -> None:
    """Members are parsed into the types that the code uses."""
    parsed = SetManifest.parse(ENCODED)
    assert parsed.columns[0] == Column("record_id", "uuid")
    assert isinstance(MONTH.first, uuid.UUID)
    assert parsed.made_at == MANIFEST.made_at
    assert [part_number(part.name) for part in parsed.parts] == [1, 2]
    with pytest.raises(ValueError, match="not the name of a part"):
        part_number("part-1.parquet")
