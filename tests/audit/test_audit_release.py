"""`audit_disclose` as an attacker with the reveal role's login meets it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from tests.kit.entries import (
    APPEND,
    NO_QUOTA,
    RELEASE,
    append_both,
    append_committed,
    append_open,
    release,
    stored_record,
    stored_rejection,
)
from tests.kit.fakes.vault import reveal_request
from tests.kit.scratch import Scratch, ciphertext
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.crypto.fields import Field
from vault_etl.records.messages import SealedRecord, SealedRejection
from vault_etl.reveal.postgres import PostgresEntriesAboutRecord

Denied = psycopg2.errors.InsufficientPrivilege


@pytest.fixture(scope="module")
def record(shared: Scratch) -> SealedRecord:
    """A stored record."""
    shared.sql(NO_QUOTA)  # this file reveals more than the default allows
    shared.add_token_keys()
    return stored_record(shared)


@pytest.fixture(scope="module")
def rejection(record: SealedRecord, shared: Scratch) -> SealedRejection:
    """A quarantined message, beside the record."""
    del record
    return stored_rejection(shared)


def take(database: Scratch, seq: int, role: str = "reveal") -> dict[str, bytes]:
    """Release in a new session."""
    with database.connect(role) as opened:
        return release(opened, seq)


@pytest.mark.parametrize("fields", [["ip"], ["device_id"], ["device_id", "ip"], []])
def test_a_committed_intent_releases_what_it_names(
    shared: Scratch, record: SealedRecord, fields: list[str]
) -> None:
    """The ciphertexts of that record and of those fields, and of no other."""
    seq = append_committed(shared, record_id=record.record_id, fields=fields)
    assert take(shared, seq) == {name: record.ciphertexts[Field(name)] for name in fields}


def test_an_intent_discloses_once(shared: Scratch, record: SealedRecord) -> None:
    """A second release of one intent is refused."""
    seq = append_committed(shared, record_id=record.record_id)
    assert take(shared, seq)
    with pytest.raises(Denied, match="was used before"):
        take(shared, seq)


def test_an_intent_discloses_once_to_ten_at_a_time(shared: Scratch, record: SealedRecord) -> None:
    """Of ten sessions that ask at once, one gets the values."""
    seq = append_committed(shared, record_id=record.record_id)

    def got(_: int) -> bool:
        try:
            return bool(take(shared, seq))
        except Denied:
            return False

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(got, range(10))) == 1


def test_a_release_rolled_back_gives_only_the_same_again(
    shared: Scratch, record: SealedRecord
) -> None:
    """Rolling the release back buys the same values under the same committed intent, and no others."""
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
def test_an_intent_of_the_same_transaction_releases_nothing(
    shared: Scratch, record: SealedRecord, between: str
) -> None:
    """Append and take in one transaction, which could be rolled back after: refused."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute(between)
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_intent_of_a_subtransaction_releases_nothing(
    shared: Scratch, record: SealedRecord
) -> None:
    """A savepoint around the intent, released before, makes it no other transaction."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        cursor.execute("SAVEPOINT a")
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute("RELEASE SAVEPOINT a")
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_one_statement_is_one_transaction(shared: Scratch, record: SealedRecord) -> None:
    """Append and release in one SELECT, by a LATERAL join, is refused."""
    with shared.connect("admin") as opened, opened.cursor() as cursor, pytest.raises(Denied):
        cursor.execute(
            f"WITH a AS MATERIALIZED (SELECT seq FROM public.{APPEND}))"  # noqa: S608
            " SELECT r.* FROM a, public.audit_disclose(a.seq) AS r",
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
    """A holdable cursor over the release does not outlive the rule: it is materialised at the COMMIT."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        cursor.execute(f"DECLARE held CURSOR WITH HOLD FOR {RELEASE}", (seq,))
        with pytest.raises(Denied):
            opened.commit()


def test_an_intent_rolled_back_releases_nothing(shared: Scratch, record: SealedRecord) -> None:
    """An entry that was rolled back is not an intent; the next entry gets its seq."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        opened.rollback()
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_intent_not_yet_committed_releases_nothing(
    shared: Scratch, record: SealedRecord
) -> None:
    """A second session cannot take against the open transaction of the first."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(cursor, record_id=record.record_id)
        with pytest.raises(Denied):
            take(shared, seq)


