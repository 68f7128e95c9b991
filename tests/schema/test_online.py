"""`migrate --online` as an operator runs it: beside a loader, killed in the middle, and run again."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.kit.databases import clone
from tests.kit.months import ensure, month_start, name_of, request
from tests.kit.online import CONTRACT, EXPAND, ONLINE, Program
from tests.kit.scratch import Scratch, new_record_id, sealed_record
from tests.kit.waiting import until
from vault_etl.local.postgres import RunningPostgres
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.months import choose

EACH = 40
"""Rows that are loaded at a time."""
WIDE = 9_000
"""Rows that fill a page each."""
LARGE = """
    DO $$ BEGIN
        EXECUTE format('ALTER TABLE vault_etl.%1$I SET (fillfactor = 10)', '{name}');
        INSERT INTO vault_etl.user_logins (record_id, user_id, device_type, create_date, locale)
        SELECT overlay(vault_etl.first_record_id('{first}')::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid,
            repeat('💧', 128), repeat('💧', 32), '2026-01-01', 'de-AT' FROM generate_series(1, {rows}) AS n;
        EXECUTE format('ALTER TABLE vault_etl.%1$I SET (fillfactor = 80)', '{name}');
    END $$
"""


@pytest.fixture(scope="module")
def database(postgres: RunningPostgres) -> Iterator[Scratch]:
    """More than 64 MiB of records. Last month is detached, so the table's change does not reach it."""
    with clone(postgres) as made:
        made.add_token_keys()
        load(made, 0)
        load(made, -1)
        made.sql(LARGE.format(name=name_of(-2), first=month_start(-2), rows=WIDE))
        with made.database("admin") as opened:
            partitions = PostgresPartitions(opened, 10.0)
            partitions.detach(request(), choose(partitions.partitions(), name_of(-1)))
        yield made


@pytest.fixture(scope="module")
def program(database: Scratch, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A copy of the program, for this database."""
    return Program.copy(tmp_path_factory.mktemp("program"), database)


def load(database: Scratch, ahead: int) -> None:
    """Rows of a month, by the real loader, which must not wait."""
    keys = database.write_keys()
    ids = [new_record_id(month_start(ahead)) for _ in range(EACH)]
    with database.loader() as loader:
        records = [sealed_record(keys, record_id=i, locale="fr-CH") for i in ids]
        assert isinstance(loader.load(records, [], keys), Loaded)


def sessions(database: Scratch) -> list[tuple[int, str]]:
    """Sessions of runs that are there, or whose server's end still is: the pid, and the phase of an index."""
    return database.sql(
        "SELECT a.pid, coalesce(p.phase, '') FROM pg_stat_activity AS a"
        " LEFT JOIN pg_stat_progress_create_index AS p USING (pid)"
        " WHERE a.application_name = 'vault-etl migrate' AND a.datname = current_database()"
    )


def invalid(database: Scratch) -> list[str]:
    """The indexes of partitions that an interrupted build left."""
    found = database.sql(
        "SELECT i.relname FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid"
        " WHERE NOT x.indisvalid AND i.relkind = 'i'"
    )
    return [name for (name,) in found]


def test_one_command_is_enough_for_a_small_database(program: Program) -> None:
    """The command does the online migration with the others. No work and no difference is left."""
    with clone(program.database.server) as small:
        small_program = Program(program.place, small)
        assert small_program.run().json == {"applied": [EXPAND, ONLINE]}
        assert small_program.run("--check", role="analyst").code == 0


def test_a_large_database_is_migrated_online_beside_a_loader_and_after_kills(
    program: Program, database: Scratch
) -> None:
    """A deploy step stops before it. --online goes on where Ctrl-C and SIGKILL ended it, and leaves nothing behind."""
    stopped = program.run()
    assert (stopped.code, stopped.json) == (75, {"applied": [EXPAND]})
    assert "vault-etl migrate --online" in stopped.stderr
    left = program.run("--check", role="analyst")
    assert (left.code, ONLINE in left.stderr) == (75, True), left.stderr
    plan = program.run("--dry-run").lines
    assert {row["step"] for row in plan} == {
        "rows of user_logins: fill",
        *(f"constraint country_is_filled: {what}" for what in ("add, for new rows", "validate")),
        *(f"index user_logins_country: {what}" for what in ("build", "make, for months to come")),
    }
    assert max(row["bytes"] for row in plan) > 64 * 1024 * 1024
    assert {row["table"] for row in plan} >= {name_of(-2), name_of(0), "user_logins_undated"}

    with database.connect("analyst") as analyst, analyst.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM audit_actions")  # an old snapshot is enough
        for told, code in ((signal.SIGTERM, 75), (signal.SIGINT, 130)):
            running = program.start("--online")
            until(lambda: "waiting_for" in program.log.read_text(encoding="utf-8"))
            assert f"pid {analyst.info.backend_pid} (test_analyst)" in program.log.read_text(
                "utf-8"
            )
            load(database, 0)
            running.send_signal(told)
            assert program.end(running).code == code
            until(lambda: not sessions(database))  # the statement was ended too
            assert len(invalid(database)) == 1
        assert program.run("--check", role="analyst").code == 75

        killed = program.start("--online")
        until(lambda: any("waiting" in phase for _, phase in sessions(database)))
        ensure(database, month_start(-5).date())
        load(database, -5)
        killed.kill()
        program.end(killed)
        left_over = sessions(database)
        again = program.start("--online")  # waits for the server's end of the one that was killed
        until(lambda: {pid for pid, phase in sessions(database) if phase} - dict(left_over).keys())
        load(database, 0)
        analyst.rollback()
    assert program.end(again).json == {"applied": [ONLINE]}

    assert invalid(database) == []
    assert program.run("--check", role="analyst").code == 0
    with database.database("admin") as opened:
        partitions = PostgresPartitions(opened, 10.0)
        partitions.attach(request(), choose(partitions.partitions(), name_of(-1)))
    program.update()
    assert program.run("--check", role="analyst").code == 78
    assert program.run().json == {"applied": [CONTRACT]}
    assert program.run("--check", role="analyst").code == 0
    counts = "SELECT country, count(*) FROM user_logins GROUP BY 1 ORDER BY 1"
    assert database.sql(counts) == [("AT", WIDE), ("CH", 6 * EACH)]


def test_options_that_go_together(program: Program) -> None:
    """A check changes nothing, so it needs no --online. A rate is for online work alone."""
    for args in (("--check", "--online"), ("--dry-run", "--online"), ("--rate", "5")):
        assert program.run(*args).code == 2
