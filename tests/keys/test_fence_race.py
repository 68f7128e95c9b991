"""The fence under load: no row appears under a retired key after its retirement was committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg2.extensions
import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.base.errors import DeniedError
from vault_etl.crypto.keys import DataKey
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.resources import blocks
from vault_etl.records import postgres as postgres_records
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.postgres import PostgresRecordLoader, fence_holds

RETIREMENTS = 25
LOADERS = 2

_SQL = blocks("records/records.sql")
_ROWS_UNDER = "SELECT count(*) FROM user_logins WHERE ciphertext_key_id(ip_ciphertext) = ANY (%s)"

GAP_S = 0.06
"""Of a loader that looks too early: longer than it takes until the next retirement is committed."""

Fence = Callable[
    [
        psycopg2.extensions.cursor,
        Sequence[DataKey],
        tuple[int, int | None] | None,
        WriterDeclaration,
    ],
    bool,
]


def look_then_lock(
    cursor: psycopg2.extensions.cursor,
    data_keys: Sequence[DataKey],
    _: tuple[int, int | None] | None,
    writer: WriterDeclaration,
) -> bool:
    """Read the keys before the lock, as a fence in the wrong order would."""
    key_ids = [key.key_id for key in data_keys]
    prints = [key.fingerprint for key in data_keys]
    values = {"key_ids": key_ids, "fingerprints": prints, "declaration": writer.digest}
    cursor.execute(_SQL["read_fence"], values)
    good = (cursor.fetchone() or (None, None, 0))[2]
    time.sleep(GAP_S)
    cursor.execute(_SQL["lock_fence"])
    return bool(good == len(data_keys))


def lock_in_a_stale_snapshot(
    cursor: psycopg2.extensions.cursor,
    data_keys: Sequence[DataKey],
    generations: tuple[int, int | None] | None,
    writer: WriterDeclaration,
) -> bool:
    """Lock in the right order, with a snapshot from before the lock, as REPEATABLE READ would."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("SELECT count(*) FROM vault_etl.data_keys")
    time.sleep(GAP_S)
    return fence_holds(cursor, data_keys, generations, writer)


def no_fence(
    cursor: psycopg2.extensions.cursor,
    data_keys: Sequence[DataKey],
    generations: tuple[int, int | None] | None,
    writer: WriterDeclaration,
) -> bool:
    """Put no fence before the load: the loader goes on to write under its keys."""
    del cursor, data_keys, generations, writer
    return True


def test_no_row_appears_under_a_retired_key(scratch: Scratch) -> None:
    """Two loaders and 25 retirements: after each COMMIT the rows under the retired keys stay as many."""
    late, loaded = _race(scratch)
    assert loaded > 0
    assert late == 0


@pytest.mark.parametrize("fence", [look_then_lock, lock_in_a_stale_snapshot, no_fence])
def test_the_database_holds_a_loader_to_the_order(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, fence: Fence
) -> None:
    """With a read before the lock, an old snapshot, or no fence at all, the database takes the fence, and reads."""
    monkeypatch.setattr(postgres_records, "fence_holds", fence)
    late, _ = _race(scratch)
    assert late == 0


@pytest.mark.parametrize("fence", [look_then_lock, lock_in_a_stale_snapshot, no_fence])
def test_the_race_is_lost_without_the_order(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, fence: Fence
) -> None:
    """Without the trigger the same race leaves rows under retired keys."""
    scratch.sql("ALTER TABLE user_logins DISABLE TRIGGER user_logins_inserted")
    monkeypatch.setattr(postgres_records, "fence_holds", fence)
    late, _ = _race(scratch)
    assert late > 0


def _race(scratch: Scratch) -> tuple[int, int]:
    """Rows that appeared under keys whose retirement was committed before, and the loaded batches."""
    scratch.add_token_keys()
    stop, loaded = threading.Event(), threading.Semaphore(0)
    with ThreadPoolExecutor(LOADERS) as pool:
        loaders = [pool.submit(_load_until, scratch, stop, loaded) for _ in range(LOADERS)]
        try:
            counted = _retire(scratch, loaded)
        finally:
            stop.set()
        batches = sum(loader.result() for loader in loaders)
    late = sum(scratch.value(_ROWS_UNDER, list(ids)) - rows for ids, rows in counted)
    return late, batches


def _load_until(scratch: Scratch, stop: threading.Event, loaded: threading.Semaphore) -> int:
    batches = 0
    keys = None
    with scratch.loader() as loader:
        while not stop.is_set():
            keys = keys or scratch.write_keys()
            try:
                result = loader.load([sealed_record(keys) for _ in range(3)], [], keys)
            except DeniedError:  # by the trigger: the keys are not good any more
                keys = None
                loaded.release()
                continue
            if isinstance(result, Loaded):
                batches += 1
                loaded.release()
            else:
                keys = None
            if batches % 20 == 0:
                keys = None  # even a loader that never looks takes a new key now and then
    return batches


def _retire(scratch: Scratch, loaded: threading.Semaphore) -> list[tuple[tuple[int, ...], int]]:
    """Retire again and again; return the keys, and how many rows they had after the commit."""
    counted = []
    with scratch.database("rotate") as database:
        store = PostgresKeyStore(database)
        for _ in range(RETIREMENTS):
            assert loaded.acquire(timeout=30)  # however slow the machine is
            time.sleep(0.03)
            ids = tuple(store.retire_data_keys(rotate_request(), PERSONAL_FIELDS))
            counted.append((ids, scratch.value(_ROWS_UNDER, list(ids))))
    return counted


def test_the_loader_uses_the_fence_of_this_file() -> None:
    """The race replaces the function that the loader calls."""
    assert "fence_holds" in PostgresRecordLoader.load.__code__.co_names