@pytest.fixture
def colleague(shared: Scratch) -> Iterator[str]:
    """A second login with the role reveal, which may make temporary tables too."""
    password = shared.server.passwords.of("test_colleague")
    shared.sql(
        f"CREATE ROLE test_colleague LOGIN PASSWORD '{password}';"
        "GRANT vault_etl_reveal, vault_etl_ingest TO test_colleague"
    )
    yield "colleague"
    shared.sql("DROP ROLE test_colleague")


def test_another_logins_intent_releases_nothing(
    shared: Scratch, record: SealedRecord, colleague: str
) -> None:
    """An intent is its login's own, whatever role both act as."""
    seq = append_committed(shared, record_id=record.record_id)
    with pytest.raises(Denied):
        take(shared, seq, colleague)
    with shared.connect(colleague) as opened, opened.cursor() as cursor:
        cursor.execute("SET ROLE vault_etl_reveal")
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_a_forged_log_in_a_temporary_table_is_not_read(
    shared: Scratch, record: SealedRecord, colleague: str
) -> None:
    """With TEMP, a search path of one's own and tables of our names, the real log decides."""
    seq = append_committed(shared, record_id=record.record_id)
    with shared.connect(colleague) as opened, opened.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE audit_log AS SELECT %s::bigint AS seq, now() AS logged_at,"
            " 'intent' AS phase, 'test_colleague' AS login, %s::uuid AS record_id,"
            " ARRAY['ip', 'device_id'] AS fields, 'allowed' AS decision, 'reveal' AS action;"
            "CREATE TEMP TABLE audit_disclosed (seq bigint);"
            "CREATE TEMP TABLE user_logins (record_id uuid); SET search_path = pg_temp, public",
            (seq, record.record_id),
        )
        opened.commit()
        with pytest.raises(Denied):
            cursor.execute("SELECT * FROM audit_disclose(%s)", (seq,))


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "denied"},
        {"action": "find"},
        {"action": "keys rotate"},
        {"action": "erase"},
    ],
)
def test_only_an_allowed_intent_to_reveal_releases(
    shared: Scratch, record: SealedRecord, changes: dict[str, object]
) -> None:
    """No denied intent, and no intent of another action."""
    seq = append_committed(shared, record_id=record.record_id, **changes)
    with pytest.raises(Denied):
        take(shared, seq)


def test_an_outcome_releases_nothing(shared: Scratch, record: SealedRecord) -> None:
    """Though it is about the same, and committed."""
    with shared.connect("reveal") as opened, opened.cursor() as cursor:
        seq = append_both(cursor, record_id=record.record_id)
        opened.commit()
    with pytest.raises(Denied):
        take(shared, seq)


@pytest.mark.parametrize(("age", "released"), [("59 s", True), ("61 s", False), ("-61 s", False)])
def test_an_intent_lasts_a_minute(
    shared: Scratch, record: SealedRecord, age: str, released: bool
) -> None:
    """After 60 s an intent releases nothing, nor does one from the future."""
    seq = append_committed(shared, record_id=record.record_id)
    shared.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "UPDATE audit_log SET logged_at = clock_timestamp() - %s::interval WHERE seq = %s; COMMIT",
        age,
        seq,
    )
    if released:
        assert take(shared, seq)
    else:
        with pytest.raises(Denied):
            take(shared, seq)


@pytest.mark.parametrize("seq", [0, -1, 10**12, None])
def test_a_seq_that_is_none_releases_nothing(shared: Scratch, seq: int | None) -> None:
    """Unknown numbers and NULL are refused with the same words as another's intent."""
    with pytest.raises(Denied, match="no committed intent of this login"):
        shared.sql(RELEASE, seq, role="reveal")


@pytest.mark.usefixtures("record", "rejection")
@pytest.mark.parametrize("action", ["reveal", "quarantine show"])
def test_an_intent_for_no_record_releases_nothing(shared: Scratch, action: str) -> None:
    """NULL and an unknown id match no row, whatever fields are named."""
    for record_id in (None, uuid.uuid4()):
        seq = append_committed(
            shared, action=action, record_id=record_id, fields=["device_id", "ip", "quarantine"]
        )
        assert take(shared, seq) == {}


def show(shared: Scratch, record_id: uuid.UUID, **changes: object) -> int:
    """An intent to show a quarantined message, changed as told; its seq."""
    intent = {"action": "quarantine show", "fields": ["quarantine"], "record_id": record_id}
    return append_committed(shared, **{**intent, **changes})


def test_an_intent_to_show_releases_the_body_once(
    shared: Scratch, rejection: SealedRejection
) -> None:
    """Of the quarantined message that it names."""
    seq = show(shared, rejection.record_id)
    assert take(shared, seq) == {"quarantine": rejection.body_ciphertext}
    with pytest.raises(Denied, match="was used before"):
        take(shared, seq)


