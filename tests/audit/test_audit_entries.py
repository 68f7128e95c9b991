"""The content of an entry of the audit log, and the logins that may write it: each attack runs as its login."""

from __future__ import annotations

import uuid

import psycopg2
import pytest

from tests.kit.declarations import IN_FORCE
from tests.kit.entries import NO_QUOTA, append_committed, call
from tests.kit.scratch import Scratch
from vault_etl.audit.entries import ACCESS_ACTIONS, Action, one_line
from vault_etl.base.text import HIDDEN

RE_ENCRYPT = {"re-encrypt"}
ROTATE = {"rotate", "re-encrypt"}
APPENDERS: dict[Action, set[str]] = {
    **{look: {"reveal"} for look in ACCESS_ACTIONS},
    Action.KEYS_INIT: RE_ENCRYPT,
    Action.QUARANTINE_RETRY: RE_ENCRYPT,
    Action.PARTITIONS_RETOKEN: RE_ENCRYPT,
    Action.LAKE_ROTATE: RE_ENCRYPT,
    **dict.fromkeys((Action.KEYS_ROTATE, Action.KEYS_REWRAP, Action.KEYS_DESTROY), ROTATE),
}
"""Who may append an action. Those that are not here are written by the functions that do the work."""

CANARY = "canary 4711"
LAST = "SELECT login, action, decision, error_code FROM audit_log ORDER BY seq DESC LIMIT 1"
TEXTS = ("reason", "actor", "host", "purpose", "ticket")


@pytest.fixture(scope="module", autouse=True)
def _many(shared: Scratch) -> None:
    """This file reveals more than the default policy allows."""
    shared.sql(NO_QUOTA)


def refused(database: Scratch, role: str = "reveal", /, **changes: object) -> psycopg2.Error:
    """The error of a refused entry, which leaves the log as it was and shows none of its columns."""
    before = database.sql("SELECT seq, hash FROM audit_head")
    with pytest.raises(psycopg2.Error) as raised:
        append_committed(
            database, role, **{"reason": CANARY, "ticket": CANARY, "host": CANARY, **changes}
        )
    assert database.sql("SELECT seq, hash FROM audit_head") == before
    shown = raised.value.diag
    assert shown.message_detail is None
    assert "canary" not in f"{raised.value}{shown.context}"
    return raised.value


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", ["reveal", "rotate", "re-encrypt"])
def test_a_role_appends_its_own_actions(shared: Scratch, action: Action, role: str) -> None:
    """An intent of another role's action is on the record as denied, whatever it says; its outcome is refused."""
    request_id = uuid.uuid4()
    append_committed(shared, role, action=action.value, request_id=request_id)
    may = role in APPENDERS.get(action, set())
    login = f"test_{role.replace('-', '_')}"
    assert shared.sql(LAST) == [
        (login, action.value, "allowed", None) if may else (login, action.value, "denied", "role")
    ]
    outcome = {"action": action.value, "request_id": request_id, "phase": "outcome"}
    if may:
        append_committed(shared, role, **outcome, decision="done")
    else:
        assert refused(shared, role, **outcome, decision="done").pgcode == "42501"


def test_a_denial_of_the_client_does_not_hide_the_role(shared: Scratch) -> None:
    """The code is the database's: a login without the role is not logged as over the quota."""
    append_committed(shared, "rotate", action="reveal", decision="denied", error_code="quota")
    assert shared.sql(LAST)[0][2:] == ("denied", "role")


