"""`vault-etl partitions`: months are detached, attached and dropped on the record, and what comes late is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psycopg2
import pytest

from tests.kit.events import event
from tests.kit.months import WHY, entries, months, table, this_month
from tests.kit.processes import finish, start
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from tests.kit.waiting import until


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Yield one vault with records of this month; each test leaves the month attached."""
    home = tmp_path_factory.mktemp("partitions")
    with filled_vault(keyed, home, [event(), event()]) as filled:
        yield filled


def test_a_month_goes_out_and_comes_back_and_nothing_is_lost_or_stored_twice(vault: Vault) -> None:
    """Late events wait in quarantine under `month_closed`, copies too, and move once the month is open again."""
    month = this_month(vault)
    name = table(month)
    before = entries(vault)
    dry = vault.ok("admin", "partitions", "detach", month, "--dry-run")
    assert (dry.json["partition"], dry.json["state"]) == (name, "attached")
    assert f"{name} is not over: messages of this month are quarantined" in dry.stderr
    assert months(vault)[name] == "attached"
    assert entries(vault) == before

    assert vault.ok("admin", "partitions", "detach", month, *WHY).json["state"] == "detached"
    assert vault.count("user_logins") == 0
    assert vault.sql(f"SELECT count(*) FROM vault_etl_detached.{name}") == [(2,)]  # noqa: S608
    found = {row["check"]: row for row in vault.run("admin", "doctor").lines}
    assert name in found["partitions"]["detail"]
    assert found["schema"]["ok"], found["schema"]
    deep = {row["check"]: row["ok"] for row in vault.run("audit", "doctor", "--deep").lines}
    assert (deep["value_counts"], deep["every_token"], deep["token_generations"]) == (True,) * 3
    used = [row for row in vault.ok("audit", "keys", "list", "--each").lines if row["rows"]]
    assert {row["field"] for row in used} == {"ip", "device_id"}, "its keys are needed all the same"

    vault.send([event()])
    assert vault.ok("ingest", "ingest").json["quarantined"] == 1
    assert vault.sql("SELECT reason_code, path FROM quarantine") == [("month_closed", "$")]
    retry = ("quarantine", "retry", "--reason-code", "month_closed", "--yes")
    assert vault.ok("re-encrypt", *retry).json["moved"] == 0
    refused = vault.run("admin", "partitions", "ensure", month)
    assert (refused.code, "partitions attach" in refused.stderr) == (78, True)

    assert vault.ok("admin", "partitions", "attach", month, *WHY).json["state"] == "attached"
    assert vault.ok("re-encrypt", *retry).json["moved"] == 1
    assert (vault.count("user_logins"), vault.count("quarantine")) == (3, 0)
    vault.ok("admin", "migrate", "--check")
    vault.ok("audit", "doctor", "--deep")
    assert [entry[:3] for entry in entries(vault)[len(before) :]] == [
        ("partitions detach", "intent", "allowed"),
        ("partitions detach", "outcome", "done"),
        ("partitions attach", "intent", "allowed"),
        ("partitions attach", "outcome", "done"),
    ]
    assert entries(vault)[-2][3] == f"{name}: a test asks"
    vault.ok("audit", "audit", "verify")


def test_a_drop_asks_for_an_archive_and_for_a_detach_first(vault: Vault) -> None:
    """Then the month is gone and stays closed, until it is opened again."""
    ((month,),) = vault.sql(
        "SELECT to_char(now() AT TIME ZONE 'UTC' - interval '1 month', 'YYYY-MM')"
    )
    drop = ("partitions", "drop", month, *WHY)
    assert (refused := vault.run("admin", *drop, "--without-archive")).code == 78
    assert "partitions detach" in refused.stderr
    vault.ok("admin", "partitions", "detach", month, *WHY)
    assert (refused := vault.run("admin", *drop)).code == 2
    assert "--without-archive" in refused.stderr
    no_terminal = vault.run(
        "admin", "partitions", "drop", month, "--without-archive", "--reason", "a test asks"
    )
    assert (no_terminal.code, "--yes" in no_terminal.stderr) == (2, True)
    assert vault.ok("admin", *drop, "--without-archive").json["state"] == "dropped"
    assert vault.sql("SELECT to_regclass(%s)", f"vault_etl_detached.{table(month)}") == [(None,)]

    vault.ok("ingest", "ingest")
    assert months(vault)[table(month)] == "dropped"
    again = ("partitions", "ensure", month, "--reopen", "--reason", "a test asks")
    assert vault.ok("admin", *again).json == {
        "event": "user_logins",
        "month": month,
        "partition": table(month),
    }
    assert months(vault)[table(month)] == "attached"
    assert entries(vault)[-1][3] == f"{table(month)} is made again"


