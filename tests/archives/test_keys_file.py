"""The file of a set's wrapped keys: one encoding, and the keys that a ring asks for."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from vault_etl.archives.keys_file import KeysFile
from vault_etl.base.errors import DataError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey

pytestmark = pytest.mark.unit

IP = FieldName("ip")
MADE = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


def key(key_id: int, state: KeyState, generation: int | None = None) -> StoredKey:
    """A data key of `ip`, or the token key of a generation."""
    return StoredKey(
        key_id=key_id,
        purpose=KeyPurpose.DATA if generation is None else KeyPurpose.TOKEN,
        field=IP,
        generation=generation,
        kms_key_arn="arn:aws:kms:us-east-1:000000000000:key/1",
        wrapped_key=b"wrapped",
        fingerprint=bytes(8),
        state=state,
        created_at=MADE,
        created_by="",
    )


OLD = key(1, KeyState.DECRYPT_ONLY, 1)
ACTIVE = key(2, KeyState.ACTIVE, 2)
PENDING = key(3, KeyState.PENDING, 3)
DATA = key(4, KeyState.DECRYPT_ONLY)
FILE = KeysFile.of([DATA, PENDING, OLD, ACTIVE, DATA])
CONTENT = FILE.encode()


def test_a_file_is_read_as_it_was_written() -> None:
    """Sorted by id, each key once, without destroyed ones."""
    gone = replace(DATA, key_id=5, state=KeyState.DESTROYED, wrapped_key=None)
    assert KeysFile.of([gone, *FILE.held]) == FILE
    assert [each.key_id for each in FILE.held] == [1, 2, 3, 4]
    assert KeysFile.parse(CONTENT) == FILE


def test_it_reads_keys_as_the_database_does() -> None:
    """By id; token keys in use; and all of a field, the active one first."""
    assert FILE.keys([4, 9]) == [DATA]
    assert list(FILE.token_keys()) == [ACTIVE, PENDING]
    assert list(FILE.field_token_keys(IP)) == [ACTIVE, PENDING, OLD]
    assert list(FILE.field_token_keys(FieldName("device_id"))) == []


CHANGES: list[tuple[str, Any]] = [
    ("key_id", 0),
    ("key_id", True),
    ("key_id", 2**32),
    ("generation", "1"),
    ("field", 1),
    ("kms_key_arn", None),
    ("purpose", "other"),
    ("state", "destroyed"),
    ("fingerprint", "00"),
    ("fingerprint", "0G" * 8),
    ("wrapped_key", "d3Jh="),
    ("wrapped_key", 1),
    ("created_at", "2026-01-02"),
    ("created_at", None),
    ("more", 1),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_key_of_another_form_is_refused(name: str, value: object) -> None:
    """With one error, which says nothing of the content."""
    document = json.loads(CONTENT)
    document["keys"][0][name] = value
    changed = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    with pytest.raises(DataError, match="are not a file of wrapped keys"):
        KeysFile.parse(changed)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]\n",
        b"\xff",
        b"[" * 100_000,
        CONTENT + b" ",
        CONTENT.replace(b'"format_version":1', b'"format_version":2'),
        CONTENT.replace(b"[{", b"[{},{"),
        b'{"format_version":1,"keys":{}}\n',
        KeysFile((DATA, ACTIVE)).encode(),
        KeysFile((ACTIVE, ACTIVE)).encode(),
    ],
)
def test_other_content_is_refused(content: bytes) -> None:
    """Other spellings, other orders, and a key twice."""
    with pytest.raises(DataError, match="are not a file of wrapped keys"):
        KeysFile.parse(content)
