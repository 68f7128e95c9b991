"""Tokens of a loader that races the beginning of a rotation and its cut-over, with the fence and with worse ones."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2.extensions
import pytest

from tests.kit.databases import clone
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch, sealed_record
from tests.rotation.fence import LOCK_FENCE, _keys
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import PERSONAL_FIELDS
from vault_etl.crypto.keys import DataKey
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import LockTimeoutError
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked
from vault_etl.records import postgres as postgres_records
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.records.postgres import PostgresRecordLoader, fence_holds, insert_records
from vault_etl.rotation.postgres import PostgresTokenRotations
from vault_etl.rotation.postgres_tokens import PostgresTokenCutOver

ROUNDS = 5
MOST_ROUNDS = 100
LOADERS = 2
BETWEEN_S = 0.03
MOST_S = 10.0
"""For a batch, on a busy machine."""
NARROW_S = 0.003
"""What is slept where a wrong fence leaves a gap."""

READ_FENCE = blocks("records/records.sql")["read_fence"]

LOCK_AND_READ = f"""
    WITH locked AS MATERIALIZED (SELECT public.take_fence() AS taken),
    found AS MATERIALIZED ({READ_FENCE})
    SELECT found.* FROM locked, found
"""  # noqa: S608 - SQL of ours

TAKE_FENCE = f"""
    CREATE FUNCTION public.take_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS
    $$BEGIN {LOCK_FENCE}; END$$
"""

GENERATIONS = """
    SELECT max(generation) FILTER (WHERE state = 'active'), max(generation) FILTER (WHERE state = 'pending')
    FROM public.data_keys WHERE purpose = 'token'
"""

WITNESS = """
    CREATE TABLE public.late (what text);
    CREATE FUNCTION public.tell_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO public.late SELECT 'with old' WHERE NEW.token_generation <> (
            SELECT max(generation) FROM public.data_keys WHERE purpose = 'token' AND state = 'active'
        );
        INSERT INTO public.late SELECT 'without next' WHERE NEW.next_token_generation IS DISTINCT FROM (
            SELECT max(generation) FROM public.data_keys WHERE purpose = 'token' AND state = 'pending'
        );
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER tell_late AFTER INSERT ON public.user_logins
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.tell_late()
"""
"""Fires when a loader commits, and sees the generations as they are committed by then."""

LATE = "SELECT count(*) FROM public.late WHERE what = %s"

DESTROY_OLD = """
    UPDATE public.data_keys SET state = 'destroyed', wrapped_key = NULL
    WHERE purpose = 'token' AND state = 'decrypt_only'
"""
"""So that the next rotation may begin."""

Generations = tuple[int, int | None]
Fence = Callable[[psycopg2.extensions.cursor, Sequence[DataKey], Generations | None], bool]
Insert = Callable[[psycopg2.extensions.cursor, Sequence[SealedRecord]], frozenset[uuid.UUID]]


def no_fence(
    cursor: psycopg2.extensions.cursor, keys: Sequence[DataKey], generations: Generations | None
) -> bool:
    """Tokens that were made before `pending` was committed are written whenever they are ready."""
    del cursor, keys, generations
    return True


def look_only(
    cursor: psycopg2.extensions.cursor, keys: Sequence[DataKey], generations: Generations | None
) -> bool:
    """A look without a lock: for a fence that is taken last."""
    holds = _looks_good(cursor, READ_FENCE, keys, generations)
    time.sleep(NARROW_S)
    return holds


def insert_then_lock(
    cursor: psycopg2.extensions.cursor, records: Sequence[SealedRecord]
) -> frozenset[uuid.UUID]:
    """The fence after the INSERT."""
    stored = insert_records(cursor, records)
    time.sleep(NARROW_S)
    cursor.execute(LOCK_FENCE)
    return stored


def lock_and_read_at_once(
    cursor: psycopg2.extensions.cursor, keys: Sequence[DataKey], generations: Generations | None
) -> bool:
    """Lock and read in one statement, whose snapshot is older than the lock."""
    return _looks_good(cursor, LOCK_AND_READ, keys, generations)


def _looks_good(
    cursor: psycopg2.extensions.cursor,
    statement: str,
    keys: Sequence[DataKey],
    generations: Generations | None,
) -> bool:
    ids, prints = [key.key_id for key in keys], [key.fingerprint for key in keys]
    cursor.execute(statement, {"key_ids": ids, "fingerprints": prints})
    active, pending, good, *_ = cursor.fetchone() or (None, None, 0)
    assert generations is not None
    wanted = None if generations[1] is None else [generations[1]]
    return bool((active, pending, good) == ([generations[0]], wanted, len(keys)))


VARIANTS: dict[str, tuple[Fence, Insert]] = {
    "no fence": (no_fence, insert_records),
    "the fence last": (look_only, insert_then_lock),
    "lock and read in one statement": (lock_and_read_at_once, insert_records),
}


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database of this test, with token keys."""
    with clone(postgres) as database:
        database.add_token_keys()
        database.sql(TAKE_FENCE)
        database.sql(WITNESS)
        yield database


