"""Damage to rows before and after the backfill of their next tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from tests.kit.declared import IP
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import (
    forge,
)
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState

Damage = Callable[[FakeVault, uuid.UUID], None]


NOT_CUT_OVER = {KeyState.ACTIVE: {1}, KeyState.PENDING: {2}}


def other_field(vault: FakeVault, record_id: uuid.UUID) -> FieldName:
    """A field of the record that is not `ip`."""
    return next(f for f in vault.database.records[record_id].ciphertexts if f != IP)


def other_than(vault: FakeVault, record_id: uuid.UUID) -> uuid.UUID:
    """A record that shares no value with this one."""
    values = vault.database.records[record_id].subject.split()
    return next(
        r.record_id
        for r in vault.database.records.values()
        if not set(r.subject.split()) & set(values)
    )


def flipped_bit(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A ciphertext that does not open."""
    ciphertexts = vault.database.records[record_id].ciphertexts
    ciphertexts[IP] = ciphertexts[IP][:-1] + bytes([ciphertexts[IP][-1] ^ 1])


def unknown_key(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A ciphertext under a key that does not exist."""
    ciphertexts = vault.database.records[record_id].ciphertexts
    ciphertexts[IP] = ciphertexts[IP][:1] + bytes(4) + ciphertexts[IP][5:]


def swapped_ciphertext(vault: FakeVault, record_id: uuid.UUID) -> None:
    """Another row's ciphertext, which opens in that row."""
    other = vault.database.records[other_than(vault, record_id)].ciphertexts
    vault.database.records[record_id].ciphertexts[IP] = other[IP]


def missing_ciphertext(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A token without its value."""
    del vault.database.records[record_id].ciphertexts[IP]


def forged_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A token of no value."""
    tokens = vault.database.records[record_id].tokens
    forge(vault, record_id, tokens=tokens | {other_field(vault, record_id): uuid.uuid4()})


def another_rows_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """The token of another value: a false duplicate."""
    other = vault.database.records[other_than(vault, record_id)].tokens
    tokens = vault.database.records[record_id].tokens
    forge(vault, record_id, tokens=tokens | {IP: other[IP]})


def missing_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """Only one token of the record's."""
    forge(vault, record_id, tokens={IP: vault.database.records[record_id].tokens[IP]})


def other_generation(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A row that claims a generation which does not exist."""
    forge(vault, record_id, token_generation=7)


BEFORE: list[Damage] = [
    flipped_bit,
    unknown_key,
    swapped_ciphertext,
    missing_ciphertext,
    forged_token,
    another_rows_token,
    missing_token,
    other_generation,
]


def forged_next_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """A next token of no value, in a row that shares its values."""
    made = vault.database.records[record_id].next_tokens or {}
    forge(vault, record_id, next_tokens=made | {IP: uuid.uuid4()})


def another_rows_next_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """The next token of another value."""
    other = vault.database.records[other_than(vault, record_id)].next_tokens or {}
    made = vault.database.records[record_id].next_tokens or {}
    forge(vault, record_id, next_tokens=made | {IP: other[IP]})


def missing_next_token(vault: FakeVault, record_id: uuid.UUID) -> None:
    """Only one next token of the record's."""
    made = vault.database.records[record_id].next_tokens or {}
    forge(vault, record_id, next_tokens={IP: made[IP]})


def next_token_without_an_old_one(vault: FakeVault, record_id: uuid.UUID) -> None:
    """The old token was removed after the backfill."""
    forge(vault, record_id, tokens={})


AFTER: list[Damage] = [
    forged_next_token,
    another_rows_next_token,
    missing_next_token,
    next_token_without_an_old_one,
]


def rotate_with(vault: FakeVault, damage: Damage, record_id: uuid.UUID) -> None:
    """A rotation in which the row is damaged after its backfill."""

    def damaging(name: str, call: Callable[[], Any]) -> object:
        if name == "compare":
            damage(vault, record_id)
        return call()

    seen_by(vault, damaging).rotate_tokens()
