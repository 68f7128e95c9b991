"""The table of wrapped keys on Postgres: keys, usage, ages, and the swap of wrapped bytes."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import psycopg2.extensions
from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration
from vault_etl.keys.age import Ages, KeyAges
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.init import FirstKeyWriter, SourceKeyReader
from vault_etl.keys.make import DataKeyWriter, NewKey
from vault_etl.keys.needed import KeyLister, KeyUsage
from vault_etl.keys.rewrap import WrappedKeys
from vault_etl.keys.ring import KeyReader, KeyTrail
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("keys/keys.sql")

FENCE_TRIES: Final = 10
FENCE_SECONDS: Final = 60.0
"""A fence that other processes hold is tried this often, and for this long, before giving up."""


class PostgresKeyStore(
    KeyReader,
    SourceKeyReader,
    DataKeyWriter,
    KeyTrail,
    FirstKeyWriter,
    KeyRetirer,
    KeyAges,
    KeyLister,
):
    """The keys of the vault. The login's grants decide which methods work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["keys_by_id"], {"key_ids": list(key_ids)})
            return [stored_key(row) for row in cursor.fetchall()]

    @override
    def token_keys(self) -> Sequence[StoredKey]:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["token_keys"])
            return [stored_key(row) for row in cursor.fetchall()]

    @override
    def field_token_keys(self, field: FieldName) -> Sequence[StoredKey]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["field_token_keys"], {"field": field})
            return [stored_key(row) for row in cursor.fetchall()]

    @override
    def source_key(self) -> StoredKey | None:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["source_key"])
            row = cursor.fetchone()
        return None if row is None else stored_key(row)

    @override
    def add_data_key(self, key: NewKey) -> bool:
        """Insert the key with a lease that runs by the database's clock."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(
                _SQL["add_data_key"],
                {
                    "key_id": key.key_id,
                    "field": key.field,
                    "kms_key_arn": key.kms_key_arn,
                    "wrapped_key": key.wrapped_key,
                    "fingerprint": key.fingerprint,
                    "lease": key.lease,
                },
            )
            return cursor.rowcount == 1

    @override
    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        values = {**asked_by(request), "keys": as_json(keys)}
        (added,) = self._database.call(_SQL["add_first_keys"], values)
        return bool(added)

    @override
    def retire_data_keys(self, request: AuditRequest, fields: Iterable[FieldName]) -> Sequence[int]:
        names = list(fields)
        retired = list[int]()
        while page := self._retire(request, names, expired=True):  # very many keys may have expired
            retired += page
        return retired + self._retire(request, names, expired=False)

    @retried_for_locks(tries=FENCE_TRIES, within=FENCE_SECONDS)
    def _retire(self, request: AuditRequest, fields: Sequence[str], *, expired: bool) -> list[int]:
        """Retire a page of keys whose lease must have expired, or else all others; return their ids."""
        values = {**asked_by(request), "fields": fields, "expired": expired}
        (retired,) = self._database.call(_SQL["retire_data_keys"], values)
        return list(retired)

    @override
    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        wanted = None if key_ids is None else list(key_ids)
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["unexplained"], {"key_ids": wanted})
            return [key_id for (key_id,) in cursor.fetchall()]

    @override
    def oldest(self, state: KeyState) -> Ages:
        """Return ages by the database's clock."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["oldest"], {"state": state.value})
            return {KeyPurpose(purpose): age for purpose, age in cursor.fetchall()}

    @override
    def usage(self, *, counted: bool = False) -> Sequence[KeyUsage]:
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["usage"], {"counted": counted})
            return [KeyUsage(stored_key(row[:-2]), *row[-2:]) for row in cursor.fetchall()]


def close_fence(cursor: psycopg2.extensions.cursor) -> None:
    """Close the fence for a change of keys; it must be the transaction's first statement."""
    cursor.execute(_SQL["limit_fence"])
    cursor.execute(_SQL["close_fence"])


def asked_by(request: AuditRequest) -> dict[str, object]:
    """Return the request's part of the entry, for a function that changes keys."""
    return {"request_id": request.request_id, "actor": request.actor, "host": request.host}


def as_json(keys: Sequence[NewKey]) -> str:
    """Encode new rows, with bytes in hex, for the functions that add keys."""
    return json.dumps(
        [
            {
                "key_id": key.key_id,
                "purpose": key.purpose.value,
                "field": key.field,
                "generation": key.generation,
                "kms_key_arn": key.kms_key_arn,
                "wrapped_key": (key.wrapped_key or b"").hex(),
                "fingerprint": key.fingerprint.hex(),
            }
            for key in keys
        ]
    )


def stored_key(row: tuple[Any, ...]) -> StoredKey:
    """Return the key of a row, in the order of columns that `keys.sql` has."""
    (key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint) = row[:8]
    (created_at, created_by, expires_at, retired_at, destroyed_at) = row[8:]
    return StoredKey(
        key_id=key_id,
        purpose=KeyPurpose(purpose),
        field=FieldName(field),
        generation=generation,
        state=KeyState(state),
        kms_key_arn=kms_key_arn,
        wrapped_key=None if wrapped_key is None else bytes(wrapped_key),
        fingerprint=bytes(fingerprint),
        created_at=created_at,
        created_by=created_by,
        expires_at=expires_at,
        retired_at=retired_at,
        destroyed_at=destroyed_at,
    )


class PostgresWrappedKeys(WrappedKeys):
    """Wrapped bytes and their compare-and-swap, for the roles rotate and re-encrypt."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)
        self._digest = digest_of(declaration)

    @override
    def live(self) -> Sequence[StoredKey]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["live_key_ids"])
            key_ids = [key_id for (key_id,) in cursor.fetchall()]
        return sorted(
            (key for key in self._keys.keys(key_ids) if key.state is not KeyState.DESTROYED),
            key=lambda key: (key.purpose, key.field, key.created_at, key.key_id),
        )

    @override
    def swap(
        self, request: AuditRequest, key: StoredKey, wrapped_key: bytes, kms_key_arn: str
    ) -> bool:
        (swapped,) = self._database.call(
            _SQL["swap_wrapped_key"],
            {
                **asked_by(request),
                "key_id": key.key_id,
                "old_wrapped_key": key.wrapped_key,
                "old_kms_key_arn": key.kms_key_arn,
                "wrapped_key": wrapped_key,
                "kms_key_arn": kms_key_arn,
                "declaration": self._digest,
            },
            within=ANSWER_WITHIN_S,
        )
        return bool(swapped)


class SeldomAskedKeyAges(KeyAges):
    """Key ages over a connection of its own, which is closed after each answer: an idle connection costs memory.

    `database` must not be shared, since a connection belongs to one thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)

    @override
    def oldest(self, state: KeyState) -> Ages:
        try:
            return self._keys.oldest(state)
        finally:
            self._database.close()
