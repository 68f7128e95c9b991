"""`keys destroy` through the real command: refused while anything needs the key, and final then."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.kit.denials import denied
from tests.kit.events import events
from tests.kit.generations import KEPT, SWAPPED, begin, reveal_all, send_and_wait
from tests.kit.processes import fails, finish, start, terminal
from tests.kit.vault import Vault
from tests.kit.vaults import copied
from tests.kit.waiting import until

STATE = "SELECT state, wrapped_key IS NULL, destroyed_at IS NULL FROM data_keys WHERE key_id = %s"
LEFT = ("decrypt_only", False, True)
GONE = ("destroyed", True, False)


@pytest.fixture(scope="module")
def of_two_generations(three: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The same with two records more, after a cut-over: three have only old tokens, two have both. To be copied."""
    with copied(three, tmp_path_factory.mktemp("two")) as vault:
        begin(vault)
        vault.renew_queue()
        vault.send(events(2))
        vault.ok("ingest", "ingest")
        vault.sql(SWAPPED)
        yield vault


@pytest.fixture
def cut_over(of_two_generations: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A copy of it, and an empty queue."""
    with copied(of_two_generations, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.mark.parametrize("role", ["rotate", "re-encrypt"])
def test_a_key_that_nothing_needs_is_destroyed(filled: Vault, role: str) -> None:
    """Its bytes are gone, the entry stands, what was sealed under it before opens under another."""
    key_id, revealed = data_key(filled, "ip"), reveal_all(filled)
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    result = filled.ok(role, "keys", "destroy", str(key_id), "--yes")
    assert result.json == {"destroyed": [key_id], "rows_cleared": 0}
    assert KEPT in result.stderr
    assert filled.sql(STATE, key_id) == [GONE]
    assert reveal_all(filled) == revealed
    (intent, outcome) = filled.sql(
        "SELECT phase, decision, reason, fields::text, login FROM audit_log"
        " WHERE action = 'keys destroy' ORDER BY seq"
    )
    said = (f"data key {key_id} of ip", "{ip}", f"test_{role.replace('-', '_')}")
    assert (intent, outcome) == (("intent", "allowed", *said), ("outcome", "done", *said))
    assert filled.ok("audit", "audit", "verify").json["ok"]


def test_the_end_is_on_disk_when_it_is_reported(filled: Vault) -> None:
    """Whatever the server does otherwise: a crash must not bring the bytes back."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    filled.sql(f'ALTER DATABASE "{filled.database}" SET synchronous_commit = off')
    filled.sql(
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " NEW.destroyed_at := CASE current_setting('synchronous_commit') WHEN 'on' THEN now() END;"
        " RETURN NEW; END $$"
    )
    filled.sql(
        "CREATE TRIGGER told BEFORE UPDATE ON data_keys FOR EACH ROW EXECUTE FUNCTION told()"
    )
    filled.ok("rotate", "keys", "destroy", str(key_id), "--yes")
    assert filled.sql(STATE, key_id) == [GONE]


def test_a_second_time_there_is_nothing_left(filled: Vault) -> None:
    """Exit 0, says so, and is no entry; --quiet says nothing."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    first = filled.ok("rotate", "keys", "destroy", str(key_id), "--yes", "--quiet")
    assert KEPT not in first.stderr
    entries = filled.count("audit_log")
    again = filled.ok("rotate", "keys", "destroy", str(key_id))
    assert again.json == {"destroyed": [], "rows_cleared": 0}
    assert "already destroyed" in again.stderr
    assert filled.count("audit_log") == entries


@pytest.mark.parametrize(
    ("field", "count"), [("ip", "3 values of records"), ("quarantine", "1 quarantined bodies")]
)
@pytest.mark.parametrize("args", [("--yes",), ("--dry-run",)], ids=lambda args: args[0])
def test_what_is_sealed_under_it_keeps_it(
    filled: Vault, field: str, count: str, args: tuple[str, ...]
) -> None:
    """Exit 78 with the count, and what to do; of a retired key, which keeps its bytes."""
    key_id = data_key(filled, field)
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    result = filled.run("rotate", "keys", "destroy", str(key_id), *args)
    fails(result, 78, f"data key {key_id} of {field} is needed: {count}")
    assert "keys rotate" in result.stderr.splitlines()[-1]
    assert filled.sql(STATE, key_id) == [LEFT]
    failed = filled.sql("SELECT error_code FROM audit_log WHERE decision = 'failed'")
    assert failed == ([] if args == ("--dry-run",) else [("failed",)])


def test_a_value_in_another_fields_place_keeps_it_too(filled: Vault) -> None:
    """A moved value does not open, but the key that sealed it is still needed."""
    key_id = data_key(filled, "quarantine")
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    filled.sql(
        "WITH body AS (UPDATE quarantine AS q SET body_ciphertext = NULL FROM quarantine AS old"
        " WHERE old.record_id = q.record_id RETURNING old.body_ciphertext)"
        " UPDATE user_logins SET device_id_ciphertext = body.body_ciphertext FROM body"
    )
    fails(filled.run("rotate", "keys", "destroy", str(key_id), "--yes"), 78, "3 values of records")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_a_running_lease_keeps_it(filled: Vault) -> None:
    """An active key may gain a row at any time, though it has none now."""
    key_id = data_key(filled, "ip")
    filled.sql("UPDATE user_logins SET ip_ciphertext = NULL")
    for args in ("--yes", "--dry-run"):
        result = filled.run("rotate", "keys", "destroy", str(key_id), args)
        fails(result, 78, "is needed: 1 running lease")
    assert filled.sql(STATE, key_id) == [("active", False, True)]


def test_a_lease_that_is_over_does_not(filled: Vault) -> None:
    """By the database's clock. It is retired first, which its rows' count depends on."""
    key_id = expired_key(filled)
    planned = filled.ok("rotate", "keys", "destroy", str(key_id), "--dry-run").json
    assert filled.sql(STATE, key_id) == [("active", False, True)]
    assert filled.ok("rotate", "keys", "destroy", str(key_id), "--yes").json == planned
    assert planned == {"destroyed": [key_id], "rows_cleared": 0}
    assert filled.sql(STATE, key_id) == [GONE]


def test_an_expired_key_that_is_needed_stays_retired(filled: Vault) -> None:
    """No process may write under the key any more; the values that it sealed still need it."""
    key_id = expired_key(filled)
    stored = b"\x01" + key_id.to_bytes(4, "big") + bytes(44)
    filled.sql("UPDATE user_logins SET device_id_ciphertext = %s", stored)
    fails(filled.run("rotate", "keys", "destroy", str(key_id), "--yes"), 78, "3 values")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_an_unknown_key_is_not_found(filled: Vault) -> None:
    """Exit 66; an id that is none is a usage error."""
    fails(filled.run("rotate", "keys", "destroy", "1", "--yes"), 66, "there is no key 1")
    for bad in ("0", "-1", str(2**32), "x", ""):
        assert filled.run("rotate", "keys", "destroy", bad, "--yes").code == 2


def test_a_row_under_a_destroyed_key_is_not_revealed(filled: Vault) -> None:
    """Made by hand, past every check: 65, and no value."""
    key_id = data_key(filled, "ip")
    filled.ok("rotate", "keys", "rotate", "--lazy", "--yes")
    filled.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s", key_id
    )
    ((record_id,),) = filled.sql("SELECT record_id::text FROM user_logins LIMIT 1")
    result = filled.run("reveal", "reveal", record_id, "--reason", "a test")
    assert (result.code, result.stdout) == (65, "")
    assert f"vault-etl: error: key {key_id} is destroyed" in result.stderr


# --- Token keys ---


def test_a_generation_goes_as_a_whole_with_its_old_tokens(cut_over: Vault) -> None:
    """Both keys, and next_… of every row that had it; today's tokens, and all values, stay."""
    first, second = token_keys(cut_over, 1), token_keys(cut_over, 2)
    tokens = cut_over.sql(
        "SELECT record_id, masked_ip, masked_device_id FROM user_logins ORDER BY 1"
    )
    planned = cut_over.ok("rotate", "keys", "destroy", str(first[0]), "--dry-run").json
    assert planned == {"destroyed": first, "rows_cleared": 5}
    assert cut_over.sql(STATE, first[0]) == [LEFT]
    assert cut_over.ok("rotate", "keys", "destroy", str(first[0]), "--yes").json == planned
    assert [cut_over.sql(STATE, key_id) for key_id in first] == [[GONE], [GONE]]
    assert {cut_over.sql(STATE, key_id)[0][0] for key_id in second} == {"active"}
    assert cut_over.sql(
        "SELECT DISTINCT next_masked_ip, next_masked_device_id, next_token_generation FROM user_logins"
    ) == [(None, None, None)]
    assert tokens == cut_over.sql(
        "SELECT record_id, masked_ip, masked_device_id FROM user_logins ORDER BY 1"
    )
    again = cut_over.ok("rotate", "keys", "destroy", str(first[1]), "--yes").json
    assert again == {"destroyed": [], "rows_cleared": 0}


def test_a_generation_that_is_in_use_is_refused(filled: Vault) -> None:
    """Active and pending ones; nothing is cleared."""
    begin(filled)
    filled.send(events(2))
    filled.ok("ingest", "ingest")
    for generation, state in ((1, "active"), (2, "pending")):
        for args in ("--yes", "--dry-run"):
            key_id = token_keys(filled, generation)[0]
            result = filled.run("rotate", "keys", "destroy", str(key_id), args)
            fails(result, 78, f"generation {generation} of the token keys", f"is {state}")
            assert "keys rotate --tokens" in result.stderr
    assert filled.sql("SELECT count(next_masked_ip) FROM user_logins") == [(2,)]


def test_a_generation_that_rows_have_tokens_of_is_refused(cut_over: Vault) -> None:
    """With the count, and before any old token is taken away."""
    cut_over.sql("UPDATE user_logins SET token_generation = 1 WHERE token_generation = 2")
    key_id = token_keys(cut_over, 1)[0]
    result = cut_over.run("rotate", "keys", "destroy", str(key_id), "--yes")
    fails(result, 78, "generation 1 of the token keys", "is needed: 2 rows with its tokens")
    assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(5,)]
    assert cut_over.sql(STATE, key_id) == [LEFT]