def test_an_interrupted_detach_is_reported_and_continued(vault: Vault) -> None:
    """A query holds the table: exit is 75, the month is `detaching`, and the next run finalizes it."""
    month = this_month(vault)
    with connect(vault.database_url("admin")) as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM user_logins")
        held = vault.run("admin", "partitions", "detach", month, "--wait", "1s", *WHY)
        assert (held.code, "--wait" in held.stderr) == (75, True)
        assert months(vault)[table(month)] == "detaching"
        assert entries(vault)[-1][1:] == ("outcome", "failed", f"{table(month)} is detaching")
        refused = vault.run("admin", "partitions", "attach", month, *WHY)
        assert (refused.code, "continues the interrupted detach" in refused.stderr) == (78, True)
        found = {line["check"]: line for line in vault.run("audit", "doctor", "--deep").lines}
        assert found["value_counts"]["ok"]
        assert "partitions list" in found["schema"]["hint"]
    other.close()
    assert vault.ok("admin", "partitions", "detach", month, *WHY).json["state"] == "detached"
    vault.ok("admin", "partitions", "attach", month, *WHY)


def test_ctrl_c_is_heard_while_a_detach_waits(vault: Vault) -> None:
    """Long before --wait is over. The month is `detaching`, which is on the record, and the next run goes on."""
    month = this_month(vault)
    with connect(vault.database_url("admin")) as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM user_logins")
        waiting = start(vault, "admin", "partitions", "detach", month, "--wait", "10m", *WHY)
        until(
            lambda: months(vault)[table(month)] == "detaching",
            lives=lambda: waiting.poll() is None,
        )
        waiting.send_signal(signal.SIGINT)
        assert finish(waiting).code == 130
        assert entries(vault)[-1][1:] == ("outcome", "failed", f"{table(month)} is detaching")
        at_it = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%DETACH PARTITION%%' AND state = 'active'"
        assert vault.sql(f"{at_it} AND pid <> pg_backend_pid()") == [(0,)]
    other.close()
    assert vault.ok("admin", "partitions", "detach", month, *WHY).json["state"] == "detached"
    vault.ok("admin", "partitions", "attach", month, *WHY)


def test_an_erasure_reaches_months_that_are_out(vault: Vault) -> None:
    """While it is detached, and while that is under way: nothing comes back with the month, or is counted for it."""
    month = this_month(vault)
    vault.send([event(user_id="gone-1"), event(user_id="gone-2")])
    vault.ok("ingest", "ingest")
    erase = ("erase", "--reason", "a test asks", "--user-id")
    with connect(vault.database_url("admin")) as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM user_logins")
        assert vault.run("admin", "partitions", "detach", month, "--wait", "1s", *WHY).code == 75
        assert vault.ok("erase", *erase, "gone-1", "--dry-run").json["records"] == 1
        assert vault.ok("erase", *erase, "gone-1", "--yes").json["records"] == 1
    other.close()
    vault.ok("admin", "partitions", "detach", month, *WHY)
    assert vault.ok("erase", *erase, "gone-2", "--dry-run").json["records"] == 1
    assert vault.ok("erase", *erase, "gone-2", "--yes").json["records"] == 1
    assert vault.ok("erase", *erase, "gone-2", "--yes").json["records"] == 0
    held = f"count(ip_ciphertext), count(token_generation) FROM vault_etl_detached.{table(month)}"
    counted = "sum(held) FILTER (WHERE field = 'ip'), sum(held) FILTER (WHERE field = 'token')"
    assert vault.sql(f"SELECT {counted} FROM detached_values") == vault.sql(f"SELECT {held}")  # noqa: S608
    vault.ok("admin", "partitions", "attach", month, *WHY)
    left = "count(coalesce(masked_ip::text, masked_device_id::text, ip_ciphertext::text, device_id_ciphertext::text))"
    gone = f"SELECT count(*), {left} FROM user_logins WHERE user_id LIKE 'gone-%%'"  # noqa: S608
    assert vault.sql(gone) == [(2, 0)]


