"""Probes of the demo that bypass our own commands: the stored row, and direct calls of KMS."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg2
import psycopg2.extras
from botocore.exceptions import ClientError
from psycopg2.sql import SQL, Identifier

from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import encryption_context
from vault_etl.local.provision import Credentials, EmulatorSession


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One value of a stored record, as the superuser reads it."""

    record_id: uuid.UUID
    field: FieldName
    token: uuid.UUID
    ciphertext: bytes


def most_shared_row(admin: Mapping[str, str], event: str, field: str) -> StoredRow:
    """Return a record of the value that most records of the event share. The value has the name of its field."""
    with (
        closing(psycopg2.connect(admin["VAULT_ETL_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
        cursor.execute(
            SQL(
                "SELECT record_id, {token}, {ciphertext} FROM vault_etl.{event}"
                " ORDER BY count(*) OVER (PARTITION BY {token}) DESC, record_id LIMIT 1"
            ).format(
                token=Identifier(f"masked_{field}"),
                ciphertext=Identifier(f"{field}_ciphertext"),
                event=Identifier(event),
            )
        )
        ((record_id, token, ciphertext),) = cursor.fetchall()
        return StoredRow(record_id, FieldName(field), token, bytes(ciphertext))


def postgres_refusal(environment: Mapping[str, str], event: str, column: str) -> str:
    """Return Postgres' refusal to show this role a column of an event, or "allowed"."""
    with (
        closing(psycopg2.connect(environment["VAULT_ETL_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        try:
            cursor.execute(
                SQL("SELECT {} FROM vault_etl.{}").format(Identifier(column), Identifier(event))
            )
        except psycopg2.errors.InsufficientPrivilege as error:
            return error.diag.message_primary or "refused"
    return "allowed"


def kms_answer(role: Mapping[str, str], admin: Mapping[str, str], row: StoredRow) -> str:
    """Return the answer of KMS to a direct call of this role to unwrap the data key of the row's value."""
    key_id = Ciphertext.parse(row.ciphertext).key_id
    with (
        closing(psycopg2.connect(admin["VAULT_ETL_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT kms_key_arn, wrapped_key FROM vault_etl.data_keys WHERE key_id = %s", (key_id,)
        )
        ((arn, wrapped_key),) = cursor.fetchall()
    credentials = Credentials(role["AWS_ACCESS_KEY_ID"], role["AWS_SECRET_ACCESS_KEY"])
    try:
        EmulatorSession(role["AWS_ENDPOINT_URL"], credentials).client("kms").decrypt(
            KeyId=arn,
            CiphertextBlob=bytes(wrapped_key),
            EncryptionContext=encryption_context(KeyPurpose.DATA, row.field, key_id),
        )
    except ClientError as error:
        answer = error.response["Error"]
        return f"{answer['Code']}: {answer['Message']}"
    return "opened"
