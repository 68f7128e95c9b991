"""The frozen vectors of keys and ciphertexts: what one version sealed, every later one opens."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.fakes.receipts import any_receipt
from tests.vectors.cases import Case, cases_of, value_of
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace, pad, unpad
from vault_etl.crypto.fields import EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial, encryption_context, fingerprint
from vault_etl.crypto.sealing import Sealer

# Fingerprints and encryption contexts.


def _fingerprint(case: Case) -> str:
    return fingerprint(KeyMaterial(bytes.fromhex(case["key"])), case["key_id"]).hex()


@pytest.mark.parametrize("case", cases_of("fingerprint", "fingerprint"))
def test_a_key_has_the_fingerprint_that_it_had(case: Case) -> None:
    """Else every stored key looks damaged."""
    assert _fingerprint(case) == case["fingerprint"]


@pytest.mark.parametrize("case", cases_of("fingerprint", "differs"))
def test_another_key_has_another_fingerprint(case: Case) -> None:
    """Of other bytes, or of another id."""
    assert _fingerprint(case) != case["fingerprint"]


@pytest.mark.parametrize("case", cases_of("fingerprint", "rejected"))
def test_an_invalid_key_stays_invalid(case: Case) -> None:
    """A key has 32 bytes."""
    with pytest.raises(ValueError, match="key material is 32 bytes"):
        KeyMaterial(bytes.fromhex(case["key"]))


@pytest.mark.parametrize("case", cases_of("encryption_context", "context"))
def test_a_key_has_the_context_that_it_was_wrapped_under(case: Case) -> None:
    """Else KMS refuses every stored key, and the conditions of every policy miss."""
    made = encryption_context(KeyPurpose(case["purpose"]), FieldName(case["field"]), case["key_id"])
    assert made == case["context"]


# Sealing.


def _place(case: Case) -> ValuePlace:
    record_id, field = uuid.UUID(case["record_id"]), FieldName(case["field"])
    return ValuePlace(EventName(case["table"]), field, field, record_id, case["user_id_text"])


def _key(case: Case) -> DataKey:
    material = KeyMaterial(bytes.fromhex(case["key"]))
    return DataKey(case["key_id"], FieldName(case["key_field"]), material)


def _open(case: Case) -> Pii:
    return Opener(any_receipt()).open(bytes.fromhex(case["stored"]), _place(case), _key(case))


@pytest.mark.parametrize("case", cases_of("associated_data", "associated_data"))
def test_a_place_has_the_associated_data_that_it_had(case: Case) -> None:
    """Else nothing that was sealed for it opens."""
    assert _place(case).associated_data(case["key_id"]).hex() == case["associated_data"]


@pytest.mark.parametrize("case", cases_of("padding", "padded"))
def test_a_value_is_padded_as_it_was(case: Case) -> None:
    """There, and back."""
    value, padded = bytes.fromhex(case["value"]), bytes.fromhex(case["padded"])
    assert pad(value) == padded
    assert unpad(padded) == value


@pytest.mark.parametrize("case", cases_of("padding", "malformed"))
def test_malformed_padding_stays_malformed(case: Case) -> None:
    """Not even to something near."""
    with pytest.raises(ValueError, match="malformed padding"):
        unpad(bytes.fromhex(case["padded"]))


@pytest.mark.parametrize("case", cases_of("ciphertext", "opens"))
def test_sealed_values_open(case: Case) -> None:
    """The text is equal byte for byte, from every writer."""
    assert _open(case).expose().hex() == case["value"]


@pytest.mark.parametrize(
    "case", [c for c in cases_of("ciphertext", "opens") if "nonce" in c.values[0]]
)
def test_sealing_makes_the_bytes_that_it_made(case: Case) -> None:
    """So that older versions, and Tink, open what this one writes."""
    nonce = bytes.fromhex(case["nonce"])
    made = Sealer([_key(case)])._seal_with_nonce(value_of(case), _place(case), nonce)
    assert made.hex() == case["stored"]


@pytest.mark.parametrize("case", cases_of("ciphertext", "fails"))
def test_damaged_moved_and_forged_ciphertexts_do_not_open(case: Case) -> None:
    """With the one error that says nothing about why."""
    with pytest.raises(IntegrityError) as caught:
        _open(case)
    the_one = IntegrityError()
    assert (caught.value.args, caught.value.hint) == (the_one.args, the_one.hint)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
