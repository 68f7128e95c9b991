"""Sealing and opening: the laws, and that failure says nothing."""

from __future__ import annotations

import dataclasses
import traceback
import uuid
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.declared import DEVICE_ID, FIELDS, IP, login_place
from tests.kit.fakes.receipts import any_receipt
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import QUARANTINE_TABLE
from vault_etl.crypto.keys import DataKey, KeyMaterial
from vault_etl.crypto.sealing import Sealer

KEY = DataKey(0xDEADBEEF, IP, KeyMaterial(bytes(range(32))))
PLACE = login_place(IP, uuid.UUID("019b76da-a87b-73e6-8074-f1e73a6ddeb4"), "user-1")
VALUE = b"198.51.100.7"
STORED = Sealer([KEY])._seal_with_nonce(Pii(VALUE), PLACE, bytes(range(12)))


def opened(stored: bytes, place: ValuePlace = PLACE, key: DataKey = KEY) -> bytes:
    """The opened value."""
    return Opener(any_receipt()).open(stored, place, key).expose()


places = st.builds(login_place, st.sampled_from(FIELDS), st.uuids(), st.text(max_size=128))
materials = st.binary(min_size=32, max_size=32).map(KeyMaterial)


@given(places, materials, st.integers(1, 2**32 - 1), st.binary(max_size=2_000))
def test_opening_gives_back_what_was_sealed(
    place: ValuePlace, material: KeyMaterial, key_id: int, value: bytes
) -> None:
    """Open after seal is the identity, byte for byte, for every value, place and key."""
    key = DataKey(key_id, place.field, material)
    assert opened(Sealer([key]).seal(Pii(value), place), place, key) == value


def test_a_known_ciphertext() -> None:
    """Format 1, AES-256-GCM of the padded text under the associated data of the place."""
    nonce = bytes(range(12))
    padded = VALUE + bytes.fromhex("80000000")
    sealed = AESGCM(bytes(range(32))).encrypt(nonce, padded, PLACE.associated_data(0xDEADBEEF))
    assert bytes.fromhex("01deadbeef") + nonce + sealed == STORED


def test_every_seal_draws_a_new_nonce() -> None:
    """Two seals of one value have nothing in common but the header."""
    sealer = Sealer([KEY])
    seals = [sealer.seal(Pii(VALUE), PLACE) for _ in range(200)]
    assert len({stored[5:17] for stored in seals}) == 200


def test_a_field_is_sealed_under_its_own_key() -> None:
    """The key id in the ciphertext is that of the field's key."""
    device_key = DataKey(7, DEVICE_ID, KeyMaterial(bytes(32)))
    sealer = Sealer([KEY, device_key])
    place = dataclasses.replace(PLACE, field=DEVICE_ID)
    assert sealer.seal(Pii(VALUE), place)[1:5] == bytes([0, 0, 0, 7])
    assert sealer.seal(Pii(VALUE), PLACE)[1:5] == bytes.fromhex("deadbeef")


def test_a_field_without_a_key_is_not_sealed() -> None:
    """No other field's key is taken in its place."""
    with pytest.raises(KeyError):
        Sealer([KEY]).seal(Pii(VALUE), ValuePlace.in_quarantine(PLACE.record_id))


def test_a_sealer_cannot_open() -> None:
    """The type that seals is not the type that opens."""
    assert not hasattr(Sealer, "open")
    assert not hasattr(Opener, "seal")


@pytest.mark.parametrize("bit", range(len(STORED) * 8))
def test_any_flipped_bit_fails(bit: int) -> None:
    """A bit may be flipped in the format, key id, nonce, ciphertext or tag."""
    flipped = bytearray(STORED)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        opened(bytes(flipped))


ELSEWHERE = {
    "another row": dataclasses.replace(PLACE, record_id=uuid.UUID(int=1)),
    "another table": dataclasses.replace(PLACE, table=QUARANTINE_TABLE),
    "another person": dataclasses.replace(PLACE, user_id="user-2"),
    "nobody": dataclasses.replace(PLACE, user_id=""),
    "another field": dataclasses.replace(PLACE, field=DEVICE_ID),
    "another value of its field": dataclasses.replace(PLACE, name="office_ip"),
    "a person whom no format can name": dataclasses.replace(PLACE, user_id="u" * 70_000),
}


