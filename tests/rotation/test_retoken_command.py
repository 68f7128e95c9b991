"""`vault-etl partitions retoken`: a month that was detached before a cut-over gets current tokens."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.kit.declarations import IN_FORCE
from tests.kit.events import event
from tests.kit.months import WHY, table, this_month
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from tests.rotation.events import dated_events, load_file

RECORDS = 30
RETOKEN = ("partitions", "retoken")


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A detached month of records that share addresses, beside attached months, after a rotation of the token keys."""
    home = tmp_path_factory.mktemp("retoken")
    bodies = [
        event(user_id=f"u-{n}", ip=f"198.51.100.{n // 2}", device_id=f"dev-{n // 3}")
        for n in range(RECORDS)
    ]
    with filled_vault(keyed, home, bodies) as filled:
        load_file(filled, dated_events(4, 1, prefix="before", back=1))
        filled.ok("admin", "partitions", "detach", this_month(filled), *WHY)
        filled.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
        yield filled


def detached(vault: Vault) -> str:
    """The month's table."""
    return f"vault_etl_detached.{table(this_month(vault))}"


def counts(vault: Vault) -> dict[int, int]:
    """The counts of rows of closed months for each generation of tokens."""
    return dict(
        vault.sql(
            "SELECT id::int, sum(held)::int FROM detached_values WHERE field = 'token' AND held <> 0 GROUP BY 1"
        )
    )


def damage(vault: Vault, user: str) -> uuid.UUID:
    """Give a row of this user the token of another value."""
    ((record_id,),) = vault.sql(
        f"UPDATE {detached(vault)} SET masked_ip = gen_random_uuid() WHERE user_id = %s RETURNING record_id",  # noqa: S608
        user,
    )
    assert isinstance(record_id, uuid.UUID)
    return record_id


def old_key(vault: Vault) -> str:
    """A token key of generation 1."""
    ((key_id,),) = vault.sql("SELECT min(key_id) FROM data_keys WHERE generation = 1")
    return str(key_id)


def test_the_refusal_to_attach_names_the_command(vault: Vault) -> None:
    """So does the refusal to destroy the month's generation: the month can still get new tokens."""
    month = this_month(vault)
    refused = vault.run("admin", "partitions", "attach", month, *WHY)
    assert (refused.code, "partitions retoken" in refused.stderr) == (78, True)
    assert counts(vault) == {1: RECORDS}
    for dry_run in ((), ("--dry-run",)):
        kept = vault.run("re-encrypt", "keys", "destroy", old_key(vault), "--yes", *dry_run)
        assert kept.code == 78
        assert f"{RECORDS} rows with its tokens in months that are not attached" in kept.stderr
        assert "partitions retoken" in kept.stderr