def test_the_table_of_actions_is_the_programs(shared: Scratch) -> None:
    """The table has every action of the program, marks the accesses, and cannot be changed."""
    rows = shared.sql("SELECT action, is_access FROM vault_etl.audit_actions")
    assert {a for a, _ in rows} >= set(Action)
    assert {a for a, look in rows if look} == ACCESS_ACTIONS
    for statement in (
        "UPDATE {} SET roles = '{{vault_etl_reveal}}'",
        "DELETE FROM {}",
        "TRUNCATE {}",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append only"):
            shared.sql(statement.format("vault_etl.audit_actions"))


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": uuid.uuid4()},
        {"action": "find"},
        {"record_id": uuid.UUID(int=2)},
        {"record_id": None},
        {"fields": ["ip"]},
        {"fields": ["device_id", "ip", "quarantine"]},
        {"purpose": "another"},
        {"purpose": None},
        {"ticket": "T-2"},
        {"actor": "arn:aws:iam::123456789012:user/other"},
        {"host": "other"},
    ],
)
def test_an_outcome_is_of_its_intent(shared: Scratch, changes: dict[str, object]) -> None:
    """Request, login, action, record, fields, purpose, ticket, person and machine must be those of the intent."""
    intent: dict[str, object] = {"request_id": uuid.uuid4(), "record_id": uuid.UUID(int=1)}
    append_committed(shared, **intent)
    outcome = {"host": "laptop", "ticket": "T-1", "phase": "outcome", "decision": "done"}
    assert refused(shared, **{**intent, **outcome, **changes}).pgcode == "42501"
    append_committed(shared, **intent, phase="outcome", decision="done", fields=["ip", "device_id"])


def test_an_outcome_of_another_logins_intent_is_refused(shared: Scratch) -> None:
    """The role re-encrypt cannot conclude an intent of rotate, and rotate then can."""
    request: dict[str, object] = {"request_id": uuid.uuid4(), "action": "keys rotate"}
    append_committed(shared, "rotate", **request)
    outcome = {**request, "phase": "outcome", "decision": "done"}
    same = {"host": "laptop", "ticket": "T-1"}
    for other in ("re-encrypt", "reveal"):
        assert refused(shared, other, **outcome, **same).pgcode == "42501"
    append_committed(shared, "rotate", **outcome)


def test_a_denied_intent_has_no_outcome(shared: Scratch) -> None:
    """A denied intent led to no work, so it has no outcome."""
    request: dict[str, object] = {"request_id": uuid.uuid4(), "host": "h", "ticket": None}
    append_committed(shared, **request, decision="denied")
    outcome = {**request, "phase": "outcome", "decision": "failed"}
    assert refused(shared, **outcome).pgcode == "42501"


def test_a_request_has_one_entry_a_phase(shared: Scratch) -> None:
    """A second intent, or outcome, of one request is refused, and the error has no column of it."""
    request: dict[str, object] = {"request_id": uuid.uuid4(), "host": "h", "ticket": "T"}
    append_committed(shared, **request)
    append_committed(shared, **request, phase="outcome", decision="done")
    for changes in ({}, {"phase": "outcome", "decision": "failed"}):
        assert refused(shared, **request, **changes).pgcode == "23505"


@pytest.mark.parametrize(
    "changes",
    [
        {"phase": "other"},
        {"phase": None},
        {"decision": "done"},
        {"phase": "outcome", "decision": "allowed"},
        {"decision": None},
        {"actor": ""},
        {"actor": None},
        {"host": "h" * 256},
        {"action": "Reveal"},
        {"action": "reveal\n"},
        {"action": "nonsense"},
        {"action": None},
        {"fields": None},
        {"fields": ["user_id"]},
        {"fields": ["ip", None]},
        {"fields": ["ip", "ip"]},
        {"fields": ["ip"] * 17},
        {"fields": ["ip\nentry 2"]},
        {"fields": [["ip"], ["device_id"]]},
        {"fields": [["ip", "device_id"]]},
        {"purpose": ""},
        {"ticket": "t" * 65},
        {"reason": ""},
        {"reason": "r" * 501},
        {"reason": " canary"},
        {"reason": "canary "},
        {"error_code": "not_found"},
        {"decision": "denied", "error_code": "Not Found"},
        {"decision": "denied", "error_code": None},
        {"request_id": None},
    ],
)
def test_a_malformed_entry_is_refused(shared: Scratch, changes: dict[str, object]) -> None:
    """Phases, decisions, actions, fields and lengths are checked before a row is made, and nothing is appended."""
    assert refused(shared, **changes).pgcode == "22023"


