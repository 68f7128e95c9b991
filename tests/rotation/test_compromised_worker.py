"""A compromised worker stores thousands of rows of noise: one command recovers, and no honest row loses tokens."""

from __future__ import annotations

import datetime as dt
import shlex
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.processes import fails
from tests.kit.sessions import connect
from tests.kit.vault import Result, Vault
from tests.kit.vaults import copied
from tests.kit.waiting import until
from tests.rotation.compromised import Worker, worker
from tests.rotation.contents import contents
from tests.rotation.events import RECORDS
from tests.rotation.kills import rotate, rotating
from tests.rotation.rows import rows
from tests.rotation.watch import Watch

ROWS = 6_000
"""More rows than a page."""

COPIES = 5
"""Rows with a real record's token: so few that all are named."""

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
MARKED = (
    "SELECT count(*) FROM user_logins WHERE next_token_generation = 2 AND next_masked_ip IS NULL"
)


@pytest.fixture(scope="module")
def attacked(rotation_loaded: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A vault whose worker has stored noise under two keys a field, before any rotation: to be copied."""
    with (
        copied(rotation_loaded, tmp_path_factory.mktemp("attacked")) as vault,
        worker(vault) as mallory,
    ):
        mallory.plant(ROWS, mallory.keys(2))
        yield mallory


@pytest.fixture
def mallory(attacked: Worker, tmp_path: Path) -> Iterator[Worker]:
    """A copy of it."""
    with copied(attacked.vault, tmp_path) as vault:
        yield Worker(vault, attacked.login)


def hinted(result: Result) -> list[str]:
    """The addition that the hint of a refused rotation names."""
    (hint,) = [line for line in result.stderr.splitlines() if "hint: " in line]
    return shlex.split(hint[hint.index("--leave-out") :])


def recovers(mallory: Worker, *leave_out: str, left_out: int = ROWS) -> None:
    """All honest rows have the right tokens, the rows of noise have none, and the log says so."""
    vault, planted = mallory.vault, mallory.planted()
    result = vault.run("re-encrypt", "keys", "rotate", "--tokens", "--yes", *leave_out)
    assert result.code == 0, result.stderr
    assert f"{left_out} records are left out of it" in result.stderr
    tokens = vault.sql(
        "SELECT record_id FROM user_logins WHERE num_nonnulls(masked_ip, masked_device_id) > 0"
    )
    assert len(tokens) == RECORDS
    assert not planted & {record_id for (record_id,) in tokens}
    is_honest(vault, mallory.login)


def is_honest(vault: Vault, login: str) -> None:
    """Without the rows of noise, which do not open, all values agree with their tokens."""
    vault.sql("DELETE FROM user_logins WHERE user_id = %s", login)
    found = contents(vault)
    assert found.wrong_tokens == ()
    assert set(found.generations) == {(2, 1)}
    assert sum(found.generations.values()) == RECORDS


def reasons(vault: Vault) -> list[tuple[str, str, str]]:
    """The entries about rows that are left out."""
    return vault.sql(
        "SELECT phase, decision, reason FROM audit_log WHERE reason LIKE 'leave out%' ORDER BY seq"
    )


def test_rows_of_noise_do_not_stop_the_recovery(mallory: Worker) -> None:
    """Exit 65 names the owner of these rows and the option for them. The next rotation exits with 0."""
    vault = mallory.vault
    assert f"{2 * ROWS} values do not open" in rotate(vault).stderr
    result = rotate(vault, "--tokens")
    fails(result, 65, f"no next token in {ROWS} records")
    assert f"{ROWS} of them under keys of {mallory.login}" in result.stderr
    named = {i for i in mallory.planted() if str(i) in result.stderr}
    assert len(named) == 10
    assert not any(
        str(row["id"]) in result.stderr
        for user, row in rows(vault).items()
        if user != mallory.login
    )
    what = hinted(result)
    assert what == ["--leave-out", f"login={mallory.login}"]

    before = (vault.sql("SELECT * FROM user_logins ORDER BY 1"), vault.count("audit_log"))
    reviewed = vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--dry-run", *what)
    review = f"login={mallory.login}: {ROWS} records, under 4 data keys of {mallory.login}"
    assert review in reviewed.stderr
    asked = vault.run("re-encrypt", "keys", "rotate", "--tokens", *what)
    assert asked.code == 2
    assert review in asked.stderr
    assert (vault.sql("SELECT * FROM user_logins ORDER BY 1"), vault.count("audit_log")) == before

    planted = mallory.planted()
    done = vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes", *what)
    assert f"{ROWS} records are left out of it" in done.stderr
    assert done.json["rows_left_out"] == ROWS
    reason = f"leave out of generation 2 of the tokens: login={mallory.login}"
    intent, (phase, decision, came_of_it) = reasons(vault)
    assert intent == ("intent", "allowed", reason)
    assert (phase, decision) == ("outcome", "done")
    assert came_of_it.startswith(f"{reason}, under data keys ")
    assert came_of_it.endswith(f": {ROWS} of {ROWS} records")
    ((cut_over,),) = vault.sql(
        "SELECT reason FROM audit_log WHERE action = 'keys cut-over' AND phase = 'outcome'"
    )
    assert cut_over == f"cut over to generation 2 of the tokens, which leaves out {ROWS} records"
    vault.ok("audit", "audit", "verify")

    old = vault.sql("SELECT key_id FROM data_keys WHERE purpose = 'token' AND generation = 1")
    vault.ok("re-encrypt", "keys", "destroy", str(old[0][0]), "--yes")
    assert vault.sql(
        "SELECT count(*) FROM user_logins WHERE next_token_generation IS NOT NULL"
    ) == [(0,)]
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    tokens = vault.sql("SELECT record_id FROM user_logins WHERE masked_ip IS NOT NULL")
    assert len(tokens) == RECORDS
    assert not planted & {record_id for (record_id,) in tokens}


def test_honest_rows_of_the_same_time_keep_their_tokens(mallory: Worker) -> None:
    """A criterion by time names the keys of the honest load too: its rows are opened, and keep their tokens."""
    vault = mallory.vault
    now = dt.datetime.now(dt.UTC)
    since = (now - dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    what = ("--leave-out", f"since={since},until=2100-01-01T00:00:00+01:00")
    reviewed = vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--dry-run", *what)
    assert f": {ROWS + RECORDS} records, under " in reviewed.stderr
    assert f"{mallory.login}" in reviewed.stderr
    recovers(mallory, *what)
    assert reasons(vault)[-1][-1].endswith(f": {ROWS} of {ROWS + RECORDS} records")


def test_a_name_of_no_row_is_not_found(mallory: Worker) -> None:
    """Exit 66 before any change: another login's keys, another time, an unknown key, an unknown record."""
    vault = mallory.vault
    unknown = uuid.uuid4()
    for what in ("login=unknown", "until=2020-01-01T00:00:00Z", "key=1", str(unknown)):
        result = rotate(vault, "--tokens", "--leave-out", what)
        fails(result, 66, what)
    assert vault.sql("SELECT count(*) FROM data_keys WHERE state = 'pending'") == [(0,)]
    assert reasons(vault) == []


def test_rows_planted_during_the_rotation_are_named_and_left_out(mallory: Worker) -> None:
    """A real record whose token the planted rows copy is not named. One criterion takes all planted rows."""
    vault = mallory.vault
    fails(rotate(vault, "--tokens"), 65, f"no next token in {ROWS} records")
    honest = {user: row for user, row in rows(vault).items() if user != mallory.login}
    late = mallory.keys()
    mallory.plant(ROWS - COPIES, late, pending=2)
    mallory.plant(COPIES, late, pending=2, masked_ip=honest["u-0"]["masked_ip"])
    early = ids_of_keys(mallory, "next_token_generation IS NULL")
    by_key = [word for key_id in early for word in ("--leave-out", f"key={key_id}")]
    result = rotate(vault, "--tokens", *by_key)
    fails(result, 65, f"tokens that do not map one to one, in at least {COPIES} records")
    assert sum(str(i) in result.stderr for i in mallory.planted()) == COPIES
    assert not any(str(row["id"]) in result.stderr for row in honest.values())
    what = hinted(result)
    assert what == ["--leave-out", f"login={mallory.login}"]
    recovers(mallory, *what, left_out=2 * ROWS)


def ids_of_keys(mallory: Worker, condition: str) -> list[int]:
    """The keys of the addresses in the rows that meet this condition."""
    found = mallory.vault.sql(
        f"SELECT DISTINCT ciphertext_key_id(ip_ciphertext) FROM user_logins WHERE user_id = %s AND {condition}",  # noqa: S608
        mallory.login,
    )
    return [key_id for (key_id,) in found]


def test_a_rotation_that_is_killed_half_way_is_finished(mallory: Worker) -> None:
    """After `kill -9` in its last page a run without the name exits with 65, and a run with it finishes."""
    vault = mallory.vault
    fails(rotate(vault, "--tokens"), 65, f"no next token in {ROWS} records")
    what = ("--leave-out", f"login={mallory.login}")
    with closing(connect(vault.database_url("admin"))) as blocking, Watch(vault) as watch:
        with blocking.cursor() as cursor:
            cursor.execute(
                "SELECT FROM user_logins WHERE user_id = %s ORDER BY record_id DESC LIMIT 1 FOR UPDATE",
                (mallory.login,),
            )
        process = rotating(vault, "--tokens", *what)
        try:
            until(lambda: watch.value(WAITING, blocking.info.backend_pid) == 1)
        finally:
            process.kill()
            process.communicate()
    ((done,),) = vault.sql(MARKED)
    assert 0 < done < ROWS
    assert [entry[:2] for entry in reasons(vault)] == [("intent", "allowed")]
    fails(rotate(vault, "--tokens"), 65, f"no next token in {ROWS - done} records")
    recovers(mallory, *what)
