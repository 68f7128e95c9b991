"""The fence: no row is written under a key that may not be written under any more (docs/design.md, "Keys")."""

from __future__ import annotations

import threading
from dataclasses import replace

import psycopg2
import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from tests.kit.swaps import replaced, swaps
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.crypto.keys import DataKey, KeyMaterial
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform import waiting
from vault_etl.records.fenced_writes import KeysChanged, Loaded, WriteKeys
from vault_etl.records.postgres import fence_holds


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys of generation 1, and a data key of every field."""
    scratch.add_token_keys()
    return scratch.write_keys(*FIELDS)


def _refused(scratch: Scratch, keys: WriteKeys) -> bool:
    """Say whether the fence stops a batch under these keys, and no row of it is stored."""
    with scratch.loader() as loader:
        result = loader.load([sealed_record(keys)], [sealed_rejection(keys)], keys)
    stored = scratch.sql(
        "SELECT record_id FROM user_logins UNION ALL SELECT record_id FROM quarantine"
    )
    assert (result == KeysChanged()) == (not stored)
    return result == KeysChanged()


def _other_keys(keys: WriteKeys, key: DataKey) -> WriteKeys:
    return WriteKeys(keys.generations, (*keys.data_keys[:2], key))


def test_the_fence_lets_a_batch_pass_while_no_key_changed(
    scratch: Scratch, keys: WriteKeys
) -> None:
    """Active keys with the right fingerprints and the active generation: stored."""
    assert not _refused(scratch, keys)


@pytest.mark.parametrize("spoiled", range(3))
def test_a_retired_key_stops_the_batch(scratch: Scratch, keys: WriteKeys, spoiled: int) -> None:
    """One retired key of three, and nothing of the batch is stored."""
    scratch.sql(
        "UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s",
        keys.data_keys[spoiled].key_id,
    )
    assert _refused(scratch, keys)


def test_an_expired_key_stops_the_batch(scratch: Scratch, keys: WriteKeys) -> None:
    """A lease that has run out by the database's clock: nothing is stored."""
    scratch.sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "UPDATE data_keys SET expires_at = clock_timestamp() WHERE field = 'ip' AND purpose = 'data';"
        "COMMIT"
    )
    assert _refused(scratch, keys)


def test_a_key_with_another_fingerprint_stops_the_batch(scratch: Scratch, keys: WriteKeys) -> None:
    """The key in hand is not the one of that id: nothing is stored."""
    last = keys.data_keys[2]
    forged = DataKey(last.key_id, last.field, KeyMaterial(b"another key, of thirty-two bytes"))
    assert _refused(scratch, _other_keys(keys, forged))


def test_an_unknown_key_stops_the_batch(scratch: Scratch, keys: WriteKeys) -> None:
    """A key that was never committed: nothing is stored."""
    unknown = DataKey(1, QUARANTINE, KeyMaterial(bytes(32)))
    assert _refused(scratch, _other_keys(keys, unknown))


@pytest.mark.usefixtures("keys")
def test_a_token_key_is_no_data_key(scratch: Scratch) -> None:
    """A key is good for its purpose only, be it active, not expired, and of the right fingerprint."""
    key = DataKey(7, IP, KeyMaterial(bytes(32)))
    scratch.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE purpose = 'token'")
    scratch.sql(
        "INSERT INTO data_keys (key_id, purpose, field, generation, kms_key_arn, wrapped_key,"
        " fingerprint, expires_at) VALUES (7, 'token', 'ip', 2, 'a', 'w', %s, 'infinity')",
        key.fingerprint,
    )
    with scratch.database("ingest") as database, database.transaction() as cursor:
        assert not fence_holds(cursor, (key,), None, WriterDeclaration.of(DEFAULT))


@pytest.mark.parametrize(
    ("generations", "good"),
    [((1, None), False), ((1, 2), True), ((2, None), False), ((2, 1), False), ((1, 3), False)],
)
def test_a_new_pending_generation_stops_a_writer_without_it(
    scratch: Scratch, keys: WriteKeys, generations: tuple[int, int | None], good: bool
) -> None:
    """Exactly the active and the pending generation have to be written, no fewer and no others."""
    scratch.add_token_keys(2, "pending")
    assert _refused(scratch, replace(keys, generations=generations)) is not good


