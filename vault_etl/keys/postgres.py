"""The table of wrapped keys on Postgres."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import psycopg2.extensions
import stamina

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import Field, FileField, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.age import Ages
from vault_etl.keys.make import NewKey
from vault_etl.keys.needed import KeyUsage
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_answers import LockTimeoutError
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("keys/keys.sql")

FENCE_TRIES: Final = 10
FENCE_SECONDS: Final = 60.0
"""How often, and for how long, a fence that others hold is tried to be closed."""


class PostgresKeyStore:
    """Every port of `vault_etl.keys.store`, and `KeyAges`; the login's grants say which work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keys(self, key_ids: Iterable[int]) -> Sequence[StoredKey]:
        """See `KeyReader.keys`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["keys_by_id"], {"key_ids": list(key_ids)})
            return [_stored(row) for row in cursor.fetchall()]

    def token_keys(self) -> Sequence[StoredKey]:
        """See `KeyReader.token_keys`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["token_keys"])
            return [_stored(row) for row in cursor.fetchall()]

    def field_token_keys(self, field: Field) -> Sequence[StoredKey]:
        """See `KeyReader.field_token_keys`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["field_token_keys"], {"field": field.value})
            return [_stored(row) for row in cursor.fetchall()]

    def source_key(self) -> StoredKey | None:
        """See `SourceKeyReader.source_key`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["source_key"])
            row = cursor.fetchone()
        return None if row is None else _stored(row)

    def add_data_key(self, key: NewKey) -> bool:
        """See `DataKeyWriter.add_data_key`. The lease runs by the database's clock."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(
                _SQL["add_data_key"],
                {
                    "key_id": key.key_id,
                    "field": key.field.value,
                    "kms_key_arn": key.kms_key_arn,
                    "wrapped_key": key.wrapped_key,
                    "fingerprint": key.fingerprint,
                    "lease": key.lease,
                },
            )
            return cursor.rowcount == 1

    @stamina.retry(on=LockTimeoutError, attempts=FENCE_TRIES, timeout=FENCE_SECONDS)
    def add_first_keys(self, request: AuditRequest, keys: Sequence[NewKey]) -> bool:
        """See `FirstKeyWriter.add_first_keys`."""
        values = {**asked_by(request), "keys": as_json(keys)}
        (added,) = self._database.call(_SQL["add_first_keys"], values)
        return bool(added)

    def retire_data_keys(self, request: AuditRequest, fields: Iterable[Field]) -> Sequence[int]:
        """See `KeyRetirer.retire_data_keys`."""
        names = [field.value for field in fields]
        retired = list[int]()
        while page := self._retire(request, names, expired=True):  # they may be very many
            retired += page
        return retired + self._retire(request, names, expired=False)

    @stamina.retry(on=LockTimeoutError, attempts=FENCE_TRIES, timeout=FENCE_SECONDS)
    def _retire(self, request: AuditRequest, fields: Sequence[str], *, expired: bool) -> list[int]:
        """Retire a page of the keys that no lease can be of any more, or all others; the ids."""
        values = {**asked_by(request), "fields": fields, "expired": expired}
        (retired,) = self._database.call(_SQL["retire_data_keys"], values)
        return list(retired)

    def unexplained(self, key_ids: Collection[int] | None = None) -> Sequence[int]:
        """See `KeyTrail.unexplained`."""
        wanted = None if key_ids is None else list(key_ids)
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["unexplained"], {"key_ids": wanted})
            return [key_id for (key_id,) in cursor.fetchall()]

    def oldest(self, state: KeyState) -> Ages:
        """See `KeyAges.oldest`: by the database's clock."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["oldest"], {"state": state.value})
            return {KeyPurpose(purpose): age for purpose, age in cursor.fetchall()}

    def usage(self, *, counted: bool = False) -> Sequence[KeyUsage]:
        """See `KeyLister.usage`."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["usage"], {"counted": counted})
            return [KeyUsage(_stored(row[:-2]), *row[-2:]) for row in cursor.fetchall()]


def close_fence(cursor: psycopg2.extensions.cursor) -> None:
    """Take the fence as whoever changes keys does, as the transaction's first statement."""
    cursor.execute(_SQL["limit_fence"])
    cursor.execute(_SQL["close_fence"])


def asked_by(request: AuditRequest) -> dict[str, object]:
    """What a function that changes keys writes into its entry."""
    return {"request_id": request.request_id, "actor": request.actor, "host": request.host}


def as_json(keys: Sequence[NewKey]) -> str:
    """Rows to be, bytes in hex, for the functions that add keys."""
    return json.dumps(
        [
            {
                "key_id": key.key_id,
                "purpose": key.purpose.value,
                "field": key.field.value,
                "generation": key.generation,
                "kms_key_arn": key.kms_key_arn,
                "wrapped_key": (key.wrapped_key or b"").hex(),
                "fingerprint": key.fingerprint.hex(),
            }
            for key in keys
        ]
    )


def _stored(row: tuple[Any, ...]) -> StoredKey:
    (key_id, purpose, field, generation, state, kms_key_arn, wrapped_key, fingerprint) = row[:8]
    (created_at, created_by, expires_at, retired_at, destroyed_at) = row[8:]
    return StoredKey(
        key_id=key_id,
        purpose=KeyPurpose(purpose),
        field=FileField(field) if purpose == KeyPurpose.SOURCE else Field(field),
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


class PostgresWrappedKeys:
    """`WrappedKeys` on Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)

    def live(self) -> Sequence[StoredKey]:
        """See `WrappedKeys.live`."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["live_key_ids"])
            key_ids = [key_id for (key_id,) in cursor.fetchall()]
        return sorted(
            (key for key in self._keys.keys(key_ids) if key.state is not KeyState.DESTROYED),
            key=lambda key: (key.purpose, key.field, key.created_at, key.key_id),
        )

    def swap(
        self, request: AuditRequest, key: StoredKey, wrapped_key: bytes, kms_key_arn: str
    ) -> bool:
        """See `WrappedKeys.swap`."""
        (swapped,) = self._database.call(
            _SQL["swap_wrapped_key"],
            {
                **asked_by(request),
                "key_id": key.key_id,
                "old_wrapped_key": key.wrapped_key,
                "old_kms_key_arn": key.kms_key_arn,
                "wrapped_key": wrapped_key,
                "kms_key_arn": kms_key_arn,
            },
            within=ANSWER_WITHIN_S,
        )
        return bool(swapped)


class SeldomAskedKeyAges:
    """`KeyAges` on a connection of its own, closed after each answer: idle ones are not free.

    `database` is nobody else's, since a connection is one thread's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = PostgresKeyStore(database)

    def oldest(self, state: KeyState) -> Ages:
        """See `KeyAges.oldest`."""
        try:
            return self._keys.oldest(state)
        finally:
            self._database.close()