@pytest.mark.parametrize("place", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_a_ciphertext_that_was_moved_does_not_open(place: ValuePlace) -> None:
    """The ciphertext is moved to another row, table, person or field."""
    with pytest.raises(IntegrityError):
        opened(STORED, place)


def test_a_ciphertext_moved_to_another_field_with_its_key_does_not_open() -> None:
    """The associated data says the name too, not only the key's row."""
    relabelled = dataclasses.replace(KEY, field=DEVICE_ID)
    place = dataclasses.replace(PLACE, name=DEVICE_ID, field=DEVICE_ID)
    with pytest.raises(IntegrityError):
        opened(STORED, place, relabelled)


def test_a_key_of_another_field_opens_nothing() -> None:
    """The key does not open the value even when its id and its bytes are right."""
    with pytest.raises(IntegrityError):
        opened(STORED, PLACE, dataclasses.replace(KEY, field=DEVICE_ID))


def test_a_ciphertext_does_not_open_under_another_key_id() -> None:
    """Nor when the id in its header is changed to match: the associated data has it too."""
    other = dataclasses.replace(KEY, key_id=1)
    with pytest.raises(IntegrityError):
        opened(STORED, PLACE, other)
    with pytest.raises(IntegrityError):
        opened(STORED[:1] + bytes([0, 0, 0, 1]) + STORED[5:], PLACE, other)


def test_a_ciphertext_does_not_open_under_another_key() -> None:
    """An id that is drawn twice would not help."""
    with pytest.raises(IntegrityError):
        opened(STORED, PLACE, dataclasses.replace(KEY, material=KeyMaterial(bytes(32))))


def test_text_that_is_authentic_but_not_padded_does_not_open() -> None:
    """Text that `pad` cannot have made was not sealed by vault-etl."""
    nonce = bytes(12)
    cipher = AESGCM(bytes(range(32)))
    sealed = cipher.encrypt(nonce, b"a" * 16, PLACE.associated_data(KEY.key_id))
    with pytest.raises(IntegrityError):
        opened(bytes.fromhex("01deadbeef") + nonce + sealed)


def unpadded() -> bytes:
    """Authentic, and malformed within."""
    nonce, cipher = bytes(12), AESGCM(bytes(range(32)))
    sealed = cipher.encrypt(nonce, bytes(16), PLACE.associated_data(KEY.key_id))
    return bytes.fromhex("01deadbeef") + nonce + sealed


FAILURES: dict[str, Callable[[], bytes]] = {
    "format": lambda: opened(b"\x02" + STORED[1:]),
    "length": lambda: opened(STORED[:-1]),
    "empty": lambda: opened(b""),
    "tag": lambda: opened(STORED[:-1] + bytes([STORED[-1] ^ 1])),
    "place": lambda: opened(STORED, ELSEWHERE["another person"]),
    "field": lambda: opened(STORED, ELSEWHERE["another field"]),
    "key": lambda: opened(STORED, PLACE, dataclasses.replace(KEY, material=KeyMaterial(bytes(32)))),
    "key id": lambda: opened(STORED, PLACE, dataclasses.replace(KEY, key_id=1)),
    "padding": lambda: opened(unpadded()),
    "unspeakable": lambda: opened(STORED, ELSEWHERE["a person whom no format can name"]),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
def test_every_failure_to_open_is_one_and_the_same(failure: Callable[[], bytes]) -> None:
    """The caller learns nothing about why: not from the text, the arguments, or what it came from."""
    with pytest.raises(IntegrityError) as caught:
        failure()
    error = caught.value
    assert type(error) is IntegrityError
    assert (error.args, error.hint) == (IntegrityError().args, IntegrityError().hint)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert VALUE.decode() not in "".join(traceback.format_exception(error))
