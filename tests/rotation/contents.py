"""The contents of a vault as digests, opened in this process with the rights of re-encrypt."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.kit.declared import PERSONAL_FIELDS, login_place
from tests.kit.fakes.receipts import any_receipt
from tests.kit.vault import Vault
from vault_etl import settings
from vault_etl.app.key_ring import ring
from vault_etl.app.parts import Parts
from vault_etl.audit.opening import Opener
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.tokens import FieldTokenizer
from vault_etl.keys.ring import KeyRing

COLUMNS = (
    "SELECT record_id, user_id, ip_ciphertext, device_id_ciphertext, masked_ip, masked_device_id,"
    " next_masked_ip, next_masked_device_id, token_generation, next_token_generation"
    " FROM user_logins"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """All records and quarantined bodies, each opened: a value that does not open raises.

    `wrong_tokens` are the records with a token of another value or of another generation than the
    row says, and the records with a token of one field alone.
    """

    records: Counter[str]
    bodies: Counter[str]
    key_ids: frozenset[int]
    """That something is sealed under."""
    generations: Counter[tuple[int | None, int | None]]
    """Of the tokens and of the next ones, by record."""
    wrong_tokens: tuple[uuid.UUID, ...]
    erased: tuple[str, ...]
    """The users whose records hold nothing personal any more, of any name."""


def of_events(bodies: Iterable[str]) -> Counter[str]:
    """The digests that records of these events must have."""
    events = (json.loads(body) for body in bodies)
    return Counter(
        _digest(e["user_id"].encode(), e["ip"].encode(), e["device_id"].encode()) for e in events
    )


def of_bodies(bodies: Iterable[str]) -> Counter[str]:
    """The digests that quarantined messages must have."""
    return Counter(_digest(body.encode()) for body in bodies)


def contents(vault: Vault) -> Contents:
    """Open everything, with the keys as KMS unwraps them now. Raises IntegrityError if one does not open."""
    with parts_of(vault, "re-encrypt") as parts:
        return _Reader(vault, ring(parts)).read()


@contextmanager
def parts_of(vault: Vault, role: str, more: Mapping[str, str] | None = None) -> Iterator[Parts]:
    """The parts of a command of this role; AWS's clients read the environment when they are made."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**vault.environment(role), **(more or {})}.items():
            patch.setenv(name, value)
        loaded, _ = settings.load(dict(os.environ))
        yield Parts(loaded)


class _Reader:
    def __init__(self, vault: Vault, ring: KeyRing) -> None:
        self._vault = vault
        self._ring = ring
        self._opener = Opener(any_receipt())
        self._keys: dict[int, DataKey] = {}
        self._tokenizers: dict[tuple[FieldName, int], FieldTokenizer] = {}

    def read(self) -> Contents:
        """Read and open all values."""
        self._tokenizers = {
            (field, tokenizer.generation): tokenizer
            for field in PERSONAL_FIELDS
            for tokenizer in self._ring.field_tokenizers(field)
        }
        records, generations, wrong = Counter[str](), Counter[tuple[int | None, int | None]](), []
        erased = []
        for record_id, user_id, *sealed_and_tokens in self._vault.sql(COLUMNS):
            if set(sealed_and_tokens) == {None}:
                erased.append(user_id)
                continue
            sealed, tokens = sealed_and_tokens[:2], sealed_and_tokens[2:6]
            active, pending = sealed_and_tokens[6:]
            values = [
                self._open(field, bytes(stored), login_place(field, record_id, user_id))
                for field, stored in zip(PERSONAL_FIELDS, sealed, strict=True)
            ]
            records[_digest(user_id.encode(), *(value.expose() for value in values))] += 1
            generations[active, pending] += 1
            if tokens != self._tokens(values, active) + self._tokens(values, pending):
                wrong.append(record_id)
        bodies = Counter[str]()
        for record_id, stored in self._vault.sql(
            "SELECT record_id, body_ciphertext FROM quarantine"
        ):
            body = self._open(QUARANTINE, bytes(stored), ValuePlace.in_quarantine(record_id))
            bodies[_digest(body.expose())] += 1
        return Contents(
            records, bodies, frozenset(self._keys), generations, tuple(wrong), tuple(erased)
        )

    def _open(self, field: FieldName, stored: bytes, place: ValuePlace) -> Pii:
        key_id = int.from_bytes(stored[1:5], "big")
        if key_id not in self._keys:
            self._keys[key_id] = self._ring.data_key(key_id, field)
        return self._opener.open(stored, place, self._keys[key_id])

    def _tokens(self, values: list[Pii], generation: int | None) -> list[uuid.UUID | None]:
        if generation is None:
            return [None, None]
        return [
            self._tokenizers[field, generation].token(value)
            for field, value in zip(PERSONAL_FIELDS, values, strict=True)
        ]


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()