@pytest.mark.parametrize("fields", [[], ["ip"], ["device_id", "ip"]])
def test_an_intent_to_show_that_does_not_name_quarantine_releases_nothing(
    shared: Scratch, rejection: SealedRejection, fields: list[str]
) -> None:
    """The log would not show what was looked at."""
    assert take(shared, show(shared, rejection.record_id, fields=fields)) == {}


def test_the_two_actions_do_not_stand_in_for_each_other(
    shared: Scratch, record: SealedRecord, rejection: SealedRejection
) -> None:
    """A reveal releases no body, and a show no field of a record, even where one id has both rows."""
    every = ["device_id", "ip", "quarantine"]
    body = ciphertext(1)
    shared.sql(
        "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext)"
        " VALUES (%s, 'not_json', '$', %s)",
        record.record_id,
        body,
    )
    seq = append_committed(shared, record_id=record.record_id, fields=every)
    assert set(take(shared, seq)) == {"device_id", "ip"}
    assert take(shared, show(shared, record.record_id, fields=every)) == {"quarantine": body}
    seq = append_committed(shared, record_id=rejection.record_id, fields=every)
    assert take(shared, seq) == {}
    shared.sql("DELETE FROM quarantine WHERE record_id = %s", record.record_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "denied"},
        {"action": "quarantine retry"},
    ],
)
def test_only_an_allowed_intent_to_show_releases_a_body(
    shared: Scratch, rejection: SealedRejection, changes: dict[str, object]
) -> None:
    """No denied intent, and no intent of another action with quarantine."""
    seq = show(shared, rejection.record_id, **changes)
    with pytest.raises(Denied):
        take(shared, seq)


def test_an_intent_to_show_of_the_same_transaction_releases_nothing(
    shared: Scratch, rejection: SealedRejection
) -> None:
    """As with a reveal, it could be rolled back afterwards."""
    with shared.connect("admin") as opened, opened.cursor() as cursor:
        seq = append_open(
            cursor,
            action="quarantine show",
            record_id=rejection.record_id,
            fields=["quarantine"],
        )
        with pytest.raises(Denied):
            cursor.execute(RELEASE, (seq,))


def test_an_erased_body_is_released_as_null(shared: Scratch) -> None:
    """There is nothing to take, and the release says so."""
    record_id = stored_rejection(shared).record_id
    shared.sql("UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s", record_id)
    assert shared.sql(RELEASE, show(shared, record_id), role="reveal") == [("quarantine", None)]


def test_an_erased_value_is_released_as_null(shared: Scratch) -> None:
    """After an erasure there is nothing to take, and the release says so."""
    record = stored_record(shared)
    shared.sql("UPDATE user_logins SET ip_ciphertext = NULL WHERE record_id = %s", record.record_id)
    seq = append_committed(shared, record_id=record.record_id, fields=["ip"])
    assert shared.sql(RELEASE, seq, role="reveal") == [("ip", None)]


def test_every_entry_about_a_record_is_handed_out(shared: Scratch, record: SealedRecord) -> None:
    """However many other logins have put there: none pushes another out, and its own intent is the last."""
    shared.sql(
        "SET session_replication_role = replica; INSERT INTO audit_log SELECT 10000000 - i, now(),"
        " gen_random_uuid(), 'intent', 'test_rotate', NULL, 'a', 'h', 'keys rewrap', %s, '{}', NULL, NULL, 'r',"
        " 'allowed', NULL, sha256(''), sha256(''), '3' FROM generate_series(1, 10500) AS i;"
        "UPDATE audit_head SET seq = 10000000",
        str(record.record_id),
    )
    with shared.database("reveal") as database:
        intent = PostgresAuditLog(database).intend(reveal_request(record.record_id))
        found = PostgresEntriesAboutRecord(database).entries_about(intent)
    assert len(found) >= 10_501
    assert [entry.seq for entry in found] == sorted({entry.seq for entry in found})
    assert found[-1].seq == intent.seq


@pytest.mark.parametrize("role", ["ingest", "rotate", "re-encrypt", "erase", "audit", "analyst"])
def test_no_other_role_takes(shared: Scratch, record: SealedRecord, role: str) -> None:
    """EXECUTE is reveal's alone."""
    seq = append_committed(shared, record_id=record.record_id)
    with pytest.raises(Denied, match="permission denied for function"):
        take(shared, seq, role)