def test_a_cut_over_stops_a_writer_of_the_old_generation(scratch: Scratch, keys: WriteKeys) -> None:
    """After generation 2 became active, a batch tokenised under 1 is not stored."""
    scratch.add_token_keys(2, "pending")
    scratch.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE generation = 1")
    assert _refused(scratch, keys)
    scratch.sql("UPDATE data_keys SET state = 'active' WHERE generation = 2")
    assert _refused(scratch, keys)
    scratch.sql("ALTER TABLE user_logins DROP CONSTRAINT tokens_of_one_generation")
    assert not _refused(scratch, replace(keys, generations=(2, None)))


def test_reencryption_is_fenced_too(scratch: Scratch, keys: WriteKeys) -> None:
    """A swap under a key that has been retired is not made."""
    record = sealed_record(keys)
    with scratch.loader() as loader:
        loader.load([record], [], keys)
    key = scratch.add_data_key(IP, role="re-encrypt")
    scratch.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s", key.key_id)
    assert replaced(scratch, swaps([record], key), key) is None
    stored = bytes(scratch.value("SELECT ip_ciphertext FROM user_logins"))
    assert stored == record.ciphertexts[IP]


@pytest.fixture
def failed_tries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the tries that failed and are repeated."""
    seen: list[int] = []

    class Seen(waiting.Growing):
        """Waits that are told."""

        def after(self, tries: int) -> float:
            """Tell the number, and wait as ever."""
            seen.append(tries)
            return super().after(tries)

    monkeypatch.setattr(waiting, "_AGAIN", Seen(0.1, 5, jitter=1))
    return seen


def test_retiring_waits_for_an_open_batch_and_tries_again(
    scratch: Scratch, keys: WriteKeys, failed_tries: list[int]
) -> None:
    """With a loader behind the fence for 2.3 s, retiring gives up after 2 s, tries again, and succeeds."""
    with scratch.connect("ingest") as loading, scratch.database("rotate") as database:
        with loading.cursor() as cursor:
            cursor.execute("LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")
        still: list[dict[int, str]] = []

        def release() -> None:
            still.append(scratch.key_states())
            loading.commit()

        timer = threading.Timer(2.3, release)
        timer.start()
        retired = PostgresKeyStore(database).retire_data_keys(rotate_request(), FIELDS)
        timer.join()
    assert "decrypt_only" not in still[0].values()
    assert retired == sorted(key.key_id for key in keys.data_keys)
    assert failed_tries == [1]


def test_a_batch_waits_for_an_open_retirement_and_sees_it(
    scratch: Scratch, keys: WriteKeys
) -> None:
    """With a retirement in progress the loader waits for its COMMIT, and then finds the key retired."""
    fields = list(FIELDS)
    with scratch.connect() as retiring, retiring.cursor() as cursor:
        cursor.execute(
            "SELECT vault_etl.data_keys_retire(gen_random_uuid(), 'a', 'h', %s::text[], false)",
            (fields,),
        )
        timer = threading.Timer(0.3, retiring.commit)
        timer.start()
        assert _refused(scratch, keys)
        timer.join()


def test_batches_do_not_wait_for_each_other(scratch: Scratch, keys: WriteKeys) -> None:
    """Any number of loaders hold the fence at once."""
    with scratch.connect("ingest") as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")
        assert not _refused(scratch, keys)


def test_only_roles_that_change_keys_can_close_the_fence(scratch: Scratch) -> None:
    """Ingest opens the fence and cannot close it; rotate and re-encrypt can; no other role touches it."""
    closed = "BEGIN; SET LOCAL lock_timeout = '1s'; LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE"
    scratch.sql(closed, role="rotate")
    scratch.sql(closed, role="re-encrypt")
    for role in ("ingest", "reveal", "erase", "audit", "analyst"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            scratch.sql(closed, role=role)


def test_the_loader_reports_the_stored_rows(scratch: Scratch, keys: WriteKeys) -> None:
    """The loader reports exactly the rows that are stored."""
    records = [sealed_record(keys) for _ in range(3)]
    with scratch.loader() as loader:
        loaded = loader.load(records, [], keys)
    assert loaded == Loaded(frozenset(r.record_id for r in records), frozenset())
    assert {r for (r,) in scratch.sql("SELECT record_id FROM user_logins")} == loaded.record_ids
