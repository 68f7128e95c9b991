"""`data_keys`: the states that a key may reach, and the columns that never change."""

from __future__ import annotations

import itertools

import psycopg2
import pytest

from tests.kit.declared import IP
from tests.kit.scratch import ARN, Scratch
from vault_etl.keys.make import draw_key_id

STATES = ("pending", "active", "decrypt_only", "destroyed")
ALLOWED = {
    ("pending", "active"),
    ("pending", "destroyed"),
    ("active", "decrypt_only"),
    ("decrypt_only", "destroyed"),
}
_generations = itertools.count(1)


def insert(database: Scratch, purpose: str = "token", **columns: object) -> int:
    """Insert a key in a state that is set, not reached; `columns` are added or changed."""
    key_id = draw_key_id()
    data = purpose == "data"
    values: dict[str, object] = {
        "key_id": key_id,
        "purpose": purpose,
        "field": "ip",
        "generation": None if data else next(_generations),
        "state": "active",
        "kms_key_arn": ARN,
        "wrapped_key": None if columns.get("state") == "destroyed" else b"wrapped",
        "fingerprint": b"8 bytes!",
        **columns,
    }
    expires = ", expires_at" if data and "expires_at" not in columns else ""
    lease = ", now() + interval '24 hours'" if expires else ""
    database.sql(
        f"INSERT INTO vault_etl.data_keys ({', '.join(values)}{expires})"  # noqa: S608
        f" VALUES ({', '.join(['%s'] * len(values))}{lease})",
        *values.values(),
    )
    return key_id


def change(database: Scratch, key_id: int, assignments: str, role: str = "admin") -> None:
    """UPDATE one key."""
    database.sql(
        f"UPDATE vault_etl.data_keys SET {assignments} WHERE key_id = %s",  # noqa: S608
        key_id,
        role=role,
    )


@pytest.fixture(autouse=True)
def _no_token_keys_left(shared: Scratch) -> None:
    """Active and pending token keys are unique: each test begins without."""
    shared.sql("BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM data_keys; COMMIT")


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATES, STATES)))
def test_states_follow_the_arrows_and_no_other(shared: Scratch, old: str, new: str) -> None:
    """The arrows are pending → active or destroyed, active → decrypt_only → destroyed; every other change raises."""
    key_id = insert(shared, state=old)
    wrapped = ", wrapped_key = NULL" if new == "destroyed" else ", wrapped_key = 'w'"
    assignments = f"state = '{new}'{wrapped}"
    if old == new or (old, new) in ALLOWED:
        change(shared, key_id, assignments)
        ((state, retired, destroyed),) = shared.sql(
            "SELECT state, retired_at IS NOT NULL, destroyed_at IS NOT NULL FROM data_keys"
        )
        assert state == new
        assert retired == ((old, new) == ("active", "decrypt_only"))
        assert destroyed == (new == "destroyed" != old)
    else:
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
            change(shared, key_id, assignments)
        assert shared.key_states() == {key_id: old}


@pytest.mark.parametrize(
    "assignment",
    [
        "key_id = key_id + 1",
        "purpose = 'data', generation = NULL, expires_at = now()",
        "field = 'device_id'",
        "generation = generation + 1",
        "generation = NULL",
        "fingerprint = '8 other!'",
        "created_at = created_at - interval '1 day'",
        "created_by = 'another'",
        "expires_at = now()",
    ],
)
def test_a_key_keeps_its_identity(shared: Scratch, assignment: str) -> None:
    """A key's identity, maker and lease cannot be changed, even by the superuser."""
    key_id = insert(shared)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        change(shared, key_id, assignment)


def test_a_lease_is_not_lengthened(shared: Scratch) -> None:
    """The expiry of a data key stays that of its first row version."""
    key_id = insert(shared, "data")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        change(shared, key_id, "expires_at = expires_at + interval '1 second'")


