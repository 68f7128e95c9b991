"""The rule of unexplained keys is written twice, since an owner could replace the function: both agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection, cursor

from tests.kit.databases import clone
from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.scratch import Scratch
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.resources import blocks
from vault_etl.rotation.postgres import PostgresTokenRotations

FUNCTION = "SELECT key_id FROM vault_etl.unexplained_keys(NULL)"
PROOF = blocks("audit/proof.sql")["unexplained"]

# What the owner may drop first, and so write.
FREE = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT conrelid::regclass AS at, conname FROM pg_constraint
        WHERE conrelid IN ('vault_etl.data_keys'::regclass, 'vault_etl.key_changes'::regclass)
            AND contype IN ('c', 'f', 'p')
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', made.at, made.conname);
    END LOOP;
    FOR made IN SELECT attrelid::regclass AS at, attname FROM pg_attribute
        WHERE attrelid IN ('vault_etl.data_keys'::regclass, 'vault_etl.key_changes'::regclass)
            AND attnum > 0 AND attnotnull AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', made.at, made.attname);
    END LOOP;
END
$$;
DROP INDEX vault_etl.one_token_key_a_generation, vault_etl.one_source_key, vault_etl.one_active_token_key,
    vault_etl.one_pending_token_key;
SET session_replication_role = replica
"""

VALUES = {
    "purpose": ("'data'", "'token'", "'source'", "'x'"),
    "field": ("'ip'", "'device_id'", "'x'"),
    "generation": ("1", "7"),
    "state": ("'pending'", "'active'", "'decrypt_only'", "'destroyed'", "'x'"),
    "fingerprint": (r"'\x00'", r"''"),
    "kms_key_arn": ("'x'", "''"),
}
KEY_VALUES = VALUES | {"wrapped_key": ("'x'", "''")}
SAID_VALUES = VALUES | {"wrapped_key_sha256": (r"'\x00'", "sha256('x')")}
NEWEST = "(key_id, seq) IN (SELECT key_id, max(seq) FROM vault_etl.key_changes GROUP BY key_id)"
OLDER = f"NOT ({NEWEST})"

CHANGES = [
    *(
        f"UPDATE vault_etl.data_keys SET {column} = {value}"  # noqa: S608
        for column, values in KEY_VALUES.items()
        for value in (*values, "NULL")
    ),
    *(
        f"UPDATE vault_etl.key_changes SET {column} = {value} WHERE {which}"  # noqa: S608
        for column, values in SAID_VALUES.items()
        for value in (*values, "NULL")
        for which in (NEWEST, OLDER)
    ),
    *(f"DELETE FROM vault_etl.key_changes WHERE {which}" for which in (NEWEST, OLDER, "true")),  # noqa: S608
    *(
        f"DELETE FROM vault_etl.data_keys WHERE state = '{state}'"  # noqa: S608
        for state in ("active", "decrypt_only", "pending", "destroyed")
    ),
    "UPDATE vault_etl.key_changes SET seq = 1000 - seq",
    "UPDATE vault_etl.key_changes SET key_id = NULL",
    "UPDATE vault_etl.data_keys SET key_id = key_id + 1",
    """INSERT INTO vault_etl.key_changes SELECT (jsonb_populate_record(c, '{"seq": 999}')).*
        FROM vault_etl.key_changes AS c WHERE c.state = 'pending'""",
    """INSERT INTO vault_etl.data_keys (key_id, purpose, field, state) VALUES (1, 'data', 'ip', 'active'),
        (2, 'data', 'ip', 'decrypt_only'), (3, 'token', 'ip', 'active'), (4, NULL, 'ip', 'active')""",
]


@pytest.fixture(scope="module")
def opened(postgres: RunningPostgres) -> Iterator[connection]:
    """A database with keys of every kind: changed token keys, a retired data key, and a data key that never changed."""
    with clone(postgres) as scratch, scratch.connect() as opened:
        _fill(scratch)
        with opened.cursor() as cursor:
            cursor.execute(FREE)
        opened.commit()
        yield opened


def test_both_rules_find_the_same_keys(opened: connection) -> None:
    """They agree for every column of the key and of its entry, and for each value that makes a difference."""
    noticed = 0
    with opened.cursor() as cursor:
        assert _found(cursor, FUNCTION) == _found(cursor, PROOF) == []
        for change in CHANGES:
            cursor.execute(change)
            found = _found(cursor, PROOF)
            assert _found(cursor, FUNCTION) == found, change
            noticed += bool(found)
            opened.rollback()
    assert len(CHANGES) // 2 < noticed < len(CHANGES)


def _fill(scratch: Scratch) -> None:
    scratch.add_data_key(IP)
    with scratch.database("re-encrypt") as database:
        rotations = PostgresTokenRotations(database, DEFAULT)
        assert PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
        rotations.begin(rotate_request(), token_keys(2), 1)
        rotations.abort(rotate_request())
        rotations.begin(rotate_request(), token_keys(3), 1)
        assert PostgresKeyStore(database).retire_data_keys(rotate_request(), [IP])
    scratch.add_data_key(QUARANTINE)


def _found(cursor: cursor, statement: str) -> list[int]:
    cursor.execute(statement)
    return [key_id for (key_id,) in cursor.fetchall()]
