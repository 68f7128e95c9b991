"""docs/formats.md is true for the audit log: search, checkpoint, registration, hash and policy."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.kit.declared import FIELDS
from tests.kit.format_examples import EXAMPLES, PAGE, _bytes, _text, _uuid
from tests.kit.pages import blocks
from tests.kit.vault import Vault
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Registration
from vault_etl.audit.entries import Action
from vault_etl.audit.policy import DENIALS, parse_policy
from vault_etl.reveal.find import search_digest


def test_the_search_digest_of_the_page() -> None:
    """The code makes the digest of two generations; tests/audit/find/test_bindings.py holds Postgres to it."""
    listed = _bytes("search", "tokens")
    tokens = [uuid.UUID(bytes=listed[at : at + 16]) for at in range(0, len(listed), 16)]
    nonce = _bytes("search", "nonce")
    assert search_digest(nonce, tokens) == _bytes("search", "digest")
    with pytest.raises(ValueError, match="32 bytes"):
        search_digest(nonce + b"x", tokens)


def test_the_checkpoint_of_the_page() -> None:
    """Text, key hash and note follow from the page's rules, and the code reads the note and verifies it."""
    section = "checkpoint"
    encoded = base64.b64encode(_bytes(section, "hash")).decode()
    vault_id, seq = _uuid(section, "vault_id"), EXAMPLES.getint(section, "seq")
    text = f"vault-etl/audit/{vault_id}\n{seq}\n{encoded}\n"
    assert text == _text(section, "text")
    spki, signature = _bytes(section, "public_key"), _bytes(section, "signature")
    key_hash = hashlib.sha256(spki).digest()[:4]
    assert key_hash == _bytes(section, "key_hash")
    line = base64.b64encode(key_hash + signature).decode()
    note = f"{text}\n\u2014 vault-etl/audit/{vault_id} {line}\n"
    assert note == _text(section, "note")
    checkpoint = Checkpoint.parse(note)
    assert (checkpoint.vault_id, checkpoint.head) == (vault_id, Head(seq, _bytes(section, "hash")))
    assert AuditKey(spki).signed(checkpoint)
    assert _bytes(section, "hash") == _bytes("audit entry", "hash")


def test_the_registration_of_the_page() -> None:
    """Text and note follow from the page's rules, and the code reads the note and finds it proven."""
    section = "registration"
    vault_id, spki, signature = (
        _uuid(section, "vault_id"),
        *(_bytes(section, name) for name in ("public_key", "signature")),
    )
    origin = f"vault-etl/audit-key/{vault_id}"
    encoded = base64.b64encode(_bytes(section, "hash")).decode()
    text = (
        f"{origin}\n{EXAMPLES.getint(section, 'seq')}\n{encoded}\n"
        f"{_text(section, 'kms_key_arn')}\n{base64.b64encode(spki).decode()}\n"
    )
    assert text == _text(section, "text")
    line = base64.b64encode(hashlib.sha256(spki).digest()[:4] + signature).decode()
    note = f"{text}\n\u2014 {origin} {line}\n"
    assert note == _text(section, "note")
    registration = Registration.parse(note)
    assert (registration.note, registration.holds(vault_id)) == (note, True)
    assert not registration.holds(uuid.uuid4())


def test_the_page_knows_every_action_and_denial() -> None:
    """Every action of the code is on the page, and every code of a denial."""
    section = PAGE.split("## Audit hash")[1].split("## Checkpoint")[0]
    for word in (*Action, *DENIALS, "role"):
        assert f"`{word}`" in section, word


def test_the_policy_of_the_page_is_valid() -> None:
    """The code accepts the example unchanged, and the page has all of its names."""
    section = PAGE.split("## Reveal policy")[1]
    (example,) = blocks(section, "json")
    policy = json.loads(parse_policy(example, FIELDS))
    assert policy["reveals_an_hour"] == 20
    (rule,) = policy["purposes"].values()
    for name in (*policy, *rule):
        assert f"`{name}`" in section


# --- The audit hash, written from the page alone: a second implementation beside Postgres's ---