@pytest.mark.parametrize("lease", ["NULL", "now() + interval '26 hours'", "'infinity'"])
def test_a_lease_is_a_day_at_most(shared: Scratch, lease: str) -> None:
    """Ingest cannot give itself a data key without an end, or one that lasts longer than a day."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        shared.sql(
            "INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint,"  # noqa: S608
            f" expires_at) VALUES (1, 'ip', 'a', 'b', '8 bytes!', {lease})",
            role="ingest",
        )


def test_wrapped_bytes_may_be_rewrapped(shared: Scratch) -> None:
    """A rewrap replaces the wrapped bytes and the ARN of a living key; the times stay as they were."""
    key_id = insert(shared, "data")
    change(shared, key_id, "wrapped_key = 'again', kms_key_arn = 'other'")
    ((wrapped, retired),) = shared.sql("SELECT wrapped_key, retired_at FROM data_keys")
    assert bytes(wrapped) == b"again"
    assert retired is None


def test_times_of_retirement_are_the_databases_word(shared: Scratch) -> None:
    """`retired_at` and `destroyed_at` cannot be chosen, nor set without the change of state."""
    key_id = insert(shared)
    change(shared, key_id, "retired_at = '2000-01-01', destroyed_at = '2000-01-01'")
    assert shared.sql("SELECT retired_at, destroyed_at FROM data_keys") == [(None, None)]
    change(shared, key_id, "state = 'decrypt_only', retired_at = '2000-01-01'")
    assert shared.value("SELECT now() - retired_at < interval '1 minute' FROM data_keys")


@pytest.mark.parametrize("state", STATES)
def test_destroyed_is_exactly_without_bytes(shared: Scratch, state: str) -> None:
    """`wrapped_key` is NULL if and only if the key is destroyed."""
    wrong = b"wrapped" if state == "destroyed" else None
    with pytest.raises(psycopg2.errors.CheckViolation, match="a_destroyed_key_has_no_bytes"):
        insert(shared, state=state, wrapped_key=wrong)


@pytest.mark.parametrize("state", ["active", "pending"])
def test_a_field_has_one_active_and_one_pending_token_key(shared: Scratch, state: str) -> None:
    """A second active, or pending, token key of a field is refused; of another field it is not."""
    insert(shared, state=state)
    insert(shared, state=state, field="device_id")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        insert(shared, state=state)


def test_a_generation_has_one_key_a_field(shared: Scratch) -> None:
    """A generation does not come again, not even after its key was destroyed."""
    insert(shared, state="destroyed", generation=9_999)
    with pytest.raises(psycopg2.errors.UniqueViolation, match="one_token_key_a_generation"):
        insert(shared, generation=9_999)


def test_data_keys_are_as_many_as_processes(shared: Scratch) -> None:
    """Any number of data keys of one field are active at once."""
    assert len({insert(shared, "data") for _ in range(3)}) == len(shared.key_states())


@pytest.mark.parametrize(
    ("purpose", "columns"),
    [
        ("data", {"generation": 1}),
        ("token", {"generation": None}),
        ("token", {"generation": 0}),
        ("token", {"field": "quarantine"}),
        ("data", {"state": "pending"}),
        ("data", {"key_id": 0}),
        ("data", {"key_id": 2**32}),
        ("data", {"fingerprint": b"7 bytes"}),
        ("data", {"field": "user_id"}),
        ("audit", {}),
        ("data", {"state": "sleeping"}),
    ],
)
def test_a_malformed_key_is_refused(
    shared: Scratch, purpose: str, columns: dict[str, object]
) -> None:
    """Ids are uint32 and not 0; only token keys have generations, and wait; fields are the known ones."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        insert(shared, purpose, **columns)


@pytest.mark.parametrize("statement", ["DELETE FROM data_keys", "TRUNCATE data_keys"])
def test_a_key_is_never_deleted(shared: Scratch, statement: str) -> None:
    """A key's row stays for good: what it says about a destroyed key is still asked for."""
    insert(shared)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        shared.sql(statement)


def test_the_maker_of_a_key_is_the_login(shared: Scratch) -> None:
    """`created_by` is the session's login, not the role that it acts as."""
    key_id = shared.add_data_key(IP).key_id
    made_by = shared.value("SELECT created_by FROM data_keys WHERE key_id = %s", key_id)
    assert made_by == "test_ingest"


def test_the_fence_is_always_empty(shared: Scratch) -> None:
    """No row goes into `key_fence`: the table exists for its lock."""
    for value in ("true", "false"):
        with pytest.raises(psycopg2.errors.CheckViolation):
            shared.sql(f"INSERT INTO vault_etl.key_fence VALUES ({value})", role="ingest")  # noqa: S608


@pytest.mark.parametrize("length", [0, 6_145])
def test_bytes_longer_than_kms_wraps_are_refused(shared: Scratch, length: int) -> None:
    """Six keys of 100 MB held the log for longer than its turn while they were retired."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        insert(shared, "data", wrapped_key=bytes(length))


@pytest.mark.parametrize("name", ["", f"{ARN} ", f"{ARN}\n", "x" * 2_049])
def test_a_kms_key_is_named_in_one_word(shared: Scratch, name: str) -> None:
    """A name is a part of the lines that the log binds, so it holds neither a blank nor a line end."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        insert(shared, "data", kms_key_arn=name)
