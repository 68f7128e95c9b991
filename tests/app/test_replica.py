"""`VAULT_ETL_READ_URL` with a real standby: the commands that read there, their delay, and servers that are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.app.replicated import SHARED, Replicated, told
from tests.kit.databases import admin
from tests.kit.events import event
from tests.kit.processes import fails
from tests.kit.proxy import closed_port
from tests.kit.standby import caught_up, paused, standby_of, until_yes
from tests.kit.vault import Vault
from tests.kit.vaults import copied, filled_vault
from vault_etl.base.errors import UnavailableError
from vault_etl.cli.replica_reads import FROM_REPLICA
from vault_etl.platform.postgres import Database

NEVER = f"postgresql://nobody@127.0.0.1:{closed_port()}/nowhere"


READS = {
    "duplicates": ("analyst", "duplicates", "--field", "ip"),
    "keys list": ("audit", "keys", "list"),
    "audit list": ("audit", "audit", "list"),
    "audit verify": ("audit", "audit", "verify"),
    "quarantine list": ("reveal", "quarantine", "list"),
    "doctor": ("audit", "doctor", "--deep"),
}


@pytest.fixture(scope="module")
def replicated(
    keyed: Vault, tmp_path_factory: pytest.TempPathFactory, quick_place: Path
) -> Iterator[Replicated]:
    """A standby for all tests, which has replayed everything."""
    bodies = [*(event(ip=ip, user_id="ann") for ip in (SHARED, SHARED, "198.51.100.2")), "no event"]
    with (
        filled_vault(keyed, tmp_path_factory.mktemp("replicated"), bodies) as vault,
        standby_of(vault.server, quick_place, "max_standby_streaming_delay = 0") as standby,
    ):
        yield Replicated(vault, standby)


@pytest.mark.parametrize("command", sorted(FROM_REPLICA))
def test_a_read_comes_from_the_replica(replicated: Replicated, command: str) -> None:
    """The answer is the same, with its server, and has all that was committed before the command began."""
    role, *args = READS[command]
    caught_up(replicated.vault.server, replicated.standby)
    here, there = replicated.vault.run(role, *args), replicated.run(role, *args)
    assert there.code == here.code == 0, there.stderr
    found = told(there)
    assert (found["event"], found["behind_seconds"]) == ("read from a replica", 0.0)
    assert found["server"] == f"127.0.0.1:{replicated.standby.port}"
    if command == "audit verify":
        assert there.json.pop("behind_seconds") == 0.0
        assert {**there.json, **here.json} == there.json
    elif command == "doctor":
        checks = {line["check"]: line for line in there.lines}
        assert {line["check"] for line in here.lines} == checks.keys() - {"replica", "replica_tls"}
        assert "has all that is committed; it cancels queries" in checks["replica"]["detail"]
        assert (checks["every_token"]["ok"], checks["value_counts"]["ok"]) == (True, True)
    else:
        assert there.stdout == here.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("ingest", "ingest"),
        ("rotate", "keys", "destroy", "--unused", "--dry-run"),
        ("re-encrypt", "keys", "rotate", "--dry-run"),
        ("re-encrypt", "quarantine", "retry", "--all", "--dry-run"),
        ("erase", "erase", "--user-id", "ann", "--reason", "r", "--dry-run"),
        ("reveal", "find", "--field", "ip", "--reason", "r"),
        ("reveal", "audit", "policy"),
        ("admin", "partitions", "list"),
        ("admin", "migrate", "--check"),
    ],
    ids=" ".join,
)
def test_commands_that_write_or_decide_ask_the_primary_alone(
    replicated: Replicated, command: tuple[str, ...]
) -> None:
    """Commands that write or decide work without the replica."""
    role, *args = command
    done = replicated.vault.run(role, *args, extra={"VAULT_ETL_READ_URL": NEVER}, stdin=SHARED)
    assert done.code == 0, done.stderr


def test_the_answer_says_how_far_behind_it_is(replicated: Replicated) -> None:
    """The answer lacks what a stopped replay has not applied, and the limit refuses the replica."""
    with paused(replicated.standby):
        seq = replicated.add_entry()
        listed = replicated.run("audit", "audit", "list", "--limit", "1")
        assert listed.lines[0]["seq"] < seq
        behind = told(listed)["behind_seconds"]
        assert isinstance(behind, float)
        assert behind > 0
        limited = replicated.run("audit", "audit", "list", VAULT_ETL_READ_MAX_LAG="0")
        fails(limited, 69, "is behind: ")
        section = next(
            line for line in replicated.run("audit", "status").lines if line["section"] == "replica"
        )
        assert section["behind_seconds"] > 0
        assert "behind at most" in section["detail"]


def test_a_checkpoint_that_the_replica_does_not_have_yet_is_no_cut_log(
    replicated: Replicated, tmp_path: Path
) -> None:
    """Exit 75, not 65; without the checkpoint the log of the replica is proven, and its last entry is reported."""
    with paused(replicated.standby):
        seq = replicated.add_entry()
        kept = tmp_path / "kept.json"
        kept.write_text(replicated.vault.ok("audit", "audit", "checkpoint").stdout, "utf-8")
        fails(
            replicated.run("audit", "audit", "verify", "--checkpoint", str(kept)),
            75,
            "the replica has the log up to entry",
        )
        alone = replicated.run("audit", "audit", "verify")
        assert (alone.code, alone.json["ok"]) == (0, True)
        assert alone.json["head_seq"] < seq
        assert alone.json["behind_seconds"] > 0
        assert (
            f"ends at entry {alone.json['head_seq']}: later entries are not verified"
            in alone.stderr
        )
    whole = replicated.run("audit", "audit", "verify", "--checkpoint", str(kept))
    assert (whole.code, whole.json["behind_seconds"]) == (0, 0.0)
    assert whole.json["head_seq"] >= seq


def test_a_server_that_does_not_say_how_far_it_is_behind_is_read_all_the_same(
    replicated: Replicated,
) -> None:
    """A server that hides its delay, as Aurora's readers do (here: no right to ask), is named; no limit applies."""
    function = "EXECUTE ON FUNCTION pg_control_system()"
    replicated.vault.sql(f"REVOKE {function} FROM PUBLIC")
    try:
        caught_up(replicated.vault.server, replicated.standby)
        done = replicated.run("audit", "audit", "list", VAULT_ETL_READ_MAX_LAG="0")
        assert (done.code, told(done)["behind_seconds"]) == (0, None)
        verified = replicated.run("audit", "audit", "verify")
        assert "later entries are not verified" in verified.stderr
    finally:
        replicated.vault.sql(f"GRANT {function} TO PUBLIC")


