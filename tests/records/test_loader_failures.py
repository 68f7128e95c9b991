"""Errors of the database: which errors are due to a row, which are due to us, and none quotes a row."""

from __future__ import annotations

import datetime as dt
import threading
import traceback
from collections.abc import Iterator

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS
from tests.kit.scratch import Scratch, new_record_id, sealed_record, sealed_rejection
from tests.kit.waiting import until
from vault_etl.base.errors import (
    ConfigurationError,
    LoginDeniedError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.records.fenced_writes import Loaded, MonthUnattached, RowsRefused, WriteKeys
from vault_etl.records.postgres import PostgresRecordLoader

CANARY = "canary-4711"


@pytest.fixture(scope="module")
def keys(shared: Scratch) -> WriteKeys:
    """One data key a field for the whole file."""
    shared.add_token_keys()
    return shared.write_keys(*FIELDS)


@pytest.fixture
def planted(shared: Scratch) -> Iterator[Scratch]:
    """The database, whose tables are empty, and a trigger `planted` is removed afterwards."""
    shared.sql("TRUNCATE user_logins, quarantine")
    yield shared
    shared.sql("DROP TRIGGER IF EXISTS planted ON user_logins")


def plant(database: Scratch, statement: str, when: str = "BEFORE INSERT") -> None:
    """Make every insert of a record run a statement of PL/pgSQL."""
    constraint = "CONSTRAINT" if "DEFERRABLE" in when else ""
    database.sql(
        "CREATE OR REPLACE FUNCTION vault_etl.planted() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER AS $$ BEGIN {statement}; RETURN NEW; END $$;"
        f"CREATE {constraint} TRIGGER planted {when.replace('INSERT', 'INSERT ON user_logins')}"
        " FOR EACH ROW EXECUTE FUNCTION vault_etl.planted()"
    )


def raising(sqlstate: str) -> str:
    """A statement that fails with this SQLSTATE and quotes the row, as PostgreSQL does."""
    detail = "format('Failing row contains (%s)', NEW)"
    return f"RAISE EXCEPTION 'value %', NEW.user_id USING ERRCODE = '{sqlstate}', DETAIL = {detail}"


def assert_silent(error: BaseException | RowsRefused) -> None:
    """Neither the error nor its traceback contains a value of the row."""
    said = repr(error)
    if isinstance(error, BaseException):
        said += str(error) + str(error.__dict__) + "".join(traceback.format_exception(error))
    assert CANARY not in said


@pytest.mark.parametrize("sqlstate", ["22001", "22003", "22021", "22P02", "22P05", "23502"])
def test_a_sqlstate_that_a_value_can_cause_is_the_rows_fault(
    planted: Scratch, keys: WriteKeys, sqlstate: str
) -> None:
    """SQLSTATE 22xxx and 23502 come back as refused rows, and no row is stored."""
    plant(planted, raising(sqlstate))
    with planted.loader() as loader:
        result = loader.load([sealed_record(keys, user_id=CANARY)], [sealed_rejection(keys)], keys)
    assert result == RowsRefused(sqlstate)
    assert_silent(result)
    assert planted.value("SELECT count(*) FROM quarantine") == 0


@pytest.mark.parametrize("table", ["user_logins", "quarantine"])
def test_a_named_check_is_the_rows_fault(planted: Scratch, keys: WriteKeys, table: str) -> None:
    """23514 with the name of a constraint means a value that the table refuses."""
    column = "record_id"
    planted.sql(f"ALTER TABLE {table} ADD CONSTRAINT planted CHECK ({column} IS NULL) NOT VALID")
    try:
        with planted.loader() as loader:
            rows = ([sealed_record(keys, user_id=CANARY)], [sealed_rejection(keys)])
            result = loader.load(rows[0], rows[1], keys)
    finally:
        planted.sql(f"ALTER TABLE {table} DROP CONSTRAINT planted")
    assert result == RowsRefused("23514")


@pytest.mark.parametrize(
    "change",
    [{"user_id": ""}, {"user_id": "x" * 129}, {"device_type": "y" * 33}, {"locale": "z" * 33}],
)
def test_the_tables_own_limits_are_the_parsers(
    planted: Scratch, keys: WriteKeys, change: dict[str, object]
) -> None:
    """A value that the parser must keep out is also refused by a named check of the table."""
    with planted.loader() as loader:
        assert loader.load([sealed_record(keys, **change)], [], keys) == RowsRefused("23514")


def test_text_that_copy_refuses_is_the_rows_fault(planted: Scratch, keys: WriteKeys) -> None:
    """One NUL fails the COPY of the whole batch with 22021."""
    batch = [sealed_record(keys), sealed_record(keys, user_id=f"{CANARY}\0")]
    with planted.loader() as loader:
        result = loader.load(batch, [], keys)
    assert result == RowsRefused("22021")


def test_a_missing_partition_is_not_the_rows_fault(planted: Scratch, keys: WriteKeys) -> None:
    """23514 without a constraint's name is a month without a table: the loader reads the months again."""
    record_id = new_record_id(dt.datetime(2001, 1, 1, tzinfo=dt.UTC))
    with planted.loader() as loader:
        row = sealed_record(keys, record_id=record_id, user_id=CANARY)
        assert loader.load([row], [], keys) == MonthUnattached()


@pytest.mark.parametrize(
    ("sqlstate", "error"),
    [
        ("23505", VaultEtlError),
        ("23503", VaultEtlError),
        ("P0001", VaultEtlError),
        ("XX000", VaultEtlError),
        ("42501", LoginDeniedError),
        ("42P01", ConfigurationError),
        ("42703", ConfigurationError),
        ("25006", UnavailableError),
        ("40001", UnavailableError),
        ("40P01", LockTimeoutError),
        ("53100", UnavailableError),
        ("53300", UnavailableError),
        ("55P03", LockTimeoutError),
        ("57014", UnavailableError),
        ("57P01", UnavailableError),
        ("58030", UnavailableError),
    ],
)
def test_any_other_sqlstate_is_not_the_rows_fault(
    planted: Scratch, keys: WriteKeys, sqlstate: str, error: type[VaultEtlError]
) -> None:
    """No other SQLSTATE leads to quarantine: each is an error of its own kind, and quotes no value."""
    plant(planted, raising(sqlstate))
    with planted.loader() as loader, pytest.raises(error) as raised:
        loader.load([sealed_record(keys, user_id=CANARY)], [sealed_rejection(keys)], keys)
    assert type(raised.value) is error
    assert sqlstate in str(raised.value)
    assert_silent(raised.value)
    assert planted.value("SELECT count(*) FROM quarantine") == 0


def _kill(database: Scratch) -> None:
    """End the loader's connection, as a fail-over does."""
    database.sql(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'test_ingest'"
    )


def test_a_connection_killed_in_a_transaction_is_replaced(
    planted: Scratch, keys: WriteKeys
) -> None:
    """A connection killed while it waits for the fence is an outage, stores no row, and the next load works."""
    with planted.connect("rotate") as other, planted.loader() as loader:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE")
        killer = threading.Thread(target=_kill_when_it_waits, args=(planted,))
        killer.start()
        with pytest.raises(UnavailableError) as raised:
            loader.load([sealed_record(keys, user_id=CANARY)], [], keys)
        killer.join()
        other.rollback()
        assert_silent(raised.value)
        assert planted.value("SELECT count(*) FROM user_logins") == 0
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)


