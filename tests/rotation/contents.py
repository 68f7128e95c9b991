"""The contents of a vault as digests, opened in this process with the rights of re-encrypt."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.receipts import any_receipt
from tests.kit.parsed import parser_of
from tests.kit.stored_rows import GENERATIONS, personal_columns
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
from vault_etl.declaration.model import Declaration, DeclaredEvent, PersonalValue
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.keys.ring import KeyRing


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


def of_events(bodies: Iterable[str], declaration: Declaration = DEFAULT) -> Counter[str]:
    """The digests that records of these events must have."""
    parsed = (parser_of(declaration).parse(body.encode()) for body in bodies)
    return Counter(
        _digest_of_record(event.event, event.subject, event.personal)
        for event in parsed
        if isinstance(event, ParsedEvent)
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
            for field in self._vault.declaration.field_names
            for tokenizer in self._ring.field_tokenizers(field)
        }
        records, generations, wrong = Counter[str](), Counter[tuple[int | None, int | None]](), []
        erased = []
        for event, row in self._rows():
            record_id, subject = row["record_id"], row[event.subject.name]
            active, pending = (row[name] for name in GENERATIONS)
            values = {
                value.name: self._open(
                    value.field.name,
                    bytes(row[value.ciphertext]),
                    ValuePlace(event.name, value.name, value.field.name, record_id, subject),
                )
                for value in event.personal
                if row[value.ciphertext] is not None
            }
            if {row[name] for name in personal_columns(event)} == {None}:
                erased.append(subject)
                continue
            records[_digest_of_record(event, subject, values)] += 1
            generations[active, pending] += 1
            if any(
                row[column] != self._token(value, values.get(value.name), generation)
                for value in event.personal
                for column, generation in ((value.token, active), (value.next_token, pending))
            ):
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

    def _rows(self) -> Iterator[tuple[DeclaredEvent, dict[str, Any]]]:
        for event in self._vault.declaration.events:
            names = ("record_id", event.subject.name, *personal_columns(event))
            for row in self._vault.sql(f"SELECT {', '.join(names)} FROM {event.name}"):  # noqa: S608
                yield event, dict(zip(names, row, strict=True))

    def _token(
        self, value: PersonalValue, text: Pii | None, generation: int | None
    ) -> uuid.UUID | None:
        if text is None or generation is None:
            return None
        return self._tokenizers[value.field.name, generation].token(text)


def _digest_of_record(event: DeclaredEvent, subject: str, values: Mapping[FieldName, Pii]) -> str:
    texts = (values[v.name].expose() if v.name in values else b"" for v in event.personal)
    return _digest(event.name.encode(), subject.encode(), *texts)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()
