"""Rows that the owner writes beside the log, without constraints: `verify` and `doctor` judge them to the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from psycopg2.extensions import connection, cursor

from tests.audit.logbook import Logbook
from tests.kit.databases import empty
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from vault_etl.audit.postgres_proof import PostgresSnapshot
from vault_etl.audit.proof import Proof, Severity
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote
from vault_etl.doctor import audit
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.keys.postgres import PostgresKeyStore

TABLES: Final = (
    *("audit_keys", "audit_checkpoints", "reveal_policies", "key_changes", "data_keys"),
    *("vault", "audit_head", "audit_amounts"),
)
JUNK: Final = {
    "bigint": ("NULL", "0", "-1", "1", "7", "9223372036854775807", "-9223372036854775808"),
    "integer": ("NULL", "0", "-1", "2147483647"),
    "smallint": ("NULL", "0", "-32768"),
    "text": (
        *("NULL", "''", "E'\\x01\\n'", "U&'\\202e'", "repeat('x', 5000000)", "'{}'"),
        *("'vault-etl/audit/x'", "repeat(E'\\n', 9)", "U&'\\2014 a b'"),
    ),
    "bytea": ("NULL", "''", "'\\x00'", "decode(repeat('30', 5000000), 'hex')", "'\\x3006'"),
    "boolean": ("NULL", "false"),
    "uuid": ("NULL", "gen_random_uuid()"),
    "timestamp with time zone": ("NULL", "'infinity'"),
}
FREE: Final = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT conrelid::regclass AS at, conname FROM pg_constraint
        WHERE conrelid = ANY (%(tables)s::regclass[]) AND contype <> 'n'
    LOOP
        EXECUTE format('ALTER TABLE %%s DROP CONSTRAINT %%I CASCADE', made.at, made.conname);
    END LOOP;
    FOR made IN SELECT attrelid::regclass AS at, attname, attidentity FROM pg_attribute
        WHERE attrelid = ANY (%(tables)s::regclass[]) AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %%s ALTER %%I DROP IDENTITY IF EXISTS', made.at, made.attname);
        EXECUTE format('ALTER TABLE %%s ALTER %%I DROP NOT NULL', made.at, made.attname);
    END LOOP;
    FOR made IN SELECT indexrelid::regclass AS at FROM pg_index
        WHERE indrelid = ANY (%(tables)s::regclass[])
    LOOP
        EXECUTE format('DROP INDEX %%s', made.at);
    END LOOP;
END
$$;
SET session_replication_role = replica
"""
COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
TAMPER: Final = "UPDATE vault_etl.audit_log SET reason = 'y' WHERE seq = 9"


@pytest.fixture(scope="module")
def freed(written: Logbook) -> Iterator[tuple[Logbook, connection]]:
    """A copy of the honest log, with keys on the record, in which the owner may write anything."""
    with empty(written.database.server, written.database.name) as copy, copy.connect() as opened:
        with copy.database("re-encrypt") as database:
            assert PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
        with opened.cursor() as cursor:
            cursor.execute(FREE, {"tables": [f"vault_etl.{table}" for table in TABLES]})
        opened.commit()
        yield Logbook(copy, written.signer), opened


@pytest.mark.parametrize("table", TABLES)
def test_junk_of_the_owner_stops_no_check(freed: tuple[Logbook, connection], table: str) -> None:
    """Each column has each kind of junk, in every row or in one more: a tampered entry is named on top of it."""
    log, opened = freed
    opened.rollback()
    with opened.cursor() as cursor:
        cursor.execute(COLUMNS, (f"vault_etl.{table}",))
        columns = cursor.fetchall()
        cases = [
            statement
            for column, kind in columns
            for junk in JUNK[kind]
            for statement in (
                f"UPDATE vault_etl.{table} SET {column} = {junk}",  # noqa: S608
                f"INSERT INTO vault_etl.{table} ({column}) VALUES ({junk})",  # noqa: S608
            )
        ]
        for case in (*cases, f"DELETE FROM vault_etl.{table}"):  # noqa: S608
            cursor.execute(case)
            _prove(log, cursor)
            cursor.execute(TAMPER)
            proof = _prove(log, cursor)
            _look(log, cursor)
            assert not proof.ok, case
            told = {problem.seq for problem in proof.problems if problem.kind is Severity.TAMPERED}
            assert 9 in told, (case, proof.problems)
            opened.rollback()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A `Database` in its one transaction, so that nothing need be committed."""

    opened: cursor

    @contextmanager
    def transaction(self, **_: object) -> Iterator[cursor]:
        """The transaction that is open."""
        yield self.opened


def _look(log: Logbook, cursor: cursor) -> None:
    """Run the checks that `doctor` runs."""
    opened: Any = _Opened(cursor)
    facts = PostgresFacts(opened)
    assert audit.registered(facts, log.signer.signing_key).detail
    assert audit.signed(facts, log.signer.signing_key).detail


def _prove(log: Logbook, cursor: cursor) -> Proof:
    kept = [KeptNote("receipt.txt", "junk")]
    return verify_log(PostgresSnapshot(cursor), [log.signer.signing_key().key], kept)
