"""After a cut-over open sessions, new months, erasures, look-ups and dumps work as before."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.kit.chain import broken
from tests.kit.cut_over import Ready, cut_over_again, filled_token
from tests.kit.databases import empty
from tests.kit.declarations import DEFAULT
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.dumps import DEFINITIONS, program
from tests.kit.fakes.vault import find_request
from tests.kit.months import ensure, month_start, name_of
from tests.kit.rights import RIGHTS, rights
from tests.kit.rows import cut_over_request
from tests.kit.scratch import Scratch, new_record_id, sealed_record
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.crypto.fields import FieldName
from vault_etl.erase.erase import RecordTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.platform.resources import resource_dir
from vault_etl.records.fenced_writes import KeysChanged, Loaded, WriteKeys
from vault_etl.reveal.duplicates import SharedTokenQuery
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder
from vault_etl.reveal.postgres_find import PostgresRecordFinder

INDEXED = {
    *("record_id", "create_date", "user_id"),
    *("masked_ip", "masked_device_id", "next_masked_ip", "next_masked_device_id"),
}
INDEXES = """
SELECT t.relname::text, a.attname::text, pa.attname::text, i.indisvalid AND i.indisready
FROM pg_inherits AS h
JOIN pg_index AS i ON i.indexrelid = h.inhrelid
JOIN pg_index AS p ON p.indexrelid = h.inhparent
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
JOIN pg_attribute AS pa ON pa.attrelid = p.indrelid AND pa.attnum = p.indkey[0]
"""


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


def test_loaders_continue_in_their_sessions(vault: Ready) -> None:
    """The same connections, with their staging tables: the batch is refused once, then stored."""
    with vault.scratch.loader() as one, vault.scratch.loader() as other:
        made = {"next_tokens": vault.records[0].tokens, "next_token_generation": 2}
        for loader in (one, other):
            loader.load([sealed_record(vault.keys, **made)], [], vault.both)
        vault.swap()
        for loader in (one, other):
            row = sealed_record(vault.keys, **made)
            assert loader.load([row], [], vault.both) == KeysChanged()
            remade = sealed_record(vault.keys, record_id=row.record_id, token_generation=2)
            assert loader.load([remade], [], vault.after) == Loaded(
                frozenset({row.record_id}), frozenset()
            )
            shown = vault.scratch.sql(
                "SELECT masked_ip, masked_device_id FROM user_logins_masked WHERE record_id = %s",
                row.record_id,
            )
            assert shown == [tuple(remade.tokens[field] for field in PERSONAL_FIELDS)]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT masked_ip, masked_device_id FROM vault_etl.user_logins_masked WHERE record_id = $1",
        "SELECT masked_ip, masked_device_id FROM vault_etl.user_logins WHERE record_id = $1",
        "SELECT v.* FROM vault_etl.user_logins_masked AS v WHERE record_id = $1",
        "SELECT (v).masked_ip, (v).masked_device_id FROM vault_etl.user_logins_masked AS v WHERE record_id = $1",
    ],
)
def test_prepared_statements_keep_working(vault: Ready, statement: str, mode: str) -> None:
    """A statement that an analyst prepared before returns the new tokens under the same names."""
    record, scratch = vault.records[0], vault.scratch
    old = {record.tokens[field] for field in PERSONAL_FIELDS}
    with scratch.connect("analyst") as connection, connection.cursor() as cursor:
        cursor.execute(f"SET plan_cache_mode = {mode}; PREPARE mine (uuid) AS {statement}")
        shown = []
        for _ in range(2):
            cursor.execute("EXECUTE mine (%s)", (record.record_id,))
            assert cursor.description
            names = [column.name for column in cursor.description]
            ((*row,),) = cursor.fetchall()
            shown.append(dict(zip(names, row, strict=True)))
            connection.commit()
            if len(shown) == 1:
                vault.swap()
    before, after = shown
    assert old <= set(before.values())
    assert after == {
        name: filled_token(value) if value in old else value for name, value in before.items()
    }


def months(scratch: Scratch, generation: int, ahead: int, keys: WriteKeys) -> None:
    """Make a month, load a row into it, and find it where it belongs, under its names."""
    assert ensure(scratch, month_start(ahead).date()) == name_of(ahead)
    row = sealed_record(
        keys, record_id=new_record_id(month_start(ahead)), token_generation=generation
    )
    with scratch.loader() as loader:
        assert isinstance(loader.load([row], [], keys), Loaded)
    named = "masked_ip, masked_device_id, token_generation, next_masked_ip, next_token_generation"
    stored = scratch.sql(f"SELECT {named} FROM {name_of(ahead)}")  # noqa: S608
    assert stored == [(row.tokens[IP], row.tokens[DEVICE_ID], generation, None, None)]
    shown = "SELECT record_id FROM user_logins_masked WHERE masked_ip = %s"
    assert scratch.sql(shown, row.tokens[IP], role="analyst") == [(row.record_id,)]
    indexes = scratch.sql(INDEXES)
    assert all(mine == parents and good for _, mine, parents, good in indexes)
    assert {mine for name, mine, _, _ in indexes if name == name_of(ahead)} == INDEXED


def test_new_months_are_made_after_one_and_two_cut_overs(vault: Ready) -> None:
    """A new month has its columns, its rows and every index, attached to the parent's index of the same column."""
    scratch = vault.scratch
    vault.swap()
    months(scratch, 2, -5, vault.after)
    cut_over_again(scratch, 3)
    months(scratch, 3, -6, WriteKeys((3, None), vault.keys.data_keys))


