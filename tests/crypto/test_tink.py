"""Google Tink as the independent oracle of ciphertext format 1, in both directions."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
import tink  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from tink import aead, secret_key_access

from tests.kit.declared import FIELDS, IP, login_place
from tests.kit.fakes.receipts import any_receipt
from vault_etl.audit.opening import Opener
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace, pad
from vault_etl.crypto.keys import DataKey, KeyMaterial
from vault_etl.crypto.sealing import Sealer

aead.register()

_KEY_VALUE_OF_32_BYTES = b"\x1a\x20"
"""Field 3 of the protocol buffer AesGcmKey, with its length."""

raw_keys = st.binary(min_size=32, max_size=32)
key_ids = st.integers(1, 2**32 - 1)
values = st.binary(max_size=500)
places = st.one_of(
    st.builds(login_place, st.sampled_from(FIELDS), st.uuids(), st.text(max_size=128)),
    st.builds(ValuePlace.in_quarantine, st.uuids()),
)


def tink_aead(raw: bytes, key_id: int) -> aead.Aead:
    """Tink's cipher of a keyset with this one AesGcmKey, with the output prefix TINK."""
    key = {
        "keyData": {
            "typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmKey",
            "keyMaterialType": "SYMMETRIC",
            "value": base64.b64encode(_KEY_VALUE_OF_32_BYTES + raw).decode(),
        },
        "outputPrefixType": "TINK",
        "keyId": key_id,
        "status": "ENABLED",
    }
    keyset = json.dumps({"primaryKeyId": key_id, "key": [key]})
    handle = tink.json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(aead.Aead)


@given(raw_keys, key_ids, places, values)
def test_tink_opens_our_ciphertexts(
    raw: bytes, key_id: int, place: ValuePlace, value: bytes
) -> None:
    """Tink gets the raw key and our associated data, and returns the padded text."""
    stored = Sealer([DataKey(key_id, place.field, KeyMaterial(raw))]).seal(Pii(value), place)
    assert tink_aead(raw, key_id).decrypt(stored, place.associated_data(key_id)) == pad(value)


@given(raw_keys, key_ids, places, values)
def test_ciphertexts_of_tink_open_here(
    raw: bytes, key_id: int, place: ValuePlace, value: bytes
) -> None:
    """Tink gets the padded text and our associated data."""
    stored = tink_aead(raw, key_id).encrypt(pad(value), place.associated_data(key_id))
    key = DataKey(key_id, place.field, KeyMaterial(raw))
    assert Opener(any_receipt()).open(stored, place, key).expose() == value


def test_tink_refuses_a_moved_ciphertext() -> None:
    """The oracle can say no: the associated data of another person does not open."""
    place = login_place(IP, uuid.UUID(int=7), "user-1")
    stored = Sealer([DataKey(7, IP, KeyMaterial(bytes(32)))]).seal(Pii(b"value"), place)
    elsewhere = login_place(IP, uuid.UUID(int=7), "user-2")
    with pytest.raises(tink.TinkError):
        tink_aead(bytes(32), 7).decrypt(stored, elsewhere.associated_data(7))