@pytest.mark.parametrize(
    "sign",
    [
        *("\n", "\r", "\t", "\x01", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"),
        *("\u00a0", "\u00ad", "\u061c", "\u200b", "\u200d", "\u2060", "\u2064", "\u3164", "\ufe0f"),
        *("\ufeff", "\ufff9", "\uffff", "\U0001d173", "\U000e0001", "\U000e0041", "\U000e0100"),
    ],
)
@pytest.mark.parametrize("column", TEXTS)
def test_an_entry_is_one_line_of_visible_text(shared: Scratch, column: str, sign: str) -> None:
    """No text has controls, changes of direction or invisible characters: an entry cannot imitate another."""
    assert refused(shared, **{column: f"canary{sign}b"}).pgcode == "22023"


def test_program_and_database_refuse_the_same_characters(shared: Scratch) -> None:
    """Every code point of Unicode is tried; the database takes each text that the program has cleaned."""
    in_database = shared.value(
        "SELECT array_agg(code) FROM generate_series(1, 1114111) AS code"
        " WHERE code NOT BETWEEN 55296 AND 57343 AND NOT vault_etl.audit_is_text('a' || chr(code) || 'b', 3)"
    )
    points = (code for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF)
    assert in_database == [code for code in points if HIDDEN.search(chr(code))]
    everything = "".join(f"a{chr(code)}" for code in range(0x110000))
    assert shared.value("SELECT vault_etl.audit_is_text(%s, 5000000)", one_line(everything))


def test_the_table_refuses_a_malformed_entry_too(shared: Scratch) -> None:
    """A row that the owner writes, without the functions, is checked as well."""
    for change in (
        *(f"{column} = E'a\\u200bb'" for column in (*TEXTS, "action")),
        *(
            "fields = '{ip,device_id}'",
            "fields = '{{ip}}'",
            "fields = '{ip,ip}'",
            "fields = '{NULL}'",
        ),
        *("fields = '[2:2]={ip}'", "decision = 'done'"),
    ):
        with pytest.raises(psycopg2.errors.CheckViolation):
            shared.sql(
                "BEGIN; SET LOCAL session_replication_role = replica;"  # noqa: S608 - the triggers off
                f"UPDATE vault_etl.audit_log SET {change} WHERE seq = 1"
            )


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (
            "erase",
            (
                "CALL vault_etl.commit_erase(gen_random_uuid(), 'a', %(t)s, %(r)s, NULL, NULL, 'r',"
                f" {IN_FORCE}, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ),
        (
            "erase",
            (
                "CALL vault_etl.commit_erase(gen_random_uuid(), 'a', 'h', %(r)s, NULL, %(t)s, 'r',"
                f" {IN_FORCE}, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ),
        (
            "erase",
            (
                "CALL vault_etl.commit_erase(gen_random_uuid(), 'a', 'h', %(r)s, NULL, NULL, %(t)s,"
                f" {IN_FORCE}, NULL, NULL, NULL, NULL, NULL, NULL)"
            ),
        ),
        ("admin", "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', %(t)s, '{}')"),
        ("admin", "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), %(t)s, 'h', 'r', '{}')"),
    ],
)
def test_the_functions_that_write_entries_check_them_alike(
    shared: Scratch, role: str, statement: str
) -> None:
    """Each function that writes an entry refuses a malformed one, and its error shows no column."""
    record_id = uuid.UUID("00000000-0000-7000-8000-000000000001")
    shared.sql(
        "INSERT INTO vault_etl.quarantine (record_id, reason_code, path) VALUES (%s, 'not_json', '$')"
        " ON CONFLICT DO NOTHING",
        record_id,
    )
    values = {"t": f"{CANARY}\u200b", "r": record_id}
    with (
        shared.connect(role) as opened,
        opened.cursor() as cursor,
        pytest.raises(psycopg2.errors.InvalidParameterValue) as raised,
    ):
        call(cursor, statement, values)
    assert raised.value.diag.message_detail is None
    assert "canary" not in str(raised.value)