def test_a_detached_month_blocks_no_rotation(vault: Vault) -> None:
    """Old tokens leave the table, their keys stay for the month, and the tokens are rotated again: two ahead."""
    kept = "SELECT count(*) FROM user_logins WHERE next_token_generation = 1"
    assert vault.sql(kept) == [(0,)], "by the command that was refused"
    vault.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    assert vault.sql(
        "SELECT DISTINCT token_generation, next_token_generation FROM user_logins"
    ) == [(3, 2)]
    forged = (
        f"CALL commit_keys_destroy(gen_random_uuid(), 'a', 'h', %s::bigint[], {IN_FORCE}, NULL)"
    )
    vault.sql(forged, [int(old_key(vault))], role="rotate")
    states = (
        "SELECT DISTINCT generation::int, state FROM data_keys WHERE purpose = 'token' ORDER BY 1"
    )
    assert vault.sql(states) == [(1, "decrypt_only"), (2, "decrypt_only"), (3, "active")]
    again = vault.run("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    assert (again.code, "keys destroy" in again.stderr) == (78, True)


def test_a_dry_run_counts_and_changes_nothing(vault: Vault) -> None:
    """The count has rows and their generations; only the role that opens values may run it."""
    month = this_month(vault)
    before = vault.sql("SELECT count(*) FROM audit_log")
    plan = vault.ok("re-encrypt", *RETOKEN, month, "--dry-run").json
    assert plan == {
        "partition": table(month),
        "generation": 3,
        "old_generations": {"1": RECORDS},
        "rows_retokened": 0,
        "rows_left_out": 0,
        "rows_remaining": RECORDS,
    }
    assert vault.sql("SELECT count(*) FROM audit_log") == before
    assert counts(vault) == {1: RECORDS}
    for role in ("rotate", "reveal", "ingest", "erase"):
        refused = vault.run(role, *RETOKEN, month, *WHY)
        assert refused.code == 77
    assert (vault.run("re-encrypt", *RETOKEN, "2001-01", *WHY)).code == 66
    needs_reason = vault.run("re-encrypt", *RETOKEN, month, "--yes")
    assert (needs_reason.code, "--reason" in needs_reason.stderr) == (2, True)


def test_rows_that_do_not_agree_are_left_and_named(vault: Vault) -> None:
    """All other rows are done and counted, and the entry of each range has its number of rows and their keys."""
    planted = [damage(vault, user) for user in ("u-1", "u-2")]
    done = vault.run("re-encrypt", *RETOKEN, this_month(vault), *WHY)
    assert done.code == 65
    assert "2 rows" in done.stderr
    assert all(str(record_id) in done.stderr for record_id in planted)
    assert "--leave-out" in done.stderr
    assert counts(vault) == {1: 2, 3: RECORDS - 2}
    entries = vault.sql(
        "SELECT action, phase, decision, reason, ticket FROM audit_log WHERE login = 'test_re_encrypt'"
        " AND (action = 'partitions retoken' OR (action = 'keys range' AND seq > ("
        "   SELECT max(seq) FROM audit_log WHERE action = 'keys cut-over'))) ORDER BY seq"
    )
    run, claim, opened, outcome = entries
    name = table(this_month(vault))
    assert run[:4] == ("partitions retoken", "intent", "allowed", f"{name}: a test asks")
    assert claim[:3] == ("keys range", "intent", "allowed")
    assert claim[3].startswith(f"rows of {name} from ")
    assert opened[:3] == ("keys range", "outcome", "done")
    assert opened[3].startswith(f"{RECORDS} rows, under data keys ")
    assert outcome[:3] == ("partitions retoken", "outcome", "failed")
    assert vault.sql("SELECT count(*) FROM key_rotations") == [(0,)]


def test_a_row_that_is_left_out_has_no_token(vault: Vault) -> None:
    """The log has the number of rows; a name of rows that agree with their tokens changes no row."""
    ((record_id,),) = vault.sql(f"SELECT record_id FROM {detached(vault)} WHERE user_id = 'u-1'")  # noqa: S608
    again = vault.run(
        "re-encrypt", *RETOKEN, this_month(vault), *WHY, "--leave-out", str(record_id)
    )
    assert (again.code, "1 rows" in again.stderr) == (65, True)
    done = vault.ok(
        "re-encrypt", *RETOKEN, this_month(vault), *WHY, "--leave-out", "login=test_ingest"
    ).json
    assert (done["rows_retokened"], done["rows_left_out"], done["rows_remaining"]) == (0, 1, 0)
    assert counts(vault) == {3: RECORDS}
    names = vault.sql(
        "SELECT reason FROM audit_log WHERE action = 'partitions retoken' AND decision = 'done'"
        " AND reason LIKE 'leave out of generation 3 %%' ORDER BY seq"
    )
    assert [reason.rsplit(": ", 2)[1:] for (reason,) in names] == [
        [str(record_id), "1 records"],
        ["login=test_ingest", "1 records"],
    ]


def test_the_month_fits_again_and_the_old_generation_ends(vault: Vault) -> None:
    """Equal values have equal tokens in all months, every count is right, and each value opens to its token."""
    month = this_month(vault)
    again = vault.ok("re-encrypt", *RETOKEN, month, *WHY)
    assert (again.json["rows_remaining"], "all rows have tokens" in again.stderr) == (0, True)
    destroyed = vault.ok("re-encrypt", "keys", "destroy", old_key(vault), "--yes").json
    assert len(destroyed["destroyed"]) == 2
    assert vault.ok("admin", "partitions", "attach", month, *WHY).json["state"] == "attached"
    vault.send([event(user_id="new", ip="198.51.100.5", device_id="dev-1")])
    vault.ok("ingest", "ingest")
    vault.ok("audit", "doctor", "--deep")
    vault.ok("audit", "audit", "verify")
    found = vault.ok(
        "reveal", "find", "--field", "ip", "--reason", "a test asks", stdin="198.51.100.5\n"
    )
    of = "SELECT array_agg(user_id ORDER BY user_id) FROM user_logins WHERE record_id::text = ANY (%s)"
    assert vault.sql(of, re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", found.stdout)) == [
        (["new", "u-10", "u-11"],)
    ]
    shared = vault.sql(
        "SELECT count(*), count(DISTINCT masked_ip), count(DISTINCT masked_device_id) FROM user_logins"
        " WHERE masked_ip IS NOT NULL AND user_id NOT LIKE 'before-%%'"
    )
    assert shared == [(RECORDS - 1, 15, 10)]
    ((record_id,),) = vault.sql("SELECT record_id FROM user_logins WHERE user_id = 'u-10'")
    shown = vault.ok("reveal", "reveal", str(record_id), "--reason", "a test asks")
    assert "198.51.100.5" in shown.stdout