def test_no_row_misses_a_generation(scratch: Scratch) -> None:
    """Five beginnings and five cut-overs under two loaders: every row has the tokens of its time."""
    race = Race(scratch)
    race.run()
    assert race.loaded >= 2 * ROUNDS
    assert (race.without_next, race.with_old, race.refused) == (0, 0, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_race_is_lost_with_another_fence(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    """Without the trigger: rows without their next token, or with an old one, which the CHECK alone keeps out."""
    scratch.sql("ALTER TABLE user_logins DISABLE TRIGGER user_logins_inserted")
    fence, insert = VARIANTS[variant]
    monkeypatch.setattr(postgres_records, "fence_holds", fence)
    monkeypatch.setattr(postgres_records, "insert_records", insert)
    race = Race(scratch)
    race.run(until_lost=True)
    print(f"{variant}: {race.told}")  # noqa: T201 - for who reads -s
    assert race.without_next + race.with_old + race.refused > 0


def test_the_loader_uses_what_this_file_replaces() -> None:
    """And the variant with one statement reads what the fence reads."""
    names = PostgresRecordLoader.load.__code__.co_names
    assert {"fence_holds", "insert_records"} <= set(names)
    assert "fence_holds" in postgres_records.__dict__
    assert fence_holds is postgres_records.fence_holds


class Race:
    """Loaders against rotations. What was committed too late is counted."""

    def __init__(self, scratch: Scratch) -> None:
        self.loaded = 0
        self.without_next = 0
        """Rows that were committed without the pending generation after that had begun."""
        self.with_old = 0
        """Rows that were committed with the old generation after the cut-over."""
        self.refused = 0
        """Batches with the old generation that the table's CHECK refused after the cut-over."""
        self.deadlocks = 0
        self.rounds = 0
        self._scratch = scratch
        self._stop = threading.Event()
        self._batches = threading.Semaphore(0)

    @property
    def told(self) -> str:
        """The counts."""
        return (
            f"{self.without_next} rows without their next token, {self.with_old} with an old one,"
            f" {self.refused} batches refused, {self.deadlocks} deadlocks; {self.loaded} batches, {self.rounds} rounds"
        )

    def run(self, *, until_lost: bool = False) -> None:
        """`ROUNDS` rotations, and more until it is lost, if it is to be lost."""
        with ThreadPoolExecutor(LOADERS) as pool:
            loaders = [pool.submit(self._load) for _ in range(LOADERS)]
            try:
                while self.rounds < ROUNDS or (until_lost and not self._late()):
                    assert self.rounds < MOST_ROUNDS
                    self._rotate()
            finally:
                self._stop.set()
            for loader in loaders:
                batches, deadlocks = loader.result()
                self.loaded += batches
                self.deadlocks += deadlocks
        self.without_next = self._scratch.value(LATE, "without next")
        self.with_old = self._scratch.value(LATE, "with old")

    def _rotate(self) -> None:
        self.rounds += 1
        with _adapters(self._scratch) as (rotations, cut_over):
            new = rotations.next_generation()
            rotations.begin(rotate_request(), _keys(new), 1)
            self._let_load()
            while isinstance(cut_over.cut_over(_request(), new), Blocked):
                self.deadlocks += 1
            self._let_load()
        self._scratch.sql(DESTROY_OLD)

    def _let_load(self) -> None:
        """A moment, and at least one batch that is committed after it."""
        time.sleep(BETWEEN_S)
        while self._batches.acquire(blocking=False):
            pass
        self._batches.acquire(timeout=MOST_S)

    def _late(self) -> int:
        late: int = self._scratch.value("SELECT count(*) FROM public.late")
        return late + self.refused

    def _load(self) -> tuple[int, int]:
        batches = deadlocks = 0
        keys = None
        with self._scratch.loader() as loader:
            while not self._stop.is_set():
                keys = keys or self._write_keys()
                records = [_record(keys) for _ in range(3)]
                try:
                    result = loader.load(records, [], keys)
                except LockTimeoutError:
                    deadlocks += 1
                    continue
                except IncompleteError:
                    self.refused += 1
                    keys = None
                    continue
                if isinstance(result, Loaded):
                    batches += 1
                    self._batches.release()
                if not isinstance(result, Loaded) or batches % 10 == 0:
                    keys = None  # even a loader that never looks takes new keys now and then
        return batches, deadlocks

    def _write_keys(self) -> WriteKeys:
        ((active, pending),) = self._scratch.sql(GENERATIONS)
        return dataclasses.replace(self._scratch.write_keys(), generations=(active, pending))


def _record(keys: WriteKeys) -> SealedRecord:
    active, pending = keys.generations
    tokens = None if pending is None else {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    return sealed_record(
        keys, token_generation=active, next_token_generation=pending, next_tokens=tokens
    )


@contextmanager
def _adapters(scratch: Scratch) -> Iterator[tuple[PostgresTokenRotations, PostgresTokenCutOver]]:
    database = Database(scratch.url("re-encrypt"))
    try:
        yield PostgresTokenRotations(database), PostgresTokenCutOver(database)
    finally:
        database.close()


def _request() -> AuditRequest:
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.KEYS_CUT_OVER,
        actor="arn:aws:sts::123456789012:assumed-role/vault-etl-re-encrypt/ada",
        host="host.example",
        reason="a test",
        fields=PERSONAL_FIELDS,
    )
