"""`audit_disclose` for an attacker with the reveal role's login: one intent discloses once, and only what it names."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.audit.disclose.taking import Denied, take
from tests.kit.entries import (
    RELEASE,
    append_both,
    append_committed,
    stored_record,
)
from tests.kit.fakes.vault import reveal_request
from tests.kit.scratch import Scratch
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.crypto.fields import FieldName
from vault_etl.records.messages import SealedRecord
from vault_etl.reveal.postgres import PostgresEntriesAboutRecord


@pytest.mark.parametrize("fields", [["ip"], ["device_id"], ["device_id", "ip"], []])
def test_a_committed_intent_discloses_the_fields_that_it_names(
    shared: Scratch, record: SealedRecord, fields: list[str]
) -> None:
    """The ciphertexts are those of that record and of those fields, and no others."""
    seq = append_committed(shared, record_id=record.record_id, fields=fields)
    assert take(shared, seq) == {name: record.ciphertexts[FieldName(name)] for name in fields}


def test_an_intent_discloses_once(shared: Scratch, record: SealedRecord) -> None:
    """A second disclosure under one intent is refused."""
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


def test_an_intent_of_another_login_discloses_nothing(
    shared: Scratch, record: SealedRecord, colleague: str
) -> None:
    """An intent is its login's own, whatever role both logins act as."""
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
            "CREATE TEMP TABLE user_logins (record_id uuid); SET search_path = pg_temp, vault_etl",
            (seq, record.record_id),
        )
        opened.commit()
        with pytest.raises(Denied):
            cursor.execute("SELECT * FROM audit_disclose(%s)", (seq,))
        opened.rollback()
        cursor.execute("DISCARD TEMP")  # the end of the session would drop them after the role
        opened.commit()


@pytest.mark.parametrize(
    "changes",
    [
        {"decision": "denied"},
        {"action": "find"},
        {"action": "keys rotate"},
        {"action": "erase"},
    ],
)
def test_only_an_allowed_intent_to_reveal_discloses(
    shared: Scratch, record: SealedRecord, changes: dict[str, object]
) -> None:
    """A denied intent, and an intent of another action, disclose nothing."""
    seq = append_committed(shared, record_id=record.record_id, **changes)
    with pytest.raises(Denied):
        take(shared, seq)


def test_an_outcome_discloses_nothing(shared: Scratch, record: SealedRecord) -> None:
    """The outcome is about the same record and is committed, and is refused all the same."""
    with shared.connect("reveal") as opened, opened.cursor() as cursor:
        seq = append_both(cursor, record_id=record.record_id)
        opened.commit()
    with pytest.raises(Denied):
        take(shared, seq)


@pytest.mark.parametrize(("age", "released"), [("59 s", True), ("61 s", False), ("-61 s", False)])
def test_an_intent_lasts_a_minute(
    shared: Scratch, record: SealedRecord, age: str, released: bool
) -> None:
    """An intent older than 60 s, or from the future, discloses nothing."""
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
def test_a_seq_that_is_no_entry_discloses_nothing(shared: Scratch, seq: int | None) -> None:
    """Unknown numbers and NULL are refused with the same words as the intent of another login."""
    with pytest.raises(Denied, match="no committed intent of this login"):
        shared.sql(RELEASE, seq, role="reveal")


@pytest.mark.usefixtures("record", "rejection")
@pytest.mark.parametrize("action", ["reveal", "quarantine show"])
def test_an_intent_for_no_record_discloses_nothing(shared: Scratch, action: str) -> None:
    """NULL and an unknown id match no row, whatever fields the intent names."""
    for record_id in (None, uuid.uuid4()):
        seq = append_committed(
            shared, action=action, record_id=record_id, fields=["device_id", "ip", "quarantine"]
        )
        assert take(shared, seq) == {}


def test_an_erased_value_is_disclosed_as_null(shared: Scratch) -> None:
    """After an erasure the field has no ciphertext, and the disclosure says so."""
    record = stored_record(shared)
    shared.sql("UPDATE user_logins SET ip_ciphertext = NULL WHERE record_id = %s", record.record_id)
    seq = append_committed(shared, record_id=record.record_id, fields=["ip"])
    assert shared.sql(RELEASE, seq, role="reveal") == [("ip", None)]


def test_every_entry_about_a_record_is_handed_out(shared: Scratch, record: SealedRecord) -> None:
    """Entries of other logins push no entry out, however many they are, and the own intent is the last."""
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
def test_no_other_role_discloses(shared: Scratch, record: SealedRecord, role: str) -> None:
    """Only the role reveal has EXECUTE."""
    seq = append_committed(shared, record_id=record.record_id)
    with pytest.raises(Denied, match="permission denied for function"):
        take(shared, seq, role)
