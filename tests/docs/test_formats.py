"""docs/formats.md is true: its example bytes are what the code, and Postgres, make of the example values."""

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

from tests.kit.fakes.receipts import any_receipt
from tests.kit.format_examples import EXAMPLES, PAGE, _bytes, _text, _uuid
from tests.kit.vault import Vault
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Registration
from vault_etl.audit.entries import Action
from vault_etl.audit.opening import Opener
from vault_etl.audit.policy import DENIALS, parse_policy
from vault_etl.base.pii import Pii
from vault_etl.crypto.canonical import WHITE_SPACE, canonical, is_blank
from vault_etl.crypto.ciphertext import ValuePlace, pad, unpad
from vault_etl.crypto.digest import hmac_sha256, lp, sha256
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose, Table
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey, encryption_context
from vault_etl.crypto.record_id import record_id_of_line, record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.source_digest import LineDigest, name_digest
from vault_etl.crypto.tokens import PLACEHOLDERS, Tokenizer, placeholder_token
from vault_etl.event.events import MAX_CODE_POINTS
from vault_etl.event.json_body import MAX_BODY_BYTES, MAX_NESTING
from vault_etl.event.rejection import Reason
from vault_etl.reveal.find import search_digest


def _named(prefix: str) -> list[str]:
    return [name for name in EXAMPLES.sections() if name.startswith(prefix)]


def test_the_record_id_of_the_page() -> None:
    """The example's record id is the code's, and its hash is the page's formula."""
    section = "record id"
    message_id = _text(section, "message_id")
    assert sha256(b"vault-etl/1/record", message_id.encode("ascii")) == _bytes(section, "h")
    sent_ms = EXAMPLES.getint(section, "sent_ms")
    assert record_id_of_message(message_id, sent_ms) == _uuid(section, "record_id")


def test_the_line_id_of_the_page() -> None:
    """The example's record id is the code's, and its hash the formula's."""
    section = "line id"
    source_id, number = _uuid(section, "source_id"), EXAMPLES.getint(section, "number")
    hashed = source_id.bytes + struct.pack(">Q", number)
    assert sha256(b"vault-etl/1/line", hashed) == _bytes(section, "h")
    milliseconds = EXAMPLES.getint(section, "milliseconds")
    assert record_id_of_line(source_id, number, milliseconds) == _uuid(section, "record_id")


def test_the_source_digests_of_the_page() -> None:
    """Of a name, and of two lines: the code's."""
    key = KeyMaterial(_bytes("source name", "source_key"))
    name = _text("source name", "name").encode()
    assert name_digest(key, name) == _bytes("source name", "digest")
    digest = LineDigest(KeyMaterial(_bytes("source lines", "source_key")))
    digest.add([_text("source lines", name).encode() for name in ("line_1", "line_2")])
    assert digest.value() == _bytes("source lines", "digest")


@pytest.mark.parametrize("section", _named("canonical "))
def test_the_canonical_forms_of_the_page(section: str) -> None:
    """Each spelling on the page has the canonical form beside it."""
    field = Field(section.split()[1])
    value = Pii.of_text(_text(section, "text"))
    assert canonical(field, value) == _bytes(section, "canonical")


def test_blank_is_what_the_page_says() -> None:
    """Each code point of the page's sets is blank alone, white space is stripped, and no other is blank."""
    table = PAGE.split("### Blank")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \| ([0-9A-F][0-9A-F\u2013, ]+) \|$", table, re.MULTILINE)
    sets = [
        {
            code_point
            for first, last in re.findall(r"([0-9A-F]+)(?:\u2013([0-9A-F]+))?", cells)
            for code_point in range(int(first, 16), int(last or first, 16) + 1)
        }
        for _, cells in rows
    ]
    assert {ord(c) for c in WHITE_SPACE} == sets[0]
    assert {c for c in range(0x110000) if is_blank(chr(c))} == set().union(*sets)


@pytest.mark.parametrize("section", _named("token "))
def test_the_tokens_of_the_page(section: str) -> None:
    """Key, derived key and token agree with the code and with the page's formula."""
    field = Field(section.split()[1])
    token_key = _bytes(section, "token_key")
    value = Pii.of_text(_text(section, "text"))
    derived = hmac_sha256(token_key, b"vault-etl/1/token", lp(field))
    assert derived == _bytes(section, "K")
    token = hmac_sha256(derived, canonical(field, value))[:16]
    assert uuid.UUID(bytes=token) == _uuid(section, "token")
    tokenizer = Tokenizer(TokenKey(1, f, 1, KeyMaterial(token_key)) for f in PERSONAL_FIELDS)
    assert tokenizer.token(field, value) == _uuid(section, "token")


