"""`audit_disclose` for an attacker with the reveal role: the intent must be committed first, in another transaction."""

from __future__ import annotations

import uuid

import pytest

from tests.audit.disclose.taking import Denied, take
from tests.kit.entries import (
    APPEND,
    RELEASE,
    append_committed,
    append_open,
)
from tests.kit.scratch import Scratch
from vault_etl.records.messages import SealedRecord


def test_a_disclosure_that_is_rolled_back_gives_only_the_same_again(
    shared: Scratch, record: SealedRecord
) -> None:
    """A rollback gives the same values under the same committed intent again, and no others."""
    seq = append_committed(shared, record_id=record.record_id, fields=["ip"])
    for _ in range(2):
        with shared.connect("reveal") as opened, opened.cursor() as cursor:
            cursor.execute(RELEASE, (seq,))
            assert [field for field, _ in cursor.fetchall()] == ["ip"]
            opened.rollback()
    assert shared.value("SELECT count(*) FROM audit_log WHERE seq = %s", seq) == 1


@pytest.mark.parametrize(
    "between",
    [
        "SELECT 1",
        "SAVEPOINT a",
        "SAVEPOINT a; RELEASE SAVEPOINT a",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET LOCAL ROLE vault_etl_reveal",
    ],
)
def test_an_intent_of_the_same_transaction_discloses_nothing(
    shared: Scratch, record: SealedRecord, between: str
) -> None:
    """A transaction that appends and discloses could be rolled back afterwards, so it is refused."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute(between)
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_intent_of_a_subtransaction_discloses_nothing(
    shared: Scratch, record: SealedRecord
) -> None:
    """A savepoint around the intent, ended before, makes no other transaction."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute("RELEASE SAVEPOINT a")
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_a_single_statement_that_appends_and_discloses_is_refused(
    shared: Scratch, record: SealedRecord
) -> None:
    """A SELECT that appends and discloses by a LATERAL join is one transaction."""
    with shared.connect("admin") as opened, opened.cursor() as cursor, pytest.raises(Denied):
        cursor.execute(
            f"WITH a AS MATERIALIZED (SELECT seq FROM vault_etl.{APPEND}))"  # noqa: S608
            " SELECT r.* FROM a, vault_etl.audit_disclose(a.seq) AS r",
            {
                **dict.fromkeys(("purpose", "ticket", "error_code", "amount")),
                "request_id": uuid.uuid4(),
                "record_id": record.record_id,
                "phase": "intent",
                "action": "reveal",
                "decision": "allowed",
                "fields": ["ip"],
                **dict.fromkeys(("actor", "host", "reason"), "x"),
            },
        )


def test_a_cursor_opened_before_the_commit_gives_nothing(
    shared: Scratch, record: SealedRecord
) -> None:
    """A holdable cursor over the disclosure is materialised at the COMMIT, which is refused."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute(f"DECLARE held CURSOR WITH HOLD FOR {RELEASE}", (seq,))
        with pytest.raises(Denied):
            opened.commit()


def test_an_intent_that_is_rolled_back_discloses_nothing(
    shared: Scratch, record: SealedRecord
) -> None:
    """An entry that was rolled back is not an intent; the next entry gets its seq."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        opened.rollback()
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_uncommitted_intent_discloses_nothing(shared: Scratch, record: SealedRecord) -> None:
    """A second session cannot use the intent of the open transaction of the first."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        with pytest.raises(Denied):
            take(shared, seq)