def test_the_primary_itself_may_be_read(replicated: Replicated) -> None:
    """The log line says that the server is not a replica."""
    own = replicated.vault.database_url("analyst")
    done = replicated.run("analyst", "duplicates", "--field", "ip", VAULT_ETL_READ_URL=own)
    assert (done.code, len(done.lines)) == (0, 1)
    assert (told(done)["event"], told(done)["behind_seconds"]) == ("read from the primary", 0.0)


def test_a_database_that_is_not_this_vault_is_refused(
    replicated: Replicated, keyed: Vault, tmp_path: Path
) -> None:
    """Refused are a database without a vault, a copy with the same vault id, and a replica of that copy."""
    with copied(keyed, tmp_path) as copy:
        caught_up(copy.server, replicated.standby)
        there = replace(copy, server=replicated.standby)
        for url in (
            replicated.vault.server.url("test_analyst", "postgres"),
            copy.database_url("analyst"),
            there.database_url("analyst"),
        ):
            done = replicated.run("analyst", "duplicates", "--field", "ip", VAULT_ETL_READ_URL=url)
            fails(done, 78, "is not the database of this vault")


def test_a_replica_without_the_newest_migration_is_refused(replicated: Replicated) -> None:
    """The replica gets the migration when it replays."""
    with paused(replicated.standby):
        replicated.vault.sql("INSERT INTO migrations (name, checksum) VALUES ('9', '')")
        try:
            done = replicated.run("analyst", "duplicates", "--field", "ip")
            fails(done, 69, "the migrations of VAULT_ETL_READ_URL are not those of the primary")
        finally:
            replicated.vault.sql("DELETE FROM migrations WHERE name = '9'")


