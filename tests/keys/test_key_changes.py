"""Each change of a key's row is on the record, and a key that was changed otherwise is named and not adopted."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable

import psycopg2
import pytest

from tests.kit.cut_over import Ready, ready
from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.rows import cut_over_request
from tests.kit.scratch import ARN, Scratch
from vault_etl.base.errors import VaultEtlError
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.make import draw_key_id
from vault_etl.keys.postgres import PostgresKeyStore, PostgresWrappedKeys
from vault_etl.keys.postgres_destroy import PostgresKeyEnder
from vault_etl.platform.postgres import Database
from vault_etl.rotation.postgres import PostgresTokenRotations
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver

PLANT = (
    "INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, state, kms_key_arn, wrapped_key,"
    " fingerprint) VALUES (%s, 'token', 'ip', %s, 'pending', %s, 'known', '8 bytes!')"
)


@pytest.fixture
def vault(scratch: Scratch) -> Ready:
    """Generation 2 is pending, and every row is ready for it."""
    return ready(scratch)


def unexplained(scratch: Scratch, role: str = "audit") -> list[int]:
    """Return the unexplained keys, as `doctor` and a rotation see them."""
    with scratch.database(role) as database:
        return list(PostgresKeyStore(database).unexplained())


def entries(scratch: Scratch) -> list[tuple[str, str, str]]:
    """Action, reason and ticket of each change of keys."""
    return [
        (action, reason, ticket)
        for action, reason, ticket in scratch.sql(
            "SELECT action, reason, ticket FROM audit_log WHERE phase = 'intent'"
            " AND seq IN (SELECT seq FROM key_changes) ORDER BY seq"
        )
    ]


STEPS: tuple[tuple[str, Callable[[Database, int], object]], ...] = (
    (
        "rewrapped",
        lambda database, key_id: PostgresWrappedKeys(database, DEFAULT).swap(
            rotate_request(), next(iter(PostgresKeyStore(database).keys([key_id]))), b"again", ARN
        ),
    ),
    (
        "retired",
        lambda database, _: PostgresKeyStore(database).retire_data_keys(rotate_request(), FIELDS),
    ),
    (
        "destroyed",
        lambda database, key_id: PostgresKeyEnder(database, DEFAULT).destroy(
            rotate_request(), [key_id]
        ),
    ),
)


@pytest.mark.parametrize("role", ["rotate", "re-encrypt"])
def test_a_change_of_a_data_key_is_one_entry(scratch: Scratch, role: str) -> None:
    """A key that `ingest` made has no entry; then each change has one, which names the key and holds its new state."""
    key_id = scratch.add_data_key(IP).key_id
    assert entries(scratch) == []
    with scratch.database(role) as database:
        for count, (what, change) in enumerate(STEPS, 1):
            assert change(database, key_id)
            assert len(entries(scratch)) == count
            action, reason, _ = entries(scratch)[-1]
            assert action == "keys change"
            assert reason.startswith(f"{what}: {key_id}, for request ")
            assert unexplained(scratch) == []
    logins = scratch.sql("SELECT DISTINCT login FROM audit_log")
    assert logins == [(f"test_{role.replace('-', '_')}",)]


def test_a_whole_life_of_token_keys_is_on_the_record(scratch: Scratch) -> None:
    """First keys, a pending generation, its abort, another generation, and the cut-over have one entry each."""
    with scratch.database("re-encrypt") as database:
        rotations = PostgresTokenRotations(database, DEFAULT)
        assert PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
        rotations.begin(rotate_request(), token_keys(2), 1)
        rotations.abort(rotate_request())
        rotations.begin(rotate_request(), token_keys(3), 1)
        PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 3)
    assert [action for action, _, _ in entries(scratch)] == [*["keys change"] * 4, "keys cut-over"]
    assert [reason.partition(":")[0] for _, reason, _ in entries(scratch)][:4] == [
        "made active",
        "made pending",
        "aborted and destroyed",
        "made pending",
    ]
    assert unexplained(scratch) == []


def test_the_ticket_is_the_digest_of_the_changed_keys(scratch: Scratch) -> None:
    """The digest is that of docs/formats.md, computed here from the table alone."""
    with scratch.database("re-encrypt") as database:
        PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
    lines = [
        f"{key_id} token {field} 1 active {bytes(fingerprint).hex()}"
        f" {hashlib.sha256(wrapped_key).hexdigest()} {arn}\n"
        for key_id, field, fingerprint, wrapped_key, arn in scratch.sql(
            "SELECT key_id, field, fingerprint, wrapped_key, kms_key_arn FROM data_keys ORDER BY key_id"
        )
    ]
    text = "vault-etl/1/key-changes\n" + "".join(lines)
    ((_, _, ticket),) = entries(scratch)
    assert ticket == hashlib.sha256(text.encode()).hexdigest()


def test_rotate_cannot_plant_a_generation(vault: Ready) -> None:
    """The attack ends the pending keys, puts known keys in their place, and lets an honest rotation adopt them."""
    scratch = vault.scratch
    pending = [key_id for key_id, state in scratch.key_states().items() if state == "pending"]
    before = scratch.key_states()
    attacks: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("UPDATE vault_etl.data_keys SET state = 'destroyed', wrapped_key = NULL", ()),
        ("UPDATE vault_etl.data_keys SET wrapped_key = 'known' WHERE state = 'pending'", ()),
        (PLANT, (draw_key_id(), 3, ARN)),
        ("SELECT vault_etl.token_keys_abort(gen_random_uuid(), 'a', 'h')", ()),
        ("SELECT vault_etl.token_keys_begin(gen_random_uuid(), 'a', 'h', '[]')", ()),
        ("SELECT vault_etl.keys_init(gen_random_uuid(), 'a', 'h', '[]')", ()),
    )
    for statement, values in attacks:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            scratch.sql(statement, *values, role="rotate")
    with scratch.database("rotate") as database:  # only an abort ends a pending key
        assert PostgresKeyEnder(database, DEFAULT).destroy(rotate_request(), pending) == []
    assert scratch.key_states() == before


def test_a_planted_generation_is_named_and_not_cut_over_to(vault: Ready) -> None:
    """The owner plants it, whom no grant binds: the log has no entry, and the cut-over refuses."""
    scratch = vault.scratch
    with scratch.database("re-encrypt") as database:
        PostgresTokenRotations(database, DEFAULT).abort(rotate_request())
    planted = [draw_key_id(), draw_key_id()]
    scratch.sql(PLANT, planted[0], 3, ARN)
    scratch.sql(PLANT.replace("'ip'", "'device_id'"), planted[1], 3, ARN)
    assert unexplained(scratch, "re-encrypt") == sorted([*planted, *by_hand(scratch)])
    with scratch.database("re-encrypt") as database, pytest.raises(VaultEtlError):
        PostgresTokenCutOver(database, DEFAULT).cut_over(cut_over_request(), 3)
    assert {scratch.key_states()[key_id] for key_id in planted} == {KeyState.PENDING}


def by_hand(scratch: Scratch) -> list[int]:
    """The keys of generation 1, which the fixture has stored without an entry."""
    return [k for (k,) in scratch.sql("SELECT key_id FROM data_keys WHERE generation = 1")]


@pytest.mark.parametrize(
    "change",
    [
        "state = 'decrypt_only'",
        "wrapped_key = 'other'",
        "kms_key_arn = 'arn:other'",
        "state = 'destroyed', wrapped_key = NULL",
    ],
)
def test_a_key_that_was_changed_without_an_entry_is_named(scratch: Scratch, change: str) -> None:
    """Any column may be changed, of a key that has an entry."""
    with scratch.database("re-encrypt") as database:
        PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
        assert unexplained(scratch) == []
        if "destroyed" in change:
            scratch.sql("UPDATE data_keys SET state = 'decrypt_only'")
        (key_id, *_) = sorted(scratch.key_states())
        scratch.sql(f"UPDATE data_keys SET {change} WHERE key_id = %s", key_id)  # noqa: S608
        assert key_id in PostgresKeyStore(database).unexplained()


def test_a_key_whose_row_is_gone_is_named(scratch: Scratch) -> None:
    """The owner deletes it with the triggers off: the values that only this key opens are lost."""
    with scratch.database("re-encrypt") as database:
        PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
    gone = sorted(scratch.key_states())
    scratch.sql(
        "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM data_keys; COMMIT"
    )
    assert unexplained(scratch) == gone


def test_a_data_key_needs_an_entry_once_it_was_changed(scratch: Scratch) -> None:
    """Active keys that `ingest` has made have no entry; a retired key without one is named."""
    key_id = scratch.add_data_key(IP).key_id
    assert unexplained(scratch, "ingest") == []
    scratch.sql("UPDATE data_keys SET state = 'decrypt_only'")
    assert unexplained(scratch, "reveal") == [key_id]


@pytest.mark.parametrize("statement", ["DELETE FROM key_changes", "UPDATE key_changes SET seq = 1"])
def test_the_content_of_the_entries_is_append_only(scratch: Scratch, statement: str) -> None:
    """The superuser cannot change it either."""
    with scratch.database("re-encrypt") as database:
        PostgresKeyStore(database).add_first_keys(rotate_request(), token_keys(1))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scratch.sql(statement)


def test_first_keys_are_no_data_keys(scratch: Scratch) -> None:
    """The role re-encrypt adds data keys as `ingest` does, and no other way."""
    keys = (
        f'[{{"key_id": {draw_key_id()}, "purpose": "data", "field": "ip", "kms_key_arn": "{ARN}",'
        ' "wrapped_key": "00", "fingerprint": "0011223344556677"}]'
    )
    with pytest.raises(psycopg2.Error):
        scratch.sql(
            "SELECT vault_etl.keys_init(%s, 'a', 'h', %s)", uuid.uuid4(), keys, role="re-encrypt"
        )
    assert scratch.key_states() == {}