_COLUMNS: Final = (
    "request_id",
    "phase",
    "login",
    "client_address",
    "actor",
    "host",
    "action",
    "record_id",
    "fields",
    "purpose",
    "ticket",
    "reason",
    "decision",
    "error_code",
    "prev_hash",
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _hashed(seq: int, logged_at: dt.datetime, columns: Sequence[object]) -> bytes:
    microseconds = (logged_at - _EPOCH) // dt.timedelta(microseconds=1)
    head = b"vault-etl/1/audit" + struct.pack(">qq", seq, microseconds)
    return head + b"".join(_encoded(column) for column in columns)


def _encoded(value: object) -> bytes:
    if value is None:
        return b"\x00"
    if isinstance(value, list):
        ordered = sorted(str(element).encode() for element in value)
        return struct.pack(">H", len(ordered)) + b"".join(map(_encoded, ordered))
    content = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return b"\x01" + struct.pack(">I", len(content)) + content


def _example_columns() -> Iterator[object]:
    for name in _COLUMNS:
        if name in {"request_id", "record_id"}:
            yield EXAMPLES["audit entry"][name]
        elif name == "prev_hash":
            yield _bytes("audit entry", name)
        else:
            yield json.loads(EXAMPLES["audit entry"][name])


def test_the_page_lists_the_columns_in_their_order() -> None:
    """The numbered table of the page is the order that this file hashes in."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [(str(i), name) for i, name in enumerate(_COLUMNS, start=1)]


def test_the_audit_hash_of_the_page() -> None:
    """The bytes on the page follow from its rules, and hash to its hash."""
    section = "audit entry"
    logged_at = dt.datetime.fromisoformat(_text(section, "logged_at"))
    assert (logged_at - _EPOCH) // dt.timedelta(microseconds=1) == EXAMPLES.getint(
        section, "microseconds"
    )
    hashed = _hashed(EXAMPLES.getint(section, "seq"), logged_at, list(_example_columns()))
    assert hashed == _bytes(section, "hashed")
    assert hashlib.sha256(hashed).digest() == _bytes(section, "hash")
    genesis = b"vault-etl/1/audit-genesis" + _uuid("audit genesis", "vault_id").bytes
    assert hashlib.sha256(genesis).digest() == _bytes("audit genesis", "prev_hash")


def test_postgres_hashes_the_entry_of_the_page_alike(bare_vault: Vault) -> None:
    """The function that writes the log makes the page's hash of the page's entry."""
    section = "audit entry"
    ((hash_, genesis),) = bare_vault.sql(
        "SELECT vault_etl.audit_hash(jsonb_populate_record("
        " NULL::vault_etl.audit_log, %s::jsonb)), sha256(%s || uuid_send(%s::uuid))",
        json.dumps(
            {
                "seq": EXAMPLES.getint(section, "seq"),
                "logged_at": _text(section, "logged_at"),
                **{
                    name: f"\\x{value.hex()}" if isinstance(value, bytes) else value
                    for name, value in zip(_COLUMNS, _example_columns(), strict=True)
                },
            }
        ),
        b"vault-etl/1/audit-genesis",
        EXAMPLES["audit genesis"]["vault_id"],
    )
    assert bytes(hash_) == _bytes(section, "hash")
    assert bytes(genesis) == _bytes("audit genesis", "prev_hash")


def test_a_reader_of_the_page_alone_proves_a_real_log(vault: Vault) -> None:
    """A log that the commands wrote holds together under this file's own hash, from its genesis on."""
    vault.send(['{"user_id": "u", "device_type": "ios", "ip": "192.0.2.1", "device_id": "d"}'])
    vault.ok("ingest", "ingest")
    ((record_id,),) = vault.sql("SELECT record_id FROM vault_etl.user_logins")
    vault.ok("reveal", "reveal", str(record_id), "--reason", "Prüfung № 1", "--ticket", "T-1")
    ((vault_id,),) = vault.sql("SELECT vault_id FROM vault_etl.vault", role="audit")
    entries = vault.sql(
        f"SELECT hash, seq, logged_at, {', '.join(_COLUMNS)}"  # noqa: S608 - names of ours
        " FROM vault_etl.audit_log ORDER BY seq",
        role="audit",
    )
    assert len(entries) >= 4
    previous = hashlib.sha256(b"vault-etl/1/audit-genesis" + vault_id.bytes).digest()
    for number, (hash_, seq, logged_at, *columns) in enumerate(entries, start=1):
        assert seq == number
        assert bytes(columns[-1]) == previous
        previous = hashlib.sha256(_hashed(seq, logged_at, columns)).digest()
        assert bytes(hash_) == previous