def test_while_the_primary_is_away_the_replica_is_named_as_the_database(
    replicated: Replicated,
) -> None:
    """Commands that only read need no primary; commands that write are refused, and show nothing."""
    extra: dict[str, str | None] = {
        "VAULT_ETL_DATABASE_URL": replicated.url("analyst"),
        "VAULT_ETL_READ_URL": None,
    }
    caught_up(replicated.vault.server, replicated.standby)
    assert len(replicated.run("analyst", "duplicates", "--field", "ip", **extra).lines) == 1
    extra["VAULT_ETL_DATABASE_URL"] = replicated.url("reveal")
    asked = ("find", "--field", "ip", "--reason", "r")
    fails(replicated.vault.run("reveal", *asked, extra=extra, stdin=SHARED), 74, "25006")


def test_the_password_of_the_replica_comes_from_the_same_place(
    replicated: Replicated, tmp_path: Path
) -> None:
    """A second password in the URL is an error that names this setting."""
    file = tmp_path / "password"
    file.write_text(replicated.vault.server.passwords.of("test_analyst") + "\n", "utf-8")
    bare = [
        f"postgresql://test_analyst@127.0.0.1:{server.port}/{replicated.vault.database}"
        for server in (replicated.vault.server, replicated.standby)
    ]
    extra = {"VAULT_ETL_DATABASE_URL": bare[0], "VAULT_ETL_DATABASE_PASSWORD": f"file:{file}"}
    asked = ("analyst", "duplicates", "--field", "ip")
    assert replicated.run(*asked, VAULT_ETL_READ_URL=bare[1], **extra).code == 0
    fails(replicated.run(*asked, **extra), 78, "VAULT_ETL_READ_URL holds a password")
    shown = replicated.run("analyst", "config").stdout
    assert replicated.vault.server.passwords.of("test_analyst") not in shown
    fails(replicated.run(*asked, VAULT_ETL_READ_URL=NEVER), 69, "cannot be reached")
    fails(
        replicated.run(*asked, VAULT_ETL_READ_URL="postgres"), 78, "VAULT_ETL_READ_URL is malformed"
    )


def test_a_read_that_blocks_the_replay_says_what_to_set(replicated: Replicated) -> None:
    """A cut-over or a VACUUM on the primary cancels the query: exit 69, and the two settings."""
    database = Database(replicated.url("analyst"))
    asked = "SELECT count(*), pg_sleep(60) FROM vault_etl.user_logins_masked"
    lock = threading.Timer(
        0.5, lambda: replicated.vault.sql("BEGIN; LOCK TABLE user_logins; COMMIT")
    )
    lock.start()
    with (
        pytest.raises(UnavailableError, match="in the way of its replay") as refused,
        database.transaction() as cursor,
    ):
        cursor.execute(asked)
    lock.join()
    database.close()
    assert "hot_standby_feedback" in (refused.value.hint or "")


def test_a_replica_that_was_promoted_is_refused_and_a_kept_checkpoint_shows_what_it_lost(
    replicated: Replicated, quick_place: Path, tmp_path: Path
) -> None:
    """A promoted replica has another history: its log agrees with itself, without the last old entries."""
    vault, asked = replicated.vault, ("analyst", "duplicates", "--field", "ip")
    with standby_of(vault.server, quick_place) as promoted:
        caught_up(vault.server, promoted)
        with admin(promoted, "postgres") as cursor:
            # What the copy itself brought needs no receiver: one that starts after this would bring the entry.
            until_yes(
                cursor, "SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
            )
            cursor.execute("ALTER SYSTEM SET primary_conninfo = ''")
            cursor.execute("SELECT pg_reload_conf()")
            until_yes(cursor, "SELECT count(*) = 0 FROM pg_stat_wal_receiver")
            seq = replicated.add_entry()
            kept = tmp_path / "kept.json"
            kept.write_text(vault.ok("audit", "audit", "checkpoint").stdout, "utf-8")
            stale = replace(vault, server=promoted).database_url("analyst")
            late = replicated.run(*asked, VAULT_ETL_READ_URL=stale, VAULT_ETL_READ_MAX_LAG="0")
            fails(late, 69, "is behind: ")
            cursor.execute("SELECT pg_promote()")
        fails(replicated.run(*asked, VAULT_ETL_READ_URL=stale), 78, "it was promoted, or is a copy")
        verify = ("audit", "audit", "verify")
        new = replace(vault, server=promoted)
        assert new.ok(*verify).json["head_seq"] < seq
        shown = new.run(*verify, "--checkpoint", str(kept))
        assert (shown.code, shown.json["counts"]["tampered"]) == (65, 1)
        assert f"{seq}" in shown.json["problem"]