@pytest.mark.parametrize("section", _named("placeholder "))
def test_the_placeholders_of_the_page(section: str) -> None:
    """Their tokens follow from the page's formula, and are the code's."""
    field = Field(section.split()[1])
    form = canonical(field, Pii.of_text(_text(section, "text")))
    hashed = sha256(b"vault-etl/1/placeholder", lp(field), form.lower())
    assert uuid.UUID(bytes=hashed[:16]) == _uuid(section, "token") == placeholder_token(field, form)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_the_page_knows_every_placeholder(field: Field) -> None:
    """As the code has them, and in its order."""
    table = PAGE.split("### Placeholders")[1].split("```")[0]
    (row,) = re.findall(rf"^\| `{field}` \| (.*) \|$", table, re.MULTILINE)
    assert tuple(re.findall("`(.*?)`", row)) == PLACEHOLDERS[field]


@pytest.mark.parametrize("section", _named("padding"))
def test_the_padding_of_the_page(section: str) -> None:
    """Padding goes on and comes off as the page shows."""
    plain = _text(section, "text").encode()
    assert pad(plain) == _bytes(section, "padded")
    assert unpad(_bytes(section, "padded")) == plain


@pytest.mark.parametrize("section", _named("ciphertext "))
def test_the_ciphertexts_of_the_page(section: str) -> None:
    """Sealing with the example's nonce gives its bytes, which open to its text."""
    field = Field(_text(section, "field"))
    place = ValuePlace(
        Table(_text(section, "table")),
        field,
        _uuid(section, "record_id"),
        _text(section, "user_id"),
    )
    key_id = EXAMPLES.getint(section, "key_id")
    key = DataKey(key_id, field, KeyMaterial(_bytes(section, "data_key")))
    plain = _text(section, "text").encode()
    assert place.associated_data(key_id) == _bytes(section, "associated_data")
    sealed = Sealer([key])._seal_with_nonce(Pii(plain), place, _bytes(section, "nonce"))
    assert sealed == _bytes(section, "ciphertext")
    opener = Opener(any_receipt())
    assert opener.open(sealed, place, key).expose() == plain


def test_the_encryption_context_of_the_page() -> None:
    """The context on the page is the one that KMS is given."""
    section = "encryption context"
    context = encryption_context(
        KeyPurpose(_text(section, "purpose")),
        Field(_text(section, "field")),
        EXAMPLES.getint(section, "key_id"),
    )
    assert context == json.loads(EXAMPLES[section]["context"])


def test_the_fingerprint_of_the_page() -> None:
    """The fingerprint on the page is the code's."""
    section = "fingerprint"
    key = DataKey(EXAMPLES.getint(section, "key_id"), Field.IP, KeyMaterial(_bytes(section, "key")))
    assert key.fingerprint == _bytes(section, "fingerprint")


def test_the_page_knows_every_reason_and_limit() -> None:
    """Every reason code and every limit of a message is on the page, and no other."""
    table = PAGE.split("| `reason_code` | the fault |")[1].split("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == {reason.value for reason in Reason}
    for name, limit in MAX_CODE_POINTS.items():
        assert re.search(rf"^\| `{name}` .*\| {limit} \|$", PAGE, re.MULTILINE), name
    assert f"{MAX_BODY_BYTES:,} bytes" in PAGE
    assert f"nested at\nmost {MAX_NESTING} deep" in PAGE


def test_the_search_digest_of_the_page() -> None:
    """Of two tokens, one a generation; Postgres is held to the same by tests/audit/test_audit_find.py."""
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


def test_the_policy_of_the_page_is_one() -> None:
    """The example is taken as it is, and its names are the code's."""
    section = PAGE.split("## Reveal policy")[1]
    (example,) = re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    policy = json.loads(parse_policy(example))
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
        "SELECT public.audit_hash(jsonb_populate_record("
        " NULL::public.audit_log, %s::jsonb)), sha256(%s || uuid_send(%s::uuid))",
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
    ((record_id,),) = vault.sql("SELECT record_id FROM public.user_logins")
    vault.ok("reveal", "reveal", str(record_id), "--reason", "Prüfung № 1", "--ticket", "T-1")
    ((vault_id,),) = vault.sql("SELECT vault_id FROM public.vault", role="audit")
    entries = vault.sql(
        f"SELECT hash, seq, logged_at, {', '.join(_COLUMNS)}"  # noqa: S608 - names of ours
        " FROM public.audit_log ORDER BY seq",
        role="audit",
    )
    assert len(entries) >= 4
    previous = hashlib.sha256(b"vault-etl/1/audit-genesis" + vault_id.bytes).digest()
    for number, (hash_, seq, logged_at, *columns) in enumerate(entries, start=1):
        assert seq == number
        assert bytes(columns[-1]) == previous
        previous = hashlib.sha256(_hashed(seq, logged_at, columns)).digest()
        assert bytes(hash_) == previous
