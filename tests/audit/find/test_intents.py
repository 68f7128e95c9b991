"""`audit_find` for an attacker with the reveal role's login and token keys: one value for each intent."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.audit.find.intents import FIND, NONCE, SEARCH, Denied, bind, find, intent, look
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.entries import append_both
from tests.kit.scratch import Scratch
from vault_etl.records.messages import SealedRecord


def test_a_committed_intent_finds_the_holders_of_its_value(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """The search is by the token, in the field that the intent names and in no other."""
    token = records[0].tokens[IP]
    assert look(session, intent(shared), [token]) == ["ann", "bob"]
    assert look(session, intent(shared, fields=["device_id"]), [token]) == []
    device = records[2].tokens[DEVICE_ID]
    assert look(session, intent(shared), [device]) == []
    assert look(session, intent(shared, fields=["device_id"]), [device]) == ["cyd"]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 65_537},
        {"fields": ["device_id", "ip"]},
        {"fields": []},
        {"action": "reveal"},
        {"action": "quarantine show", "fields": ["quarantine"]},
    ],
)
def test_an_amount_is_of_a_search_or_of_tokens(shared: Scratch, changes: dict[str, object]) -> None:
    """No other entry has an amount, so no intent counts for less than it discloses."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="amount"):
        intent(shared, **{"amount": 2, **changes})
    seq = intent(shared, amount=65_536, reason="x" * 500)
    assert shared.value("SELECT reason FROM audit_log WHERE seq = %s", seq) == (
        f"65536 values: {'x' * 486}"
    )


def test_an_answer_comes_once(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A second answer is refused, and of ten sessions that ask at once, one gets the answer."""
    token, seq = records[0].tokens[IP], intent(shared)
    assert look(session, seq, [token])
    with session.cursor() as opened, pytest.raises(Denied, match="not bound"):
        find(opened, seq, [token])
    session.rollback()
    bind(session, raced := intent(shared), [token])

    def got(_: int) -> bool:
        with shared.connect("reveal") as own, own.cursor() as opened:
            try:
                found = find(opened, raced, [token])
            except Denied:
                return False
            own.commit()
            return bool(found)

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(got, range(10))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "reveal"},
        {"action": "quarantine show"},
        {"decision": "denied"},
    ],
)
def test_only_an_allowed_intent_to_find_finds(
    shared: Scratch, session: connection, records: list[SealedRecord], changes: dict[str, object]
) -> None:
    """An intent of another action, or a denied intent, finds nothing."""
    token = records[0].tokens[IP]
    seq = intent(shared, **changes)
    with pytest.raises(Denied, match="no committed intent"):
        bind(session, seq, [token])
    session.rollback()
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        find(opened, seq, [token])


def test_an_outcome_finds_nothing(session: connection, records: list[SealedRecord]) -> None:
    """An outcome, which ends the access, allows no find."""
    with session.cursor() as opened:
        seq = append_both(opened, action="find", fields=["ip"])
    session.commit()
    with pytest.raises(Denied, match="no committed intent"):
        bind(session, seq, [records[0].tokens[IP]])


@pytest.mark.parametrize("fields", [[], ["device_id", "ip"], ["quarantine"]])
def test_an_intent_finds_in_one_personal_field(
    shared: Scratch, session: connection, records: list[SealedRecord], fields: list[str]
) -> None:
    """The log names the field that was searched: two fields, no field, and quarantine are refused."""
    with pytest.raises(Denied, match="do not fit the values"):
        look(session, intent(shared, fields=fields), [records[0].tokens[IP]])


def test_a_find_discloses_no_record(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """An intent to find that names a record gives no ciphertext of it."""
    seq = intent(shared, record_id=records[0].record_id)
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        opened.execute("SELECT * FROM vault_etl.audit_disclose(%s)", (seq,))


@pytest.mark.parametrize("seq", [0, -1, 10**12, None])
def test_a_find_without_an_intent_is_denied(
    session: connection, records: list[SealedRecord], seq: int | None
) -> None:
    """A number that is not an entry, and NULL, are denied."""
    with session.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
        find(opened, seq, [records[0].tokens[IP]])  # type: ignore[arg-type]


def test_an_intent_is_of_its_login_alone(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """A colleague with the same role can neither bind nor use the intent."""
    token = records[0].tokens[IP]
    seq = intent(shared)
    bind(session, seq, [token])
    password = shared.server.passwords.of("test_finder")
    shared.sql(
        f"CREATE ROLE test_finder LOGIN PASSWORD '{password}'; GRANT vault_etl_reveal TO test_finder"
    )
    try:
        with shared.connect("finder") as own:
            with own.cursor() as opened, pytest.raises(Denied, match="no committed intent"):
                find(opened, seq, [token])
            own.rollback()
            with pytest.raises(Denied, match="no committed intent"):
                bind(own, intent(shared), [token])
    finally:
        shared.sql("DROP ROLE test_finder")


@pytest.mark.parametrize(("age", "found"), [("50 s", True), ("61 s", False), ("-61 s", False)])
def test_an_intent_to_find_lasts_a_minute(
    shared: Scratch, session: connection, records: list[SealedRecord], age: str, found: bool
) -> None:
    """An intent that was bound in time still finds nothing after 60 s."""
    token = records[0].tokens[IP]
    seq = intent(shared)
    bind(session, seq, [token])
    shared.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "UPDATE audit_log SET logged_at = clock_timestamp() - %s::interval WHERE seq = %s; COMMIT",
        age,
        seq,
    )
    with session.cursor() as opened:
        if found:
            assert find(opened, seq, [token])
        else:
            with pytest.raises(Denied, match="no committed intent"):
                find(opened, seq, [token])


def test_a_find_lists_a_thousand_and_counts_all(
    shared: Scratch, session: connection, records: list[SealedRecord]
) -> None:
    """The client's limit does not matter: NULL and 2³¹ - 1 are no way to all rows."""
    many = uuid.uuid4()
    shared.sql(
        "INSERT INTO user_logins (record_id, user_id, device_type, masked_ip, token_generation, create_date)"
        " SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'many', 'ios', %s, 1, '2026-01-31'"
        " FROM generate_series(1, 1002) AS n",
        many,
    )
    del records
    for limit, listed in ((None, 1000), (2**31 - 1, 1000), (3, 3)):
        seq = intent(shared)
        bind(session, seq, [many])
        with session.cursor() as opened:
            opened.execute(FIND, (seq, NONCE, [many], limit))
            rows = opened.fetchall()
        session.commit()
        assert len(rows) == listed
        assert {holders for *_, holders in rows} == {1002}


@pytest.mark.parametrize("role", ["ingest", "rotate", "re-encrypt", "erase", "audit", "analyst"])
@pytest.mark.parametrize("statement", [SEARCH.replace("%s", "1, ''", 1).replace(", %s", ""), FIND])
def test_no_other_role_finds(shared: Scratch, role: str, statement: str) -> None:
    """Only the role reveal has EXECUTE."""
    values = (1, NONCE, [uuid.uuid4()], 1) if statement == FIND else ()
    with pytest.raises(Denied, match="permission denied for function"):
        shared.sql(statement, *values, role=role)
