"""The section Set of docs/formats.md is true: its bytes are what the code makes of its values."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from tests.kit.format_examples import EXAMPLES, PAGE, _bytes, _text, _uuid
from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import SetManifest
from vault_etl.archives.manifest_note import ManifestNote
from vault_etl.archives.parquet_columns import _KINDS
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.crypto.digest import sha256
from vault_etl.platform.postgres_copy import copy_binary

READ: tuple[Callable[[Any], object], ...] = (
    uuid.UUID,
    str,
    bytes.fromhex,
    int,
    dt.date.fromisoformat,
    dt.datetime.fromisoformat,
)
"""Functions that read the values of the example, in the order of its columns."""

MANIFEST = _text("set manifest", "manifest").encode()


def test_the_rows_of_the_page_are_what_copy_writes() -> None:
    """The bytes are those of COPY, and their hash is the content hash."""
    rows = [
        [None if value is None else read(value) for read, value in zip(READ, row, strict=True)]
        for row in json.loads(EXAMPLES["set rows"]["rows"])
    ]
    assert copy_binary(rows) == _bytes("set rows", "copy")
    assert sha256(copy_binary(rows)) == _bytes("set rows", "sha256")
    contents = SetManifest.parse(MANIFEST).contents
    assert (contents.rows, contents.sha256) == (len(rows), _bytes("set rows", "sha256"))


def test_the_keys_of_the_page_are_those_of_its_manifest() -> None:
    """In the only valid spelling, with all names of the table."""
    keys = _text("set keys", "keys").encode()
    assert KeysFile.parse(keys).encode() == keys
    assert sha256(keys) == _bytes("set keys", "sha256") == SetManifest.parse(MANIFEST).keys_sha256


def test_the_signature_of_the_page_is_over_its_manifest() -> None:
    """The key of the page verifies the note, in the spelling of the page."""
    assert sha256(MANIFEST) == _bytes("set manifest", "sha256")
    section = "set signature"
    vault_id, key = _uuid(section, "vault_id"), AuditKey(_bytes(section, "public_key"))
    bare = ManifestNote.of(MANIFEST, vault_id)
    assert bare.text == _text(section, "text")
    note = _text(section, "note").encode()
    assert bare.signed(key, _bytes(section, "signature")).encode() == note
    ManifestNote.parse(note).check(MANIFEST, vault_id, key)


def test_the_page_knows_every_type_and_member_of_a_set() -> None:
    """The tables of the page name every column type and every name of the manifest."""
    section = PAGE.partition("## Set")[2].partition("## Reveal policy")[0]
    named = set(re.findall(r"`([a-z0-9_ ]+)`", section))
    keys = json.loads(_text("set keys", "keys"))
    assert set(_KINDS) | set(json.loads(MANIFEST)) | set(keys["keys"][0]) <= named
