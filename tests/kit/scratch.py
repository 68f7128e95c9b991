"""A migrated database of one's own, and what the tests put into it. No emulator, no command line."""

from __future__ import annotations

import datetime as dt
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2.extensions import connection

from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.login_records import changed, login_record
from tests.kit.sessions import connect, kept_session, new_session
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.event.rejection import Reason
from vault_etl.keys.make import NewKey, draw_key_id
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres import Database
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.messages import SealedRecord, SealedRejection
from vault_etl.records.postgres import PostgresRecordLoader

ARN = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Scratch:
    """One database. `role` below is one of `tests.kit.vault.ROLES`, or `admin`: the superuser."""

    server: RunningPostgres
    name: str

    def url(self, role: str) -> str:
        """The URL of a role's login."""
        login = "admin" if role == "admin" else f"test_{role.replace('-', '_')}"
        return self.server.url(login, self.name)

    @contextmanager
    def connect(self, role: str = "admin") -> Iterator[connection]:
        """A connection that commits when told to."""
        with closing(connect(self.url(role))) as opened:
            psycopg2.extras.register_uuid(conn_or_curs=opened)  # type: ignore[no-untyped-call]
            yield opened

    def sql(self, statement: str, *values: object, role: str = "admin") -> list[tuple[Any, ...]]:
        """Run statements, committed; the rows of the last one, if it has any."""
        url = self.url(role)
        session = kept_session(url, statement) if role == "admin" else new_session(url)
        with session as opened, opened.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement: str, *values: object, role: str = "admin") -> Any:  # noqa: ANN401
        """The one value of one row."""
        ((value,),) = self.sql(statement, *values, role=role)
        return value

    @contextmanager
    def database(self, role: str) -> Iterator[Database]:
        """The real adapter of a role."""
        database = Database(self.url(role))
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def loader(self) -> Iterator[PostgresRecordLoader]:
        """The real loader of the role ingest."""
        with self.database("ingest") as database:
            yield PostgresRecordLoader(database, DEFAULT)

    def add_data_key(self, field: FieldName, *, role: str = "ingest") -> DataKey:
        """A new, active data key, made as the program makes it."""
        (key,) = self.add_data_keys(field, role=role)
        return key

    def add_data_keys(self, *fields: FieldName, role: str = "ingest") -> tuple[DataKey, ...]:
        """New, active data keys, one a field."""
        keys = [DataKey(draw_key_id(), field, KeyMaterial(os.urandom(32))) for field in fields]
        with self.database(role) as database:
            store = PostgresKeyStore(database)
            for key in keys:
                assert store.add_data_key(
                    NewKey(
                        key_id=key.key_id,
                        purpose=KeyPurpose.DATA,
                        field=key.field,
                        generation=None,
                        kms_key_arn=ARN,
                        wrapped_key=os.urandom(64),
                        fingerprint=key.fingerprint,
                        lease=dt.timedelta(hours=24),
                    )
                )
        return tuple(keys)

    def add_token_keys(self, generation: int = 1, state: str = "active") -> None:
        """Token keys of both personal fields, by the superuser."""
        for field in PERSONAL_FIELDS:
            self.sql(
                "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state, kms_key_arn,"
                " wrapped_key, fingerprint) VALUES (%s, 'token', %s, %s, %s, %s, 'wrapped', '8 bytes!')",
                draw_key_id(),
                field,
                generation,
                state,
                ARN,
            )

    def write_keys(self, *fields: FieldName) -> WriteKeys:
        """New data keys of these fields (default: both personal ones) under generation 1."""
        return WriteKeys((1, None), self.add_data_keys(*(fields or PERSONAL_FIELDS)))

    def key_states(self) -> dict[int, str]:
        """The state of every key."""
        return dict(self.sql("SELECT key_id, state FROM vault_etl.data_keys"))


def new_record_id(moment: dt.datetime | None = None) -> uuid.UUID:
    """The record id of a message sent now, or then."""
    milliseconds = round((moment or dt.datetime.now(dt.UTC)).timestamp() * 1000)
    return record_id_of_message(str(uuid.uuid4()), milliseconds)


def ciphertext(key_id: int, size: int = 65) -> bytes:
    """Bytes in the shape of format 1, made of noise; `size` is 33 and a multiple of 16."""
    return b"\x01" + key_id.to_bytes(4, "big") + os.urandom(size - 5)


def sealed_record(keys: WriteKeys, **changes: object) -> SealedRecord:
    """A row under these keys, changed as told."""
    by_field = {key.field: key.key_id for key in keys.data_keys}
    active, pending = keys.generations
    record = login_record(
        record_id=new_record_id(),
        user_id="user-1",
        device_type="android",
        tokens={field: uuid.uuid4() for field in PERSONAL_FIELDS},
        next_tokens={field: uuid.uuid4() for field in PERSONAL_FIELDS} if pending else None,
        ciphertexts={field: ciphertext(by_field[field]) for field in PERSONAL_FIELDS},
        token_generation=active,
        next_token_generation=pending,
        locale=None,
        app_version="2.3.0",
        create_date=dt.date(2026, 1, 31),
        event_time=None,
    )
    return changed(record, **changes)


def sealed_rejection(keys: WriteKeys, size: int = 65) -> SealedRejection:
    """A quarantine row under the last of these keys."""
    body = ciphertext(keys.data_keys[-1].key_id, size)
    return SealedRejection(new_record_id(), Reason.NOT_JSON, "$", body)
