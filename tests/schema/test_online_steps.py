"""The steps of online migrations: the catalog says what is left, whatever happened between two steps."""

from __future__ import annotations

import uuid
from pathlib import Path

import psycopg2
import pytest

from tests.kit.months import ensure, month_start, name_of
from tests.kit.online import COUNTRY, EXPAND, ONLINE, Silent, finish, online, with_country
from tests.kit.schemas import differences
from tests.kit.scratch import Scratch, new_record_id
from vault_etl.base.errors import ConfigurationError, DataError, IncompleteError
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.waiting import Blocked
from vault_etl.schema.postgres_migrations import PostgresMigrations
from vault_etl.schema.postgres_online import PostgresOnline

ROW = (
    "INSERT INTO user_logins (record_id, user_id, device_type, create_date, locale)"
    " VALUES (%s, 'u', 'd', '2026-01-01', 'de-AT')"
)
WHOLE = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'user_logins_country'::regclass"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Our migrations, with those that add a country and fill it."""
    return with_country(tmp_path, EXPAND, ONLINE)


def attempt(steps: PostgresOnline) -> int | Blocked:
    """Do the next step, once."""
    return steps.attempt(steps.left()[0], 10, Silent())


def up_to(steps: PostgresOnline, action: str) -> None:
    """Do steps until this one is next."""
    while steps.left()[0].action != action:
        assert not isinstance(attempt(steps), Blocked)


def test_each_page_of_rows_is_kept_with_its_place(scratch: Scratch, folder: Path) -> None:
    """The next run goes on after the last page, and fills no row of a month twice."""
    for ahead in (0, 0, 0, -1):
        scratch.sql(ROW, new_record_id(month_start(ahead)))
    with online(scratch, folder) as steps:
        up_to(steps, "fill")
        while name_of(0) not in steps.left()[0].table:
            attempt(steps)
        assert steps.attempt(steps.left()[0], 2, Silent()) == 2
    assert scratch.value("SELECT count(*) FROM user_logins WHERE country IS NULL") == 1
    with online(scratch, folder) as steps:
        assert steps.left()[0].table == name_of(0)
        assert attempt(steps) == 1
        finish(steps)
    assert scratch.sql("SELECT DISTINCT country FROM user_logins") == [("AT",)]
    with scratch.database("admin") as opened:
        assert PostgresMigrations(opened, folder).pending() == []


def test_half_done_work_is_no_difference_and_other_changes_are(
    scratch: Scratch, folder: Path
) -> None:
    """An index that is not attached, or a constraint that is not valid, is pending work; a disabled trigger is not."""
    with online(scratch, folder) as steps:
        up_to(steps, "attach")
        with scratch.database("admin") as opened:
            left = PostgresMigrations(opened, folder).pending()[0].migration.statements()
        all_of_them = differences(scratch, "audit")
        assert any(f"index {name_of(-2)}_country" in line for line in all_of_them)
        scratch.sql("ALTER TABLE user_logins DISABLE TRIGGER country")
        found = differences(scratch, "audit", left)
    assert [line for line in found if "index" in line or "constraint" in line] == []
    assert any("trigger country" in line for line in found)


def test_a_month_that_is_detached_meanwhile_is_skipped(scratch: Scratch, folder: Path) -> None:
    """Even the last month that lacked its index is skipped. A month that is made meanwhile has it."""
    with online(scratch, folder) as steps:
        up_to(steps, "attach")
        ensure(scratch, month_start(-9).date())
        last = steps.left()[-1].table
        while len(left := steps.left()) > 1:
            assert name_of(-9) not in {step.table for step in left}
            attempt(steps)
        assert left[0].table == last
        scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {last}")
        assert scratch.sql(WHOLE) == [(False,)]
        assert steps.attempt(left[0], 1, Silent()) == 0
        finish(steps)
    assert scratch.sql(WHOLE) == [(True,)]


def test_a_query_in_the_way_is_named_and_no_session_waits_behind_it_for_long(
    scratch: Scratch, folder: Path
) -> None:
    """A constraint needs every partition for a moment. The step gives up after a second, and nothing is changed."""
    with online(scratch, folder) as steps, scratch.connect("analyst") as analyst:
        up_to(steps, "add, for new rows")
        with analyst.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM user_logins_masked")
        blocked = attempt(steps)
        assert isinstance(blocked, Blocked)
        assert f"pid {analyst.info.backend_pid} (test_analyst)" in blocked.by
        assert steps.left()[0].action == "add, for new rows"
        analyst.rollback()
        assert attempt(steps) == 0
        assert steps.left()[0].action == "validate"


