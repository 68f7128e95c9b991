"""The records of one user: found, and revealed, through the real command; and what the database lets a client ask."""

from __future__ import annotations

import csv
import uuid
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest

from tests.kit.declared import IP
from tests.kit.fakes.vault import find_request
from tests.kit.many import GENEROUS, used
from tests.kit.processes import fails
from tests.kit.sessions import connect
from tests.kit.vault import Result, Vault
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.platform.postgres import Database
from vault_etl.reveal.find import user_digest

Denied = psycopg2.errors.InsufficientPrivilege
ASKED = ("--reason", "request 17", "--ticket", "DPO-17")
FIND = "SELECT record_id FROM vault_etl.audit_find_user(%s, %s, %s)"
SEARCH = "SELECT vault_etl.audit_search(%s, %s)"
NONCE = bytes(range(32))


def of_user(vault: Vault, command: str, user: str, *args: str) -> Result:
    """Ask for a user's records."""
    return vault.run("reveal", command, "--user-id", user, *ASKED, *args)


def test_a_users_records_are_found_by_one_access(many: Vault, ids: list[str]) -> None:
    """The answer has ids and days; the entry has no field, and does not name the user."""
    before = used(many, "reveals")
    answer = of_user(many, "find", "ann").json
    assert answer["count"] == 2
    assert [record["record_id"] for record in answer["records"]] == sorted(ids[:2], reverse=True)
    assert {(r["device_type"], r["locale"], r["app_version"]) for r in answer["records"]} == {
        ("android", "PH", "2.3.0")
    }
    assert used(many, "reveals") == before + 1
    entries = many.sql("SELECT l::text, fields::text FROM audit_log AS l ORDER BY seq DESC LIMIT 2")
    assert [fields for _, fields in entries] == ["{}", "{}"]
    assert not any("ann" in entry for entry, _ in entries)
    assert of_user(many, "find", "nobody at all").json["count"] == 0
    assert "record id" in of_user(many, "find", "ann", "--output", "table").stdout


def test_a_users_records_are_revealed_as_evidence(limited: Vault, ids: list[str]) -> None:
    """One access finds them and one reveals each, under the quota; `--resume` continues."""
    limited.set_policy({**GENEROUS, "reveals_an_hour": used(limited, "reveals") + 2})
    refused = of_user(limited, "reveal", "ann", "--to", "17.csv")
    fails(refused, 77, "the quota has 1 accesses left, and this command needs 2")
    limited.set_policy(GENEROUS)
    assert of_user(limited, "reveal", "ann", "--to", "17.csv", "--limit", "1").code == 0
    done = of_user(limited, "reveal", "ann", "--to", "17.csv", "--resume")
    assert done.code == 0, done.stderr
    with (limited.home / "17.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["record_id"] for row in rows} == set(ids[:2])
    assert {(row["user_id"], row["ticket"]) for row in rows} == {("ann", "DPO-17")}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("find", "--field", "ip", "--user-id", "ann"), 2, "a --field or a --user-id"),
        (("find",), 2, "a --field or a --user-id"),
        (("reveal", str(uuid.UUID(int=1)), "--user-id", "ann"), 2, "record ids or one"),
        (("reveal", "--user-id", "nobody at all"), 66, "no record of this user"),
    ],
)
def test_what_is_asked_for_is_one_thing(
    many: Vault, args: tuple[str, ...], code: int, words: str
) -> None:
    """A value or a user, ids or a user; and a user who is not there."""
    fails(many.run("reveal", *args, *ASKED, stdin="198.51.100.1"), code, words)


def test_one_entry_is_one_user(many: Vault) -> None:
    """Bound to one by a committed transaction, it answers for no other, and not for a search for a value."""
    database = Database(many.database_url("reveal"))
    log = PostgresAuditLog(database)
    of_value = log.intend(find_request(IP))
    with (
        closing(connect(many.database_url("reveal"))) as session,
        session.cursor() as cursor,
    ):
        cursor.execute(SEARCH, (of_value.seq, user_digest(NONCE, "ann")))
        session.commit()
        with pytest.raises(Denied, match="finds values, not a user"):
            cursor.execute(FIND, (of_value.seq, NONCE, "ann"))
        session.rollback()
        receipt = log.intend(replace(find_request(), fields=()))
        for name in ("ann", "bob"):  # bound and rolled back
            cursor.execute(SEARCH, (receipt.seq, user_digest(NONCE, name)))
            with pytest.raises(Denied, match="not bound to this user"):
                cursor.execute(FIND, (receipt.seq, NONCE, name))
            session.rollback()
        cursor.execute(SEARCH, (receipt.seq, user_digest(NONCE, "ann")))
        session.commit()
        with pytest.raises(Denied, match="not bound to this user"):
            cursor.execute(FIND, (receipt.seq, NONCE, "bob"))
        session.rollback()
        cursor.execute(FIND, (receipt.seq, NONCE, "ann"))
        assert len(cursor.fetchall()) == 2
        session.commit()
        with pytest.raises(Denied, match="not bound to this user"):
            cursor.execute(FIND, (receipt.seq, NONCE, "ann"))
    database.close()