def test_a_month_that_was_detached_by_hand_can_be_attached(vault: Vault) -> None:
    """By its name and its shape: `doctor` names it until then."""
    month = this_month(vault)
    vault.sql(f"ALTER TABLE user_logins DETACH PARTITION {table(month)}")
    assert months(vault)[table(month)] == "detached"
    assert vault.ok("admin", "partitions", "attach", month, *WHY).json["state"] == "attached"
    assert vault.ok("admin", "migrate", "--check").json == {"applied": []}


def test_a_reason_that_is_too_long_is_refused_first(vault: Vault) -> None:
    """Reason and month's name together must fit the log."""
    month = this_month(vault)
    for command in (("detach", month, "--yes"), ("ensure", month)):
        refused = vault.run("admin", "partitions", *command, "--reason", "x" * 499)
        assert (refused.code, "longer than 500" in refused.stderr) == (2, True)
    assert months(vault)[table(month)] == "attached"


def test_a_table_beside_the_detached_months_is_named(vault: Vault) -> None:
    """Rows could be hidden there: `doctor` lists the tables that exist, not the months on the record."""
    vault.sql(
        "CREATE TABLE vault_etl_detached.hidden (); ALTER TABLE vault_etl_detached.hidden OWNER TO vault_etl_owner"
    )
    found = {row["check"]: row for row in vault.run("audit", "doctor").lines}
    vault.sql("DROP TABLE vault_etl_detached.hidden")
    assert "hidden" in found["partitions"]["detail"]


def test_a_rotation_of_tokens_says_who_would_mix_them(vault: Vault) -> None:
    """Before it makes a key: a subscriber would get new tokens into the column of its old ones."""
    vault.sql("CREATE PUBLICATION elsewhere FOR TABLE user_logins")
    refused = vault.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    vault.sql("DROP PUBLICATION elsewhere")
    assert (refused.code, "publication elsewhere" in refused.stderr) == (78, True)
    assert vault.sql("SELECT max(generation) FROM data_keys") == [(1,)]


def test_a_month_of_old_tokens_is_not_attached(vault: Vault) -> None:
    """Detached, and then the tokens were rotated: the command says how many, and Postgres refuses it by hand too."""
    month = this_month(vault)
    vault.ok("admin", "partitions", "detach", month, *WHY)
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    for dry_run in ((), ("--dry-run",)):
        refused = vault.run("admin", "partitions", "attach", month, *WHY, *dry_run)
        assert refused.code == 78
        assert "3 rows have tokens of generation 1, and generation 2 is active" in refused.stderr
    ((bounds,),) = vault.sql("SELECT format('FROM (%L) TO (%L)', first, until) FROM closed_months")
    with pytest.raises(psycopg2.errors.DatatypeMismatch, match="tokens_of_one_generation"):
        vault.sql(
            "ALTER TABLE user_logins ATTACH PARTITION"
            f" vault_etl_detached.{table(month)} FOR VALUES {bounds}"
        )
    assert months(vault)[table(month)] == "detached"


def test_a_month_under_a_destroyed_key_is_not_attached(vault: Vault) -> None:
    """The error has the number of values that cannot be opened, and nothing is changed."""
    month = this_month(vault)
    vault.ok("admin", "partitions", "detach", month, *WHY)
    ((key_id,),) = vault.sql(
        f"SELECT min(ciphertext_key_id(ip_ciphertext)) FROM vault_etl_detached.{table(month)}"  # noqa: S608
    )
    states = "SET session_replication_role = replica; UPDATE data_keys SET state = %s"
    vault.sql(states + ", wrapped_key = NULL WHERE key_id = %s", "destroyed", key_id)
    refused = vault.run("admin", "partitions", "attach", month, *WHY)
    assert refused.code == 78
    assert f"sealed under data key {key_id}, which was destroyed" in refused.stderr
    assert months(vault)[table(month)] == "detached"


@pytest.mark.parametrize("role", ["ingest", "erase", "re-encrypt"])
def test_the_owner_alone_moves_months(vault: Vault, role: str) -> None:
    """Exit 77 for every other login."""
    assert vault.run(role, "partitions", "list").code == 77
    assert vault.run(role, "partitions", "ensure").code == 77