def _kill_when_it_waits(database: Scratch) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename = 'test_ingest' AND wait_event_type = 'Lock'"
    )
    until(lambda: database.value(waiting))
    _kill(database)


def test_a_connection_killed_between_batches_is_replaced(planted: Scratch, keys: WriteKeys) -> None:
    """The load that finds its connection dead raises an outage; the next load works."""
    with planted.loader() as loader:
        loader.load([sealed_record(keys)], [], keys)
        _kill(planted)
        with pytest.raises(UnavailableError):
            loader.load([sealed_record(keys)], [], keys)
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)


def test_a_commit_without_an_answer_is_a_failure(planted: Scratch, keys: WriteKeys) -> None:
    """A connection that dies in COMMIT raises, so no caller takes the batch for stored."""
    plant(
        planted,
        "PERFORM pg_terminate_backend(pg_backend_pid())",
        "AFTER INSERT DEFERRABLE INITIALLY DEFERRED",
    )
    with planted.loader() as loader, pytest.raises(UnavailableError):
        loader.load([sealed_record(keys)], [], keys)


def test_a_commit_that_is_refused_is_not_a_load(planted: Scratch, keys: WriteKeys) -> None:
    """An error at COMMIT is a failure of its own kind, and no row is stored."""
    plant(planted, raising("23505"), "AFTER INSERT DEFERRABLE INITIALLY DEFERRED")
    with planted.loader() as loader, pytest.raises(VaultEtlError) as raised:
        loader.load([sealed_record(keys, user_id=CANARY)], [], keys)
    assert_silent(raised.value)
    assert planted.value("SELECT count(*) FROM user_logins") == 0


def test_a_login_without_the_role_is_denied(planted: Scratch, keys: WriteKeys) -> None:
    """A login of another role cannot load."""
    with planted.database("analyst") as database, pytest.raises(LoginDeniedError):
        PostgresRecordLoader(database, DEFAULT).load([sealed_record(keys)], [], keys)


def test_a_database_that_was_never_migrated_is_a_configuration_error(
    planted: Scratch, keys: WriteKeys
) -> None:
    """The hint for missing tables says to migrate."""
    other = Scratch(planted.server, "postgres")
    with other.loader() as loader, pytest.raises(ConfigurationError) as raised:
        loader.load([sealed_record(keys)], [], keys)
    assert "migrate" in (raised.value.hint or "")