def test_rows_that_break_the_constraint_are_filled_by_the_next_run(
    scratch: Scratch, folder: Path
) -> None:
    """A worker without the column wrote them, and no trigger filled it."""
    with online(scratch, folder) as steps:
        up_to(steps, "add, for new rows")
        scratch.sql("ALTER TABLE user_logins DISABLE TRIGGER country")
        scratch.sql(ROW, new_record_id())
        with pytest.raises(IncompleteError, match=f"rows of {name_of(0)} are not as") as refused:
            up_to(steps, "build")
        assert "fills rows once more" in str(refused.value.hint)
        assert steps.left()[0].action == "fill"
        finish(steps)
    assert scratch.sql("SELECT country FROM user_logins") == [("AT",)]


def test_two_runs_at_once_do_no_harm(scratch: Scratch, folder: Path) -> None:
    """The second run names the first, and finds nothing to do afterwards."""
    with (
        online(scratch, folder) as steps,
        scratch.database("admin") as opened,
        scratch.database("admin") as watching,
        scratch.database("admin") as locks,
    ):
        migrations = PostgresMigrations(opened, folder)
        assert migrations.apply().names == []  # what was begun is not done in a transaction
        left = migrations.pending()[0]
        assert left.is_online
        other = PostgresOnline(opened, watching, LockWatch(locks), left.migration)
        with other.session():
            blocked = other.try_alone()
            assert blocked is not None
            assert "(admin, vault-etl)" in blocked.by[0]
            finish(steps)
            assert not other.begin()


def test_a_file_that_was_changed_after_it_was_begun_is_refused(
    scratch: Scratch, folder: Path
) -> None:
    """Half of one file and half of another would be neither."""
    with online(scratch, folder):
        pass
    (folder / f"{ONLINE}.sql").write_text((COUNTRY / f"{ONLINE}.sql").read_text() + "\n")
    with scratch.database("admin") as opened, pytest.raises(ConfigurationError, match=ONLINE):
        PostgresMigrations(opened, folder).pending()


def test_another_index_of_the_same_name_is_left(scratch: Scratch, folder: Path) -> None:
    """A wrong index is named. An index with the right definition is used."""
    with online(scratch, folder) as steps:
        up_to(steps, "make, for months to come")
        scratch.sql(f"CREATE INDEX {name_of(-2)}_country ON {name_of(-2)} (locale)")
        scratch.sql(
            f"CREATE INDEX {name_of(-1)}_country ON {name_of(-1)} (country) WHERE country <> ''"
        )
        with pytest.raises(ConfigurationError, match=f"index {name_of(-2)}_country"):
            finish(steps)
        scratch.sql(f"DROP INDEX {name_of(-2)}_country")
        assert ("build", name_of(-1)) not in {(step.action, step.table) for step in steps.left()}
        finish(steps)


def test_a_table_without_partitions_is_migrated_too(scratch: Scratch, folder: Path) -> None:
    """All three forms work, with signs that mean something in a format of Python."""
    scratch.sql(
        "INSERT INTO quarantine (record_id, reason_code, path) VALUES (%s, 'not_json', 'a%%{0}')",
        uuid.uuid4(),
    )
    (folder / "9002_country.online.sql").write_text(
        "UPDATE vault_etl.quarantine SET path = '{%}' || path\nWHERE path NOT LIKE '{\\%}%';\n"
        "ALTER TABLE vault_etl.quarantine ADD CONSTRAINT marked CHECK (path LIKE '{%');\n"
        "-- A comment with a semicolon;\n"
        "CREATE INDEX marked ON vault_etl.quarantine (path)\n    WHERE path <> '{}%';\n"
    )
    with online(scratch, folder) as steps:
        finish(steps)
    assert scratch.sql("SELECT path FROM quarantine") == [("{%}a%{0}",)]
    assert scratch.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'marked'::regclass")
    with pytest.raises(psycopg2.errors.CheckViolation):
        scratch.sql(
            "INSERT INTO quarantine (record_id, reason_code, path) VALUES (%s, 'not_json', 'a')",
            uuid.uuid4(),
        )


def test_a_constraint_that_rows_break_and_nothing_fills_is_the_datas_fault(
    scratch: Scratch, folder: Path
) -> None:
    """The error names the table and the condition, and no value."""
    scratch.sql(
        "INSERT INTO quarantine (record_id, reason_code, path) VALUES (%s, 'not_json', 'secret')",
        uuid.uuid4(),
    )
    (folder / f"{ONLINE}.sql").write_text(
        "ALTER TABLE vault_etl.quarantine ADD CONSTRAINT marked CHECK (path = '$');\n"
    )
    with online(scratch, folder) as steps, pytest.raises(DataError, match="quarantine") as refused:
        finish(steps)
    assert "secret" not in f"{refused.value} {refused.value.hint}"
