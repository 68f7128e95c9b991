"""A vault that someone with all rights in the database tampers with, and who then reveals from it.

Reveals run in this process, built by `vault_etl.app` with the reveal role's own credentials:
the services, the adapters, Postgres and the emulator are the real ones, and an exhaustive test
takes seconds. `test_command.py` shows that a process adds nothing.
"""

from __future__ import annotations

import functools
import os
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg2
import pytest

from tests.kit.declared import IP, PERSONAL_FIELDS
from tests.kit.vault import Vault
from vault_etl import settings
from vault_etl.app import reveal
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import IntegrityError, KeyDeniedError, UnusableKeyError, VaultEtlError
from vault_etl.crypto.fields import FieldName
from vault_etl.reveal.reveal import Revealed

ALICE: Final = "alice"
CANARIES: Final = ("198.51.100.77", "198.51.100.78", "198.51.100.79", "canary-device-")
"""Of every value in the vault: found in nothing that a failure leaves behind."""

Reveal = Callable[[AuditRequest], Revealed]
"""The service of `vault-etl reveal`."""

_TABLES: Final = ("user_logins", "quarantine", "data_keys")
_CODES: Final = {IntegrityError: "integrity", UnusableKeyError: "key_unavailable"}


@dataclass(frozen=True, slots=True)
class Key:
    """A row of `data_keys`."""

    key_id: int
    kms_key_arn: str
    wrapped_key: bytes | None
    fingerprint: bytes


@dataclass(frozen=True)
class Site:
    """One vault, its records, and ways to change them that no role has."""

    vault: Vault
    connection: psycopg2.extensions.connection
    records: Sequence[uuid.UUID]
    """Two of Alice's, of two addresses and devices, then one of Bob's; all under the same data keys."""
    quarantined: uuid.UUID
    spare: dict[str, Key]
    """Keys of `ip` that seal nothing: another `live` one, a `retired` one and a `destroyed` one."""
    _parts: dict[str, Parts] = field(default_factory=dict)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement as a superuser who has switched every trigger off."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def ciphertext(self, record_id: uuid.UUID, field: FieldName = IP) -> bytes:
        """The ciphertext as it is stored."""
        column = f"SELECT {field}_ciphertext FROM user_logins WHERE record_id = %s"  # noqa: S608
        ((stored,),) = self.sql(column, record_id)
        return bytes(stored)

    def put(self, record_id: uuid.UUID, stored: bytes, field: FieldName = IP) -> None:
        """Store other bytes in its place."""
        self.sql(
            f"UPDATE user_logins SET {field}_ciphertext = %s WHERE record_id = %s",  # noqa: S608
            stored,
            record_id,
        )

    def key_of(self, field: FieldName, purpose: str = "data") -> Key:
        """The key that the records are sealed under, or that makes their tokens: the first one made."""
        ((key_id, arn, wrapped, fingerprint),) = self.sql(
            "SELECT key_id, kms_key_arn, wrapped_key, fingerprint FROM data_keys"
            " WHERE field = %s AND purpose = %s ORDER BY created_at LIMIT 1",
            field,
            purpose,
        )
        return Key(key_id, arn, None if wrapped is None else bytes(wrapped), bytes(fingerprint))

    def reveal(self, **settings_of: str) -> Reveal:
        """A new `vault-etl reveal`, so to say: no key of an earlier one is cached."""
        with self.environment("reveal", settings_of) as environment:
            loaded, _ = settings.load(environment)
            parts = Parts(loaded) if settings_of else self.parts("reveal")
            return reveal.reveal(parts, uuid.uuid4())

    def parts(self, role: str) -> Parts:
        """Parts of a role, shared by all tests, since a session with AWS is slow to make; they keep no key."""
        if role not in self._parts:
            with self.environment(role) as environment:
                self._parts[role] = Parts(settings.load(environment)[0])
        return self._parts[role]

    @functools.cached_property
    def warm(self) -> Reveal:
        """A reveal that got its keys while all was whole: for attacks that do not touch keys."""
        return self.reveal()

    @contextmanager
    def environment(
        self, role: str, more: Mapping[str, str] | None = None
    ) -> Iterator[dict[str, str]]:
        """Set the environment of a command of that role in this process; AWS's clients read it when they are made."""
        given = {**self.vault.environment(role), **(more or {})}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value)
            yield dict(os.environ)

    def keep(self) -> None:
        """Remember every row."""
        for table in _TABLES:
            self.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608

    def restore(self) -> None:
        """Put every row back."""
        for table in _TABLES:
            self.sql(f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")  # noqa: S608


def request(record_id: uuid.UUID, *fields: FieldName) -> AuditRequest:
    """Somebody asks for these fields, or for all."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.REVEAL,
        actor="arn:aws:sts::123456789012:assumed-role/vault-etl-reveal/ada",
        host="host.example",
        reason="a test asks",
        record_id=record_id,
        fields=fields or PERSONAL_FIELDS,
    )


def refused(
    site: Site,
    record_id: uuid.UUID,
    *fields: FieldName,
    reveal: Reveal | None = None,
    error: type[VaultEtlError] = IntegrityError,
) -> str:
    """Assert what holds for every failed reveal: this error, in the one form that it has, on the record, and silent.

    Returns the error's text. `error` is IntegrityError or UnusableKeyError; for the latter KMS may say
    that it denies this: moto does for bytes that name none of its KMS keys.
    """
    asked = request(record_id, *fields)
    with pytest.raises((error, KeyDeniedError) if error is UnusableKeyError else error) as caught:
        (reveal or site.reveal())(asked)
    assert caught.value.exit_code == (77 if isinstance(caught.value, KeyDeniedError) else 65)
    if error is IntegrityError:
        the_one = IntegrityError()
        assert (caught.value.args, caught.value.hint) == (the_one.args, the_one.hint)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    entries = site.sql(
        "SELECT phase, decision, error_code, l::text FROM audit_log AS l"
        " WHERE request_id = %s ORDER BY seq",
        asked.request_id,
    )
    assert [entry[:3] for entry in entries] == [
        ("intent", "allowed", None),
        ("outcome", "failed", _CODES[error]),
    ]
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    silent("".join(told.format()), *(entry[3] for entry in entries))
    return str(caught.value)


def silent(*texts: str) -> None:
    """No value of the vault is in these: not as text, as hex, or as bytes that Python prints."""
    for text in texts:
        for canary in CANARIES:
            assert canary not in text
            assert canary.encode().hex() not in text.lower()


def opens(
    site: Site, record_id: uuid.UUID, *fields: FieldName, reveal: Reveal | None = None
) -> bool:
    """The record opens: else a test of failures would show nothing."""
    revealed = (reveal or site.reveal())(request(record_id, *fields))
    return all(value is not None for value in revealed.values.values())


def value(site: Site, record_id: uuid.UUID, field: FieldName) -> bytes:
    """Reveal a field of a whole record."""
    revealed = site.warm(request(record_id, field)).values[field]
    assert revealed is not None
    return revealed.expose()
