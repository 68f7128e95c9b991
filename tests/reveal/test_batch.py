"""Many reveals at once, through the real command."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import stat

from tests.kit.many import FORMULA, GENEROUS
from tests.kit.processes import fails
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Result, Vault
from vault_etl.cli.ui.output import utc_text

ASKED = ("--reason", "case 12", "--ticket", "T-12")
LOOKS = """
    FROM audit_log AS l JOIN audit_actions USING (action) LEFT JOIN audit_amounts AS a ON a.seq = l.seq
    WHERE is_access AND action <> 'tokens' AND phase = 'intent' AND decision = 'allowed' AND login = 'test_reveal'
"""


def accesses(vault: Vault) -> int:
    """Return the number of allowed accesses."""
    ((count,),) = vault.sql(f"SELECT coalesce(sum(coalesce(amount, 1)), 0) {LOOKS}")
    return int(count)


def rows(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    return list(csv.DictReader(io.StringIO(text)))


def reveal(vault: Vault, ids: list[str], *args: str) -> Result:
    """Reveal these records."""
    return vault.run("reveal", "reveal", *ASKED, *args, stdin="\n".join(ids))


def test_more_than_the_quota_has_left_is_refused_before_the_first(
    limited: Vault, ids: list[str]
) -> None:
    """Exit 77, with how many are left and since when all are there again; `--limit` takes those."""
    limited.set_policy({**GENEROUS, "reveals_an_hour": accesses(limited) + 2})
    before = limited.count("audit_log")
    refused = reveal(limited, ids)
    fails(refused, 77, "the quota has 2 accesses left, and this command needs 3")
    assert "--limit 2" in refused.stderr
    assert limited.count("audit_log") == before
    assert len(reveal(limited, ids, "--limit", "2").lines) == 2
    denied = reveal(limited, ids)
    fails(denied, 77, "quota for one hour is used up")
    assert limited.count("audit_log") == before + 5, "and that is on the record"


def test_a_missing_record_is_named_and_the_others_are_revealed(many: Vault, ids: list[str]) -> None:
    """Exit 66 at the end; what does not open counts for more, exit 65."""
    result = reveal(many, [ids[0], UNKNOWN, ids[2]])
    assert [line["record_id"] for line in result.lines] == [ids[0], ids[2]]
    assert result.code == 66
    assert f"vault-etl: warning: {UNKNOWN}: there is no such record" in result.stderr
    assert "of 3 records 1 do not exist" in result.stderr
    key_ids = "SELECT substring(ip_ciphertext FROM 2 FOR 4) FROM user_logins WHERE record_id = %s"
    ((kept,),) = many.sql(key_ids, ids[0])
    swap = (
        "SET session_replication_role = replica; UPDATE user_logins SET ip_ciphertext ="
        " overlay(ip_ciphertext PLACING %s::bytea FROM 2 FOR 4) WHERE record_id = %s"
    )
    many.sql(swap, b"\1\2\3\4", ids[0])
    try:
        result = reveal(many, [ids[0], UNKNOWN, ids[2]])
    finally:
        many.sql(swap, bytes(kept), ids[0])
    assert [line["record_id"] for line in result.lines] == [ids[2]]
    assert result.code == 65
    assert "of 3 records 1 do not exist and 1 do not open" in result.stderr


def test_evidence_is_complete_and_no_cell_is_a_formula(many: Vault, ids: list[str]) -> None:
    """Record, user, date, values, login, time, reason, ticket and entry, in both forms alike."""
    table = reveal(many, ids, "--output", "csv")
    first, second, third = rows(table.stdout)
    assert list(first) == [
        *("record_id", "user_id", "create_date", "ip", "device_id", "erased", "action", "login"),
        *("time", "reason", "purpose", "ticket", "audit_seq", "audit_hash"),
    ]
    assert [row["record_id"] for row in (first, second, third)] == ids
    assert first["device_id"] == f"'{FORMULA}"
    assert second["device_id"] == "''quoted, with a comma"
    assert third["device_id"] == "a plain one"
    assert (first["user_id"], first["login"]) == ("ann", "test_reveal")
    assert (first["reason"], first["ticket"], first["purpose"]) == ("case 12", "T-12", "")
    seq = int(first["audit_seq"])
    ((logged, digest),) = many.sql(
        "SELECT to_char(logged_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
        " encode(hash, 'hex') FROM audit_log WHERE seq = %s",
        seq,
    )
    assert (first["time"], first["audit_hash"]) == (logged, digest)
    plain, *_ = reveal(many, ids).lines
    assert plain["fields"]["device_id"] == FORMULA
    assert {**plain, "fields": 0}.keys() - first.keys() == {"fields", "checkpoint"}


def test_one_note_is_logged_for_the_batch(many: Vault, ids: list[str]) -> None:
    """One note covers all records, and the log verifies with it."""
    result = reveal(many, ids, "--output", "csv")
    (line,) = [json.loads(line) for line in result.stderr.splitlines()]
    assert line["event"] == "checkpoint"
    assert line["seq"] == int(rows(result.stdout)[-1]["audit_seq"]) + 1


def test_an_erased_value_says_so(many: Vault, ids: list[str]) -> None:
    """Empty and named in `erased`, in both forms; a warning beside the bare values."""
    erased = (
        "SET session_replication_role = replica; UPDATE user_logins SET ip_ciphertext = {},"
        " masked_ip = {} WHERE record_id = %s"
    )
    ((kept, token),) = many.sql(
        "SELECT ip_ciphertext, masked_ip FROM user_logins WHERE record_id = %s", ids[2]
    )
    many.sql(erased.format("NULL", "NULL"), ids[2])
    try:
        (row,) = rows(reveal(many, [ids[2]], "--output", "csv").stdout)
        (line,) = reveal(many, [ids[2]]).lines
        value = reveal(many, [ids[2]], "--output", "value")
        table = reveal(many, [ids[2]], "--output", "table")
    finally:
        many.sql(erased.format("%s", "%s"), kept, token, ids[2])
    assert (row["ip"], row["erased"], row["device_id"]) == ("", "ip", "a plain one")
    assert (line["fields"]["ip"], line["erased"]) == (None, ["ip"])
    assert value.stdout == "\na plain one\n"
    assert f"warning: ip of {ids[2]} is erased" in value.stderr
    assert "ip: (erased)" in table.stdout


def test_resume_skips_what_the_evidence_has(many: Vault, ids: list[str]) -> None:
    """For the owner alone, never written over; a last row that is cut off is made again."""
    file = many.home / "case.csv"
    reveal(many, ids[:2], "--to", "case.csv")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    fails(reveal(many, ids, "--to", "case.csv"), 2, "case.csv exists already")
    other = reveal(many, ids, "--to", "case.csv", "--resume", "--purpose", "other")
    fails(other, 2, "evidence of another request")
    cut = file.read_bytes()[:-40]
    file.write_bytes(cut)
    before = accesses(many)
    done = reveal(many, ids, "--to", "case.csv", "--resume")
    assert done.code == 0, done.stderr
    assert "Keep this receipt" in done.stdout
    assert [row["record_id"] for row in rows(file.read_text())] == ids
    assert accesses(many) == before + 2
    again = reveal(many, ids, "--to", "case.csv", "--resume")
    assert "the file has every record already" in again.stderr
    assert accesses(many) == before + 2
    assert many.run("audit", "audit", "verify", "--quiet").code == 0


def test_a_refused_batch_leaves_no_file(limited: Vault, ids: list[str]) -> None:
    """The same command can run again when the quota allows it."""
    limited.set_policy({**GENEROUS, "reveals_an_hour": accesses(limited) + 1})
    fails(reveal(limited, ids, "--to", "later.json"), 77, "the quota has 1 accesses left")
    assert not (limited.home / "later.json").exists()
    limited.set_policy(GENEROUS)
    assert reveal(limited, ids, "--to", "later.json").code == 0
    lines = [json.loads(line) for line in (limited.home / "later.json").read_text().splitlines()]
    assert [line["record_id"] for line in lines] == ids
    done = limited.run("audit", "audit", "verify", "--checkpoint", "later.json")
    assert done.code == 0, done.stderr


def test_the_reader_sees_the_policy_and_what_is_left(limited: Vault, ids: list[str]) -> None:
    """The auditor sees the policy alone; the printed policy can be set again."""
    limited.set_policy({**GENEROUS, "reveals_an_hour": accesses(limited) + 7})
    reveal(limited, ids[:1])
    shown = limited.ok("reveal", "audit", "policy").json
    quota = shown["your_quota"]["reveals"]
    assert (quota["left"], quota["used"]) == (6, accesses(limited))
    ((oldest, newest),) = limited.sql(f"SELECT min(logged_at), max(logged_at) {LOOKS}")
    hour = dt.timedelta(hours=1)
    assert quota["next_at"] == utc_text(oldest + hour)
    assert quota["reset_at"] == utc_text(newest + hour)
    assert "your_quota" not in limited.ok("audit", "audit", "policy").json
    again = ("audit", "policy", "set", "-", "--reason", "the same")
    made = limited.ok("admin", *again, stdin=json.dumps(shown)).json
    assert made["reveals_an_hour"] == shown["reveals_an_hour"]
    assert limited.run("rotate", "audit", "policy").code == 77
