"""A dump of the vault, restored into another database, is the same vault."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import psycopg2
import pytest

from tests.kit.chain import broken
from tests.kit.databases import empty
from tests.kit.declared import FIELDS, PERSONAL_FIELDS
from tests.kit.dumps import DEFINITIONS, program
from tests.kit.entries import append_committed, release
from tests.kit.months import ensure, month_start, name_of, partitions
from tests.kit.rights import EVERYONE, RIGHTS, rights
from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from vault_etl.platform.resources import resource_dir
from vault_etl.records.fenced_writes import KeysChanged, Loaded, WriteKeys
from vault_etl.records.messages import SealedRecord


@pytest.fixture(scope="module")
def original(shared: Scratch) -> tuple[Scratch, WriteKeys, SealedRecord]:
    """A vault with keys in use, a record, a rejection, an old month, and a log."""
    shared.add_token_keys()
    keys = shared.write_keys(*FIELDS)
    record = sealed_record(keys)
    with shared.loader() as loader:
        loader.load([record], [sealed_rejection(keys)], keys)
    ensure(shared, month_start(-9).date())
    shared.sql(
        "UPDATE data_keys SET state = 'decrypt_only' WHERE field = 'device_id' AND purpose = 'data'"
    )
    request_id = uuid.uuid4()
    for changes in ({}, {"phase": "outcome", "decision": "done", "fields": ["ip", "device_id"]}):
        append_committed(shared, request_id=request_id, record_id=record.record_id, **changes)
    return shared, keys, record


@pytest.fixture(scope="module")
def restored(original: tuple[Scratch, WriteKeys, SealedRecord]) -> Iterator[Scratch]:
    """The original, dumped by pg_dump and restored by psql into a new database."""
    source = original[0]
    with empty(source.server, "template0") as database:
        dump = program(source, "pg_dump")
        program(database, "psql", "-v", "ON_ERROR_STOP=1", "-q", "-o", os.devnull, stdin=dump)
        yield database


def test_every_definition_is_there(
    original: tuple[Scratch, WriteKeys, SealedRecord], restored: Scratch
) -> None:
    """Functions with their settings, triggers, constraints, indexes, partitions and owners are equal."""
    there, here = (sorted(d.sql(DEFINITIONS)) for d in (original[0], restored))
    assert here == there


@pytest.mark.parametrize("table", ["user_logins", "quarantine", "data_keys", "audit_log", "vault"])
def test_every_row_is_there(
    original: tuple[Scratch, WriteKeys, SealedRecord], restored: Scratch, table: str
) -> None:
    """Rows are equal, with who made a key and when it was retired."""
    rows = f"SELECT to_jsonb(t) FROM vault_etl.{table} AS t ORDER BY 1"  # noqa: S608
    assert restored.sql(rows) == original[0].sql(rows)


def test_the_chain_still_holds_and_goes_on(restored: Scratch) -> None:
    """The log of the restored vault verifies, and the next entry continues it."""
    assert broken(restored) == []
    append_committed(restored)
    assert broken(restored) == []


def test_the_restored_vault_works(
    original: tuple[Scratch, WriteKeys, SealedRecord], restored: Scratch
) -> None:
    """The restored vault knows its record, refuses the retired key, loads, discloses, and makes months."""
    _, keys, record = original
    with restored.loader() as loader:
        assert loader.load([record], [], keys) == KeysChanged()
        new = restored.write_keys(*FIELDS)
        again = loader.load([record, sealed_record(new)], [], new)
        assert isinstance(again, Loaded)
        assert record.record_id not in again.record_ids
    assert ensure(restored, month_start(-10).date()) == name_of(-10)
    assert {name_of(-10), name_of(-9)} < partitions(restored)
    seq = append_committed(restored, record_id=record.record_id)
    with restored.connect("reveal") as opened:
        assert release(opened, seq) == {f: record.ciphertexts[f] for f in PERSONAL_FIELDS}


def test_rights_on_the_database_itself_come_with_create_only(
    original: tuple[Scratch, WriteKeys, SealedRecord], restored: Scratch
) -> None:
    """Without `--create` a re-encryption has no TEMP where PUBLIC has none, until 0001_roles.sql is run."""
    dump = program(original[0], "pg_dump", "--create", "--schema-only")
    assert "GRANT CONNECT,TEMPORARY ON DATABASE" in dump or "GRANT ALL ON DATABASE" in dump
    restored.sql(f'REVOKE TEMPORARY ON DATABASE "{restored.name}" FROM PUBLIC')
    assert "TEMPORARY" not in rights(restored, "vault_etl_re_encrypt")
    restored.sql((resource_dir("migrations") / "0001_roles.sql").read_text(encoding="utf-8"))
    assert "TEMPORARY" in rights(restored, "vault_etl_re_encrypt")
    assert rights(restored, "public") == EVERYONE - {"TEMPORARY"}
    restored.sql(f'GRANT TEMPORARY ON DATABASE "{restored.name}" TO PUBLIC')
    for role, own in RIGHTS.items():
        assert rights(restored, f"vault_etl_{role}") == own | EVERYONE


def test_keys_and_log_are_protected_as_before(restored: Scratch) -> None:
    """The triggers are restored: no key is deleted, and no entry is changed."""
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        restored.sql("DELETE FROM vault_etl.data_keys")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        restored.sql("UPDATE vault_etl.audit_log SET reason = 'x'")
