"""docs/formats.md is true: the code makes its example bytes from its example values."""

from __future__ import annotations

import json
import re
import struct
import uuid

import pytest

from tests.kit.declared import IP
from tests.kit.fakes.receipts import any_receipt
from tests.kit.format_examples import EXAMPLES, PAGE, _bytes, _text, _uuid
from tests.kit.login_kinds import KINDS
from tests.kit.parsed import MAX_CODE_POINTS
from vault_etl.audit.opening import Opener
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace, pad, unpad
from vault_etl.crypto.digest import hmac_sha256, lp, sha256
from vault_etl.crypto.fields import EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey, encryption_context
from vault_etl.crypto.record_id import record_id_of_line, record_id_of_message
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.source_digest import LineDigest, name_digest
from vault_etl.crypto.tokens import DerivedTokenizer, Tokenizer, placeholder_token
from vault_etl.event.json_body import MAX_BODY_BYTES, MAX_NESTING
from vault_etl.event.rejection import Reason
from vault_etl.kinds.blank import WHITE_SPACE, is_blank
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import OPTIONS, make_kind


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
    """The digests of a name and of two lines are the code's."""
    key = KeyMaterial(_bytes("source name", "source_key"))
    name = _text("source name", "name").encode()
    assert name_digest(key, name) == _bytes("source name", "digest")
    digest = LineDigest(KeyMaterial(_bytes("source lines", "source_key")))
    digest.add([_text("source lines", name).encode() for name in ("line_1", "line_2")])
    assert digest.value() == _bytes("source lines", "digest")


def _kind(section: str) -> Kind:
    """The kind of an example, by the second word of its heading."""
    name = section.split()[1]
    region = {"region": _text(section, "region")} if "region" in EXAMPLES[section] else {}
    return make_kind(name, region)


@pytest.mark.parametrize("section", _named("canonical "))
def test_the_canonical_forms_of_the_page(section: str) -> None:
    """Each spelling on the page is sealed as the page says, and has the canonical form beside it."""
    kind, text = _kind(section), _text(section, "text")
    sealed = _text(section, "sealed") if "sealed" in EXAMPLES[section] else text
    assert kind.accept(text) == sealed
    assert kind.canonical(sealed) == _bytes(section, "canonical")


def test_the_page_has_an_example_of_each_kind() -> None:
    """And of each derived form."""
    assert {section.split()[1] for section in _named("canonical ")} == set(OPTIONS)
    derived = {tuple(section.split()[1:3]) for section in _named("derived ")}
    made = ((name, make_kind(name, {})) for name in OPTIONS)
    assert derived == {(name, form.name) for name, kind in made for form in kind.derived}


@pytest.mark.parametrize("section", _named("derived "))
def test_the_derived_tokens_of_the_page(section: str) -> None:
    """Form, derived key and token agree with the code and with the page's formula."""
    field, name = section.split()[1:3]
    (form,) = (form for form in _kind(section).derived if form.name == name)
    text, token_key = _text(section, "text"), _bytes(section, "token_key")
    canonical = form.canonical(text)
    assert canonical == _bytes(section, "canonical")
    derived = hmac_sha256(token_key, b"vault-etl/1/token", lp(f"{field}/{name}"))
    assert derived == _bytes(section, "K")
    token = uuid.UUID(bytes=hmac_sha256(derived, canonical)[:16])
    key = TokenKey(1, FieldName(field), 1, KeyMaterial(token_key))
    made = DerivedTokenizer(key, form).token(Pii.of_text(text))
    assert made == token == _uuid(section, "token")
    row = f"| `{field}` | `{name}` | "
    assert PAGE.count(row) == 1


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
    field = FieldName(section.split()[1])
    token_key = _bytes(section, "token_key")
    value = Pii.of_text(_text(section, "text"))
    derived = hmac_sha256(token_key, b"vault-etl/1/token", lp(field))
    assert derived == _bytes(section, "K")
    token = hmac_sha256(derived, KINDS[field].canonical(_text(section, "text")))[:16]
    assert uuid.UUID(bytes=token) == _uuid(section, "token")
    tokenizer = Tokenizer((TokenKey(1, f, 1, KeyMaterial(token_key)) for f in KINDS), KINDS)
    assert tokenizer.token(field, value) == _uuid(section, "token")


@pytest.mark.parametrize("section", _named("placeholder "))
def test_the_placeholders_of_the_page(section: str) -> None:
    """Their tokens follow from the page's formula, and are the code's."""
    field = FieldName(section.split()[1])
    form = KINDS[field].canonical(_text(section, "text"))
    hashed = sha256(b"vault-etl/1/placeholder", lp(field), form.lower())
    token = _uuid(section, "token")
    assert uuid.UUID(bytes=hashed[:16]) == token == placeholder_token(field, KINDS[field], form)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_page_knows_every_placeholder(name: str) -> None:
    """The page lists the placeholders of the code, in their order."""
    table = PAGE.split("### Placeholders")[1].split("```")[0]
    (row,) = re.findall(rf"^\| `{name}` \| (.*)\|$", table, re.MULTILINE)
    assert tuple(re.findall("`(.*?)`", row)) == make_kind(name, {}).placeholders


@pytest.mark.parametrize("section", _named("padding"))
def test_the_padding_of_the_page(section: str) -> None:
    """Padding is added and removed as the page shows."""
    plain = _text(section, "text").encode()
    assert pad(plain) == _bytes(section, "padded")
    assert unpad(_bytes(section, "padded")) == plain


@pytest.mark.parametrize("section", _named("ciphertext "))
def test_the_ciphertexts_of_the_page(section: str) -> None:
    """Sealing with the example's nonce gives its bytes, which open to its text."""
    field = FieldName(_text(section, "field"))
    place = ValuePlace(
        EventName(_text(section, "table")),
        field,
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
        FieldName(_text(section, "field")),
        EXAMPLES.getint(section, "key_id"),
    )
    assert context == json.loads(EXAMPLES[section]["context"])


def test_the_fingerprint_of_the_page() -> None:
    """The fingerprint on the page is the code's."""
    section = "fingerprint"
    key = DataKey(EXAMPLES.getint(section, "key_id"), IP, KeyMaterial(_bytes(section, "key")))
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
