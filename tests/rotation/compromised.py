"""A worker under the control of an attacker: a login with the role ingest, its access key, and SQL of the attacker."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg2
import psycopg2.extras

from tests.kit.databases import admin
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.sessions import connect
from tests.kit.vault import Vault, emulator_session
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyMaterial, encryption_context, fingerprint

ADD_KEY = (
    "INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
    " VALUES (%s, %s, %s, %s, %s, now() + interval '24 hours')"
)

PLANT = """
    INSERT INTO vault_etl.user_logins (
        record_id, user_id, device_type, masked_ip, masked_device_id, next_masked_ip, next_masked_device_id,
        ip_ciphertext, device_id_ciphertext, token_generation, next_token_generation, create_date
    )
    SELECT
        (
            lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0')
            || '7' || substr(noise, 1, 3) || '8' || substr(noise, 4, 15)
        )::uuid,
        %(user)s, 'android', coalesce(%(masked_ip)s, gen_random_uuid()), gen_random_uuid(),
        CASE WHEN %(pending)s::int IS NOT NULL THEN gen_random_uuid() END,
        CASE WHEN %(pending)s::int IS NOT NULL THEN gen_random_uuid() END,
        decode('01' || lpad(to_hex((%(ips)s::bigint[])[which]), 8, '0') || sealed, 'hex'),
        decode('01' || lpad(to_hex((%(devices)s::bigint[])[which]), 8, '0') || sealed, 'hex'),
        1, %(pending)s::smallint, current_date
    FROM generate_series(1, %(rows)s) AS n,
        LATERAL (SELECT encode(sha256(convert_to(%(seed)s || n, 'UTF8')), 'hex')) AS made (noise),
        LATERAL (SELECT 1 + n %% %(keys)s, substr(noise || noise, 1, 88)) AS row (which, sealed)
"""
"""Rows of the right form, under keys that this login may use, whose ciphertexts are noise."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The credentials that the attacker holds. `login` is the worker's own."""

    vault: Vault
    login: str

    def keys(self, count: int = 1) -> dict[FieldName, list[int]]:
        """Data keys as any worker makes them: KMS wraps the keys for `ingest`, this login adds them."""
        return {field: [self._key(field) for _ in range(count)] for field in PERSONAL_FIELDS}

    def plant(
        self,
        rows: int,
        keys: dict[FieldName, list[int]],
        *,
        pending: int | None = None,
        masked_ip: uuid.UUID | None = None,
    ) -> None:
        """Add this many rows, in turn under these keys, with this token of an address or any token."""
        self._sql(
            PLANT,
            {
                "user": self.login,
                "seed": secrets.token_hex(8),
                "rows": rows,
                "pending": pending,
                "masked_ip": masked_ip,
                "ips": keys[IP],
                "devices": keys[DEVICE_ID],
                "keys": len(keys[IP]),
            },
        )

    def planted(self) -> set[uuid.UUID]:
        """The ids of all rows that the worker added."""
        found = self.vault.sql("SELECT record_id FROM user_logins WHERE user_id = %s", self.login)
        return {record_id for (record_id,) in found}

    def _key(self, field: FieldName) -> int:
        arn = self.vault.provisioned.key_arns["data"]
        key_id = secrets.randbelow(2**32 - 1) + 1
        session = emulator_session(
            self.vault.endpoint, self.vault.provisioned.credentials["ingest"]
        )
        made = session.client("kms").generate_data_key(
            KeyId=arn,
            NumberOfBytes=32,
            EncryptionContext=encryption_context(KeyPurpose.DATA, field, key_id),
        )
        print_ = fingerprint(KeyMaterial(made["Plaintext"]), key_id)
        self._sql(ADD_KEY, (key_id, field, arn, made["CiphertextBlob"], print_))
        return key_id

    def _sql(self, statement: str, values: Sequence[object] | Mapping[str, object]) -> None:
        url = self.vault.server.url(self.login, self.vault.database)
        with closing(connect(url)) as connection:
            psycopg2.extras.register_uuid(conn_or_curs=connection)  # type: ignore[no-untyped-call]
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)


@contextmanager
def worker(vault: Vault) -> Iterator[Worker]:
    """A login with the role ingest, for as long as the block runs."""
    login = f"worker_{secrets.token_hex(4)}"
    password = vault.server.passwords.of(login)
    with admin(vault.server, vault.database) as cursor:
        cursor.execute(
            f"CREATE ROLE {login} LOGIN PASSWORD %s IN ROLE vault_etl_ingest", (password,)
        )
    try:
        yield Worker(vault, login)
    finally:
        with admin(vault.server, vault.database) as cursor:
            cursor.execute(f"DROP ROLE {login}")
