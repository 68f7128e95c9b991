"""The cut-over in the database: columns, generation, states and log change together, or not at all."""

from __future__ import annotations

import psycopg2
import pytest

from tests.kit.chain import broken
from tests.kit.cut_over import CUT_OVER, Ready, cut_over_again, filled_token, state
from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.rows import cut_over_request
from vault_etl.base.errors import DeniedError, IncompleteError, VaultEtlError
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.token_keys import CutOverDone

SWAP = {
    "masked_ip": "next_masked_ip",
    "masked_device_id": "next_masked_device_id",
    "token_generation": "next_token_generation",
}
RENAMED = SWAP | {after: before for before, after in SWAP.items()}


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


def test_a_cut_over_changes_everything_at_once(vault: Ready) -> None:
    """Columns by name, in the table and in each partition; states, rotation and ranges; two entries."""
    before = state(vault.scratch)
    swapped = vault.swap()
    after = state(vault.scratch)
    assert after["rows"] == [
        ({RENAMED.get(name, name): value for name, value in row.items()},)
        for (row,) in before["rows"]
    ]
    of_view = ("user_logins_masked",)
    assert [row[:3] for row in after["columns"]] == [
        (*row[:2], row[2] if row[:1] == of_view else RENAMED.get(row[2], row[2]))
        for row in before["columns"]
    ]
    states = {k["generation"]: k["state"] for (k,) in after["keys"] if k["purpose"] == "token"}
    assert states == {1: "decrypt_only", 2: "active"}
    assert [k for (k,) in after["keys"] if k["purpose"] == "data"] == [
        k for (k,) in before["keys"] if k["purpose"] == "data"
    ]
    assert before["rotations"] != after["rotations"] == after["ranges"] == []
    assert [
        (e["phase"], e["action"], e["login"]) for (e,) in after["log"][len(before["log"]) :]
    ] == [
        ("intent", "keys cut-over", "test_re_encrypt"),
        ("outcome", "keys cut-over", "test_re_encrypt"),
    ]
    assert after["head"] == [(swapped.head.seq, f"\\x{swapped.head.hash.hex()}")]
    assert broken(vault.scratch) == []


def test_the_same_indexes_serve_the_same_names(vault: Ready) -> None:
    """Each index of the partitioned table keeps its definition, over the other column."""
    definitions = (
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'user_logins'::regclass"
        " ORDER BY 1"
    )
    before = vault.scratch.sql(definitions)
    vault.swap()
    assert vault.scratch.sql(definitions) == before


def test_a_caller_that_rolls_back_has_changed_nothing(vault: Ready) -> None:
    """A rollback to a savepoint undoes the cut-over too."""
    before = state(vault.scratch)
    with vault.scratch.connect() as connection, connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute("SAVEPOINT before")
            cursor.execute(CUT_OVER)
            cursor.execute("ROLLBACK TO before")
        connection.commit()
        cursor.execute(CUT_OVER)
        connection.rollback()
    assert state(vault.scratch) == before


@pytest.mark.parametrize(
    "fault",
    [
        "ALTER TABLE audit_log ADD CONSTRAINT no CHECK (phase <> 'outcome') NOT VALID",
        "ALTER TABLE data_keys ADD CONSTRAINT no CHECK (state <> 'decrypt_only') NOT VALID",
        "DROP INDEX user_logins_next_masked_device_id",
    ],
)
def test_a_failure_on_the_way_changes_nothing(vault: Ready, fault: str) -> None:
    """A refused entry, a state that is not changed, a dropped object."""
    vault.scratch.sql(fault)
    before = state(vault.scratch)
    with pytest.raises(VaultEtlError):
        vault.cut_over()
    assert state(vault.scratch) == before


@pytest.mark.parametrize("generation", [1, 3])
def test_a_generation_that_is_not_pending_is_not_cut_over_to(vault: Ready, generation: int) -> None:
    """No other state changes either."""
    before = state(vault.scratch)
    with vault.scratch.database("re-encrypt") as database:
        with pytest.raises(IncompleteError):
            PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), generation)
        assert state(vault.scratch) == before
        assert isinstance(
            PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 2), CutOverDone
        )


def test_half_a_generation_is_not_cut_over_to(vault: Ready) -> None:
    """The key of one field is pending, and the key of the other field was destroyed."""
    vault.scratch.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL"
        " WHERE state = 'pending' AND field = 'ip'"
    )
    before = state(vault.scratch)
    with pytest.raises(IncompleteError):
        vault.cut_over()
    assert state(vault.scratch) == before


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_cut_over_needs_read_committed(vault: Ready, level: str) -> None:
    """In a stricter level the cut-over would not see the changes that it waited for."""
    with vault.scratch.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        with pytest.raises(psycopg2.errors.InvalidTransactionState):
            cursor.execute(CUT_OVER)


@pytest.mark.parametrize("role", ["ingest", "reveal", "rotate", "erase", "audit", "analyst"])
def test_only_re_encrypt_may_cut_over(vault: Ready, role: str) -> None:
    """Every other role is denied, and no state changes."""
    before = state(vault.scratch)
    with vault.scratch.database(role) as database, pytest.raises(DeniedError):
        PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 2)
    assert state(vault.scratch) == before


def test_tables_of_the_caller_do_not_replace_ours(vault: Ready) -> None:
    """The pg_temp schema and the search path of the caller have no effect."""
    with vault.scratch.connect() as connection, connection.cursor() as cursor:
        for table in ("data_keys", "user_logins", "key_fence", "audit_head", "pg_attribute"):
            cursor.execute(f"CREATE TEMP TABLE {table} (trap integer)")
        cursor.execute("SET search_path = pg_temp, vault_etl, pg_catalog")
        connection.commit()
        cursor.execute(CUT_OVER)
        connection.commit()
    (row,), *_ = vault.scratch.sql("SELECT to_jsonb(r) FROM vault_etl.user_logins AS r")
    assert row["token_generation"] == 2


def test_settings_of_the_caller_stay_unchanged(vault: Ready) -> None:
    """The lock timeout of the cut-over is set for its transaction alone."""
    settings = (
        "SELECT name, setting FROM pg_settings WHERE name IN ('lock_timeout', 'deadlock_timeout')"
    )
    with vault.scratch.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '7s'")
        cursor.execute(settings)
        before = cursor.fetchall()
        connection.commit()
        cursor.execute(CUT_OVER)
        connection.commit()
        cursor.execute(settings)
        assert cursor.fetchall() == before


def test_a_second_cut_over_works(vault: Ready) -> None:
    """The next generation takes the place of this one; every name keeps its meaning."""
    scratch = vault.scratch
    first = state(scratch)
    vault.swap()
    cut_over_again(scratch, 3)
    last = state(scratch)
    for name in ("columns", "rights", "indexes", "view"):
        assert last[name] == first[name]
    shown = scratch.sql("SELECT DISTINCT masked_ip, token_generation FROM user_logins")
    assert shown == [(filled_token(filled_token(vault.records[0].tokens[IP])), 3)]
    assert broken(scratch) == []
