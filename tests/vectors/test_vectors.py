"""The frozen vectors: what one version wrote, every later one reads.

A case that fails here is a vault that cannot be read any more. Never change a file: a new format
gets a new one.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Final

import pytest

from tests.kit.login_kinds import KINDS
from tests.kit.login_records import PLAIN, column
from tests.kit.parsed import parse_event
from tests.vectors.cases import HERE, Case, cases_of, value_of, vectors
from tests.vectors.generate import documents
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyMaterial, TokenKey
from vault_etl.crypto.record_id import record_id_of_line, record_id_of_message
from vault_etl.crypto.tokens import DerivedTokenizer, Tokenizer, placeholders
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.kinds.make import make_kind

FROZEN: Final = {
    "associated_data": "006827e35ab7ec7da647321b66cdceef511410820bc509969c6b1f2266d58c44",
    "ciphertext": "ca4250c64f7d39000b39d355cc345bc28c046a650cf4cf1f861224fa90998c04",
    "encryption_context": "c81d1b387f4ff9dcd84c9e70d4fde29764e1996c9ed7e864619db6154da530f1",
    "fingerprint": "6533fdf16458f6f9ecf9f3e59ce808c81767b514121eeb046315db7420202d62",
    "kind": "2a74ebd618a4783cd57984dd1ec2ae4bfd576a116634c165aaab53a4f5ed4b09",
    "line_id": "11d2dc11845a4a1039308dadd753627e629b3f0149177f37dbe0feecee1c727e",
    "message": "5479fda6e9beecbb6548bd1455b9f6e2c68339b1087cc52260abb6bf44708a4a",
    "padding": "d23383ee1429ebbff50c733c7b69ea4c1aea446873b3c082323ebf9732ae83fa",
    "record_id": "a0e5ad3c0fedb13030c20a81aeb71fb8bdcfaae1b93a5cf387c5733ec65030c2",
    "token": "a85ceb0e65f8d240fe643efe1f0d16c1be13a6507c8216a3c88acf00cd9eca55",
}


@pytest.mark.parametrize("name", FROZEN)
def test_a_file_of_vectors_is_frozen(name: str) -> None:
    """Byte for byte: what it says of vaults out there cannot be taken back."""
    assert hashlib.sha256((HERE / f"{name}.json").read_bytes()).hexdigest() == FROZEN[name]


def test_every_file_of_vectors_is_read_here() -> None:
    """None lies about unused."""
    assert {path.stem for path in HERE.glob("*.json")} == set(FROZEN)


def test_the_generator_still_makes_what_is_frozen() -> None:
    """The oracle, which knows nothing of our code, comes to the same bytes."""
    for name, content in documents().items():
        assert hashlib.sha256(content).hexdigest() == FROZEN[name.removesuffix(".json")]


@pytest.mark.parametrize("name", FROZEN)
def test_a_file_of_vectors_describes_itself(name: str) -> None:
    """It says what it is, where that is specified, what each `expect` means, and why each case is there."""
    document = vectors(name)
    assert document["vectors"] == f"vault-etl/1/{name}"
    assert document["about"]
    assert document["notation"]
    path, _, anchor = document["specification"].partition("#")
    text = (HERE.parents[1] / path).read_text(encoding="utf-8")
    assert f"## {anchor.replace('-', ' ')}" in text.lower()
    assert {case["expect"] for case in document["cases"]} == set(document["expect"])
    assert all(case["comment"] for case in document["cases"])


# Kinds.


@pytest.mark.parametrize("case", cases_of("kind", "accepted"))
def test_a_spelling_is_sealed_as_it_was(case: Case) -> None:
    """And the sealed text has its canonical form, and is accepted again as it is."""
    kind = make_kind(case["kind"], {})
    sealed = bytes.fromhex(case["sealed"]).decode()
    assert kind.accept(case["text"]) == sealed == kind.accept(sealed)
    assert kind.canonical(sealed).hex() == case["canonical"]


@pytest.mark.parametrize("case", cases_of("kind", "refused"))
def test_what_is_no_value_stays_none(case: Case) -> None:
    """No event holds it."""
    with pytest.raises(ValueError, match=r"^[a-zA-Z0-9. ]+$") as caught:
        make_kind(case["kind"], {}).accept(case["text"])
    assert type(caught.value) is ValueError


@pytest.mark.parametrize("case", cases_of("kind", "derived"))
def test_a_derived_form_has_the_token_that_it_had(case: Case) -> None:
    """By its own canonical form, and under a key of its own."""
    (derived,) = make_kind(case["kind"], {}).derived
    assert derived.name == case["form"]
    assert derived.canonical(case["text"]).hex() == case["canonical"]
    key = TokenKey(1, FieldName(case["kind"]), 1, KeyMaterial(bytes.fromhex(case["key"])))
    made = DerivedTokenizer(key, derived).token(Pii.of_text(case["text"]))
    assert str(made) == case["token"]


# Tokens.


def _tokenizer(key: bytes) -> Tokenizer:
    return Tokenizer((TokenKey(1, field, 1, KeyMaterial(key)) for field in KINDS), KINDS)


@pytest.mark.parametrize("case", cases_of("token", "token"))
def test_a_value_has_the_token_that_it_had(case: Case) -> None:
    """By its canonical form: else old and new rows of one person no longer join."""
    field, value = FieldName(case["field"]), value_of(case)
    assert value.expose() == case["text"].encode()
    assert KINDS[field].canonical(case["text"]).hex() == case["canonical"]
    tokenizer = _tokenizer(bytes.fromhex(case["key"]))
    assert str(tokenizer.token(field, value)) == case["token"]


@pytest.mark.parametrize("case", cases_of("token", "placeholder"))
def test_a_placeholder_has_its_public_token(case: Case) -> None:
    """Under every key: an analyst, who has none, knows it."""
    field, value = FieldName(case["field"]), value_of(case)
    assert value.expose() == case["text"].encode()
    assert KINDS[field].canonical(case["text"]).hex() == case["canonical"]
    for key in (bytes(32), bytes(range(32))):
        assert str(_tokenizer(key).token(field, value)) == case["token"]


def test_every_placeholder_has_a_vector() -> None:
    """The set is a part of the format: one more would give a stored value a second token."""
    tokens = {
        (c.values[0]["field"], c.values[0]["token"]) for c in cases_of("token", "placeholder")
    }
    made = {
        (field, str(token)) for field, kind in KINDS.items() for token in placeholders(field, kind)
    }
    assert made == tokens


@pytest.mark.parametrize("case", cases_of("token", "rejected"))
def test_an_invalid_value_stays_invalid(case: Case) -> None:
    """It gets no token, and the parser lets no event with it through."""
    field, value = FieldName(case["field"]), bytes.fromhex(case["value"])
    with pytest.raises(ValueError, match=f"^not a canonical {field}$"):
        _tokenizer(bytes(32)).token(field, Pii(value))
    good = {"user_id": "u", "device_type": "d", "ip": "::1", "device_id": "x", field: "?"}
    quoted = b'"' + b"".join(b"\\u%04x" % byte if byte < 0x20 else bytes([byte]) for byte in value)
    assert isinstance(parse_event(json.dumps(good).encode().replace(b'"?', quoted)), Rejection)


# Messages.


@pytest.mark.parametrize("case", cases_of("message", "event"))
def test_a_body_is_the_event_that_it_was(case: Case) -> None:
    """Field by field, from any envelope."""
    event = parse_event(case["body_text"].encode())
    assert isinstance(event, ParsedEvent)
    texts = {name: column(event, name) for name in PLAIN[:4]}
    texts |= {name: value.expose().decode() for name, value in event.personal.items()}
    assert texts == {name: case[f"{name}_text"] for name in texts}
    assert (event.day and event.day.isoformat()) == case["create_date_text"]
    moment = column(event, "event_time") and f"{column(event, 'event_time'):%Y-%m-%dT%H:%M:%S.%fZ}"
    assert moment == case["event_time_text"]


@pytest.mark.parametrize("case", cases_of("message", "rejected"))
def test_a_body_that_was_no_event_is_none(case: Case) -> None:
    """By the same reason, in the same place."""
    rejection = Rejection(Reason(case["reason_code_text"]), case["path_text"])
    assert parse_event(case["body_text"].encode()) == rejection


# Record ids.


@pytest.mark.parametrize("case", cases_of("record_id", "record_id"))
def test_a_message_has_the_record_id_that_it_had(case: Case) -> None:
    """Else a redelivery becomes a second record."""
    made = record_id_of_message(case["message_id_text"], case["sent_ms"])
    assert str(made) == case["record_id"]
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize("case", cases_of("record_id", "rejected"))
def test_an_invalid_message_stays_invalid(case: Case) -> None:
    """No id is made up for it."""
    with pytest.raises(ValueError, match=r"48 bits|ascii"):
        record_id_of_message(case["message_id_text"], case["sent_ms"])


def _record_id_of_line(case: Case) -> uuid.UUID:
    return record_id_of_line(uuid.UUID(case["source_id"]), case["number"], case["milliseconds"])


@pytest.mark.parametrize("case", cases_of("line_id", "record_id"))
def test_a_line_has_the_record_id_that_it_had(case: Case) -> None:
    """Else a file that is loaded again is stored again."""
    assert str(_record_id_of_line(case)) == case["record_id"]


@pytest.mark.parametrize("case", cases_of("line_id", "rejected"))
def test_an_invalid_line_stays_invalid(case: Case) -> None:
    """No id is made up for it."""
    with pytest.raises(ValueError, match="bits"):
        _record_id_of_line(case)
