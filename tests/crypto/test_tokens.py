"""Token format 1, against a second implementation and frozen answers."""

from __future__ import annotations

import hmac
import ipaddress
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.login_kinds import KINDS
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.crypto.keys import KeyMaterial, TokenKey
from vault_etl.crypto.tokens import Tokenizer, placeholder_token

RAW = {IP: bytes(range(32)), DEVICE_ID: bytes(range(32, 64))}


def tokenizer(generation: int = 1, raw: dict[FieldName, bytes] | None = None) -> Tokenizer:
    """The tokenizer of these keys."""
    return Tokenizer(
        (TokenKey(1, field, generation, KeyMaterial(key)) for field, key in (raw or RAW).items()),
        KINDS,
    )


def oracle(key: bytes, field: bytes, canonical: bytes) -> uuid.UUID:
    """Token format 1 as docs/design.md has it, with the standard library alone."""
    label = b"vault-etl/1/token" + len(field).to_bytes(2, "big") + field
    derived = hmac.digest(key, label, "sha256")
    return uuid.UUID(bytes=hmac.digest(derived, canonical, "sha256")[:16])


@pytest.mark.parametrize(
    ("field", "value", "token"),
    [
        (IP, "198.51.100.7", "30a13600-1fdf-98b2-15d1-8414b5e39dd2"),
        (IP, "2001:db8::1", "4ce6b96f-6b50-e198-5020-bbc6925ab15d"),
        (DEVICE_ID, "593-47-5928", "6ade0ec3-a319-7c33-2716-2e2750d7d032"),
        (DEVICE_ID, "\u00e9", "c3a768ee-f26f-60f3-c2fa-de3aefb30e71"),
    ],
)
def test_known_tokens(field: FieldName, value: str, token: str) -> None:
    """These tokens never change: existing rows are joined on them."""
    assert tokenizer().token(field, Pii.of_text(value)) == uuid.UUID(token)


@given(st.binary(min_size=32, max_size=32), st.ip_addresses(v=6))
def test_tokens_of_addresses_agree_with_the_oracle(
    key: bytes, address: ipaddress.IPv6Address
) -> None:
    """The tokens agree for every key and address."""
    token = tokenizer(raw={**RAW, IP: key}).token(IP, Pii.of_text(str(address)))
    public = placeholder_token(IP, KINDS[IP], address.packed)
    assert token == (public or oracle(key, b"ip", address.packed))


@given(
    st.binary(min_size=32, max_size=32),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
)
def test_tokens_of_device_ids_agree_with_the_oracle(key: bytes, device: str) -> None:
    """The tokens agree for every key and device id."""
    made = tokenizer(raw={**RAW, DEVICE_ID: key}).token(DEVICE_ID, Pii.of_text(device))
    public = placeholder_token(DEVICE_ID, KINDS[DEVICE_ID], device.encode())
    assert made == (public or oracle(key, b"device_id", device.encode()))


def test_equal_strings_in_different_fields_differ() -> None:
    """Their tokens differ even under one and the same key."""
    one_key = tokenizer(raw=dict.fromkeys(RAW, bytes(32)))
    # An address and a device id with one and the same canonical form.
    address, device = Pii(b"6162:6364:6566:6768:696a:6b6c:6d6e:6f70"), Pii(b"abcdefghijklmnop")
    assert one_key.token(IP, address) != one_key.token(DEVICE_ID, device)
    same = Pii(b"2001:db8::1")
    assert one_key.token(IP, same) != one_key.token(DEVICE_ID, same)


def test_a_mapped_address_has_the_token_of_its_ipv4_address() -> None:
    """Both spellings are one address."""
    mapped, plain = Pii(b"::ffff:198.51.100.7"), Pii(b" 198.51.100.7 ")
    assert tokenizer().token(IP, mapped) == tokenizer().token(IP, plain)


def test_a_token_is_made_the_same_way_every_time() -> None:
    """A tokenizer has no state that one value leaves for the next."""
    one = tokenizer()
    first = one.token(IP, Pii(b"198.51.100.7"))
    one.token(IP, Pii(b"198.51.100.8"))
    assert one.token(IP, Pii(b"198.51.100.7")) == first


def test_two_keys_give_two_tokens() -> None:
    """Without the token key there is no way from a value to its token."""
    other = tokenizer(raw=dict.fromkeys(RAW, bytes(32)))
    for field in PERSONAL_FIELDS:
        value = Pii(b"198.51.100.7")
        assert tokenizer().token(field, value) != other.token(field, value)


def test_a_tokenizer_tells_its_generation() -> None:
    """The generation is stored beside the tokens in the row."""
    assert tokenizer(generation=7).generation == 7


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [(IP, 1)],
        [(IP, 1), (DEVICE_ID, 2)],
        [(IP, 1), (DEVICE_ID, 1), (QUARANTINE, 1)],
    ],
)
def test_a_tokenizer_takes_one_key_a_field_of_one_generation(
    keys: list[tuple[FieldName, int]],
) -> None:
    """Tokens of two generations in one row could never be cut over."""
    with pytest.raises(ValueError, match="one key for each personal field"):
        Tokenizer(
            (TokenKey(1, f, generation, KeyMaterial(bytes(32))) for f, generation in keys), KINDS
        )


def test_a_value_that_the_field_cannot_hold_has_no_token() -> None:
    """A blank device id is rejected, never tokenised. The error names the field alone, and shows no cause."""
    for value in (b"   ", b"\xff\xfe4711"):
        with pytest.raises(ValueError, match=r"^not a canonical device_id$") as caught:
            tokenizer().token(DEVICE_ID, Pii(value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