def test_killed_half_way_it_is_finished_by_the_next_run(cut_over: Vault) -> None:
    """While it waits for a row in the middle of clearing; then the rest goes."""
    key_id = token_keys(cut_over, 1)[0]
    with holding(cut_over, "SELECT FROM user_logins FOR UPDATE"):
        process = start(cut_over, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(cut_over, process)
        process.kill()
        process.communicate()
        assert cut_over.sql(STATE, key_id) == [LEFT]
    report = cut_over.ok("rotate", "keys", "destroy", str(key_id), "--yes").json
    assert report["destroyed"] == token_keys(cut_over, 1)
    assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(0,)]
    # Not `ok`: this fixture has cut over by hand, which no entry explains.
    unfinished = cut_over.run("audit", "audit", "verify").json["unfinished"]
    assert len(unfinished) == 1


def test_old_tokens_go_behind_the_fence(cut_over: Vault) -> None:
    """A cut-over or a beginning rotation, which hold it, have no row change under them."""
    key_id = token_keys(cut_over, 1)[0]
    with holding(cut_over, "LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE"):
        process = start(cut_over, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(cut_over, process)
        assert cut_over.sql("SELECT count(next_masked_ip) FROM user_logins") == [(5,)]
    assert finish(process).json["rows_cleared"] == 5


# --- Others at the same time ---


def test_a_worker_keeps_its_key(quick: Vault) -> None:
    """While its lease runs the key stays; once it is retired and its rows sealed anew, it goes."""
    quick.set_policy({"reveals_an_hour": 100, "purposes": {}})
    extra = {"VAULT_ETL_FOLLOW_WAIT": "0", "VAULT_ETL_LINGER": "0.2"}
    ingest = start(quick, "ingest", "ingest", "--follow", extra=extra)
    send_and_wait(quick, ingest, 20)
    key_id = data_key(quick, "ip")
    refused = quick.run("rotate", "keys", "destroy", str(key_id), "--yes")
    fails(refused, 78, "20 values of records, 1 running lease")
    send_and_wait(quick, ingest, 40)
    assert data_key(quick, "ip") == key_id
    quick.ok("re-encrypt", "keys", "rotate", "--yes")
    assert quick.ok("rotate", "keys", "destroy", str(key_id), "--yes").json["destroyed"] == [key_id]
    send_and_wait(quick, ingest, 60)
    ingest.terminate()
    assert finish(ingest).json["stored"] == 60
    assert len(reveal_all(quick)) == 60


def test_a_batch_that_passed_the_fence_is_waited_for(filled: Vault) -> None:
    """Its row is committed before the count: the lease ran out in between, and the key is needed."""
    key_id = expired_key(filled)
    stored = b"\x01" + key_id.to_bytes(4, "big") + bytes(44)
    with holding(filled, "LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE") as cursor:
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        cursor.execute("UPDATE user_logins SET ip_ciphertext = %s", (stored,))
    fails(finish(process), 78, "3 values of records")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_the_end_waits_for_the_fence(filled: Vault) -> None:
    """The state changes behind it, as every change of a key does."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    with holding(filled, "LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE"):
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        assert filled.sql(STATE, key_id) == [LEFT]
    assert finish(process).json["destroyed"] == [key_id]


def test_loaders_go_on_while_it_counts(filled: Vault) -> None:
    """The count is held up by another's lock on the table, and an ingest passes the fence meanwhile."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    with holding(filled, "LOCK TABLE public.quarantine IN ACCESS EXCLUSIVE MODE"):
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        filled.send(events(2))
        assert filled.ok("ingest", "ingest").json["stored"] == 2
        assert process.poll() is None
    assert finish(process).json["destroyed"] == [key_id]


# --- Who, and asking ---


@pytest.mark.parametrize("role", ["reveal", "ingest", "audit", "erase", "analyst"])
def test_other_roles_may_not(filled: Vault, role: str) -> None:
    """Exit 77 whatever the id is, on the record where the login may write it."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    for asked in (key_id, 1):
        entries = filled.count("audit_log")
        fails(filled.run(role, "keys", "destroy", str(asked), "--yes"), 77, "login")
        expected = [("keys destroy", "role")] if role == "reveal" else []
        assert denied(filled, entries) == expected
    assert filled.sql(STATE, key_id) == [LEFT]


def test_destroy_asks_first(filled: Vault) -> None:
    """Without a terminal it wants --yes; on one it says what goes, and no is 75."""
    key_id = token_keys(filled, 1)[0]
    fails(filled.run("rotate", "keys", "destroy", str(key_id)), 2, "no terminal")
    with terminal(filled, "rotate", "keys", "destroy", str(key_id), columns=200) as shown:
        ids = " and ".join(map(str, token_keys(filled, 1)))
        shown.expect(f"Destroy generation 1 of the token keys ({ids}) and its old tokens for good?")
        shown.type("n")
        assert shown.finish().code == 75
    assert filled.sql("SELECT count(*) FROM audit_log WHERE action = 'keys destroy'") == [(0,)]


def data_key(vault: Vault, field: str) -> int:
    """The id of the one data key of a field that is not retired."""
    ((key_id,),) = vault.sql(
        "SELECT key_id FROM data_keys WHERE purpose = 'data' AND field = %s AND state = 'active'",
        field,
    )
    assert isinstance(key_id, int)
    return key_id


def token_keys(vault: Vault, generation: int) -> list[int]:
    """The ids of a generation's keys, in order."""
    rows = vault.sql("SELECT key_id FROM data_keys WHERE generation = %s ORDER BY 1", generation)
    return [key_id for (key_id,) in rows]


def expired_key(vault: Vault) -> int:
    """The id of an active data key whose lease is over."""
    key_id = uuid.uuid4().int % 2**31 + 1
    vault.sql(
        "INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
        " VALUES (%s, 'ip', 'arn:x', 'wrapped', '8 bytes!', now() - interval '1 second')",
        key_id,
    )
    return key_id


@contextmanager
def holding(vault: Vault, statement: str) -> Iterator[Any]:
    """A transaction of somebody else's, which is committed at the end of the block."""
    with (
        closing(psycopg2.connect(vault.database_url("admin"))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        yield cursor


def waits(vault: Vault, process: subprocess.Popen[str]) -> None:
    """Until somebody waits for a lock in this database."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until(
        lambda: vault.sql(asked) != [(0,)],
        lives=lambda: process.poll() is None,
        told=process.communicate,
    )