def test_a_look_up_uses_the_indexes(vault: Ready) -> None:
    """Both columns have indexes in every partition, made before the cut-over or after it."""
    scratch = vault.scratch
    vault.swap()
    ensure(scratch, month_start(-5).date())
    with scratch.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT record_id FROM user_logins WHERE masked_ip = %(t)s OR next_masked_ip = %(t)s",
            {"t": uuid.uuid4()},
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan" not in plan
    partitions = scratch.value(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'user_logins'::regclass"
    )
    for column in ("masked_ip", "next_masked_ip"):
        assert plan.count(f"Index Cond: ({column} = ") == partitions


def test_an_erasure_removes_tokens_of_both_generations(vault: Ready) -> None:
    """The erasure removes the tokens of this record alone, its old tokens included."""
    vault.swap()
    forgotten, *others = vault.records
    with vault.scratch.database("erase") as database:
        erasure = PostgresEraser(database, DEFAULT).erase(
            cut_over_request(), RecordTarget(forgotten.record_id)
        )
    assert erasure is not None
    assert erasure.records == 1
    left = vault.scratch.sql(
        "SELECT record_id FROM user_logins WHERE num_nonnulls(masked_ip, masked_device_id,"
        " next_masked_ip, next_masked_device_id, token_generation, next_token_generation) > 0"
    )
    assert {record_id for (record_id,) in left} == {row.record_id for row in others}


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_duplicates_are_the_same_and_are_found_by_both_tokens(
    vault: Ready, field: FieldName
) -> None:
    """The counts of rows and users are equal; analysts use the new token, and `find` uses either."""
    old, query = vault.records[0].tokens[field], SharedTokenQuery(field=field, limit=10)
    with vault.scratch.database("analyst") as analyst, vault.scratch.database("reveal") as reveal:
        duplicates, finder = PostgresDuplicateFinder(analyst, DEFAULT), PostgresRecordFinder(reveal)
        audit = PostgresAuditLog(reveal)
        (before,) = duplicates.shared_tokens(query)
        vault.swap()
        (after,) = duplicates.shared_tokens(query)
        assert (before.token, after.token) == (old, filled_token(old))
        assert after.count == before.count == 4
        for tokens in ([old], [filled_token(old)], [old, filled_token(old)]):
            (found,) = finder.holding(audit.intend(find_request(field)), tokens, 10)
            assert found.count == len(found.newest) == 4


@pytest.fixture
def restored(vault: Ready) -> Iterator[Scratch]:
    """A dump from after the cut-over, restored into a new database."""
    vault.swap()
    with empty(vault.scratch.server, "template0") as database:
        dump = program(vault.scratch, "pg_dump")
        program(database, "psql", "-v", "ON_ERROR_STOP=1", "-q", "-o", os.devnull, stdin=dump)
        database.sql((resource_dir("migrations") / "0001_roles.sql").read_text(encoding="utf-8"))
        yield database


def test_a_dump_from_after_a_cut_over_is_the_same_vault(vault: Ready, restored: Scratch) -> None:
    """Definitions, rows, rights and log are equal; the copy loads, makes months, and cuts over again."""
    scratch = vault.scratch
    for statement in (
        DEFINITIONS,
        "SELECT to_jsonb(r) FROM user_logins AS r",
        "SELECT to_jsonb(r) FROM user_logins_masked AS r",
        "SELECT to_jsonb(k) FROM data_keys AS k",
        "SELECT pg_get_viewdef('user_logins_masked'::regclass)",
    ):
        assert sorted(map(str, restored.sql(statement))) == sorted(map(str, scratch.sql(statement)))
    for role in RIGHTS:
        name = f"vault_etl_{role}"
        assert rights(restored, name) == rights(scratch, name)
    months(restored, 2, -5, vault.after)
    cut_over_again(restored, 3)
    assert broken(restored) == []
