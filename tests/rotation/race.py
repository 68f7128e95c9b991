"""Loaders that race rotations of the token keys, and a count of the rows that were committed too late."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.vault import rotate_request
from tests.kit.scratch import Scratch, sealed_record
from tests.rotation.fence import LOCK_FENCE, _keys
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.platform.waiting import Blocked
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.postgres import PostgresTokenRotations
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver

ROUNDS = 5

MOST_ROUNDS = 100

LOADERS = 2

BETWEEN_S = 0.03

MOST_S = 10.0
"""The longest time of a batch, on a busy machine."""

TAKE_FENCE = f"""
    CREATE FUNCTION vault_etl.take_fence() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS
    $$BEGIN {LOCK_FENCE}; END$$
"""

GENERATIONS = """
    SELECT max(generation) FILTER (WHERE state = 'active'), max(generation) FILTER (WHERE state = 'pending')
    FROM vault_etl.data_keys WHERE purpose = 'token'
"""

WITNESS = """
    CREATE TABLE vault_etl.late (what text);
    CREATE FUNCTION vault_etl.tell_late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO vault_etl.late SELECT 'with old' WHERE NEW.token_generation <> (
            SELECT max(generation) FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'active'
        );
        INSERT INTO vault_etl.late SELECT 'without next' WHERE NEW.next_token_generation IS DISTINCT FROM (
            SELECT max(generation) FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'pending'
        );
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER tell_late AFTER INSERT ON vault_etl.user_logins
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vault_etl.tell_late()
"""
"""A trigger that fires when a loader commits, and reads the generations committed by then."""

LATE = "SELECT count(*) FROM vault_etl.late WHERE what = %s"

DESTROY_OLD = """
    UPDATE vault_etl.data_keys SET state = 'destroyed', wrapped_key = NULL
    WHERE purpose = 'token' AND state = 'decrypt_only'
"""
"""Destroys the old generation, so that the next rotation may begin."""


class Race:
    """Loaders against rotations. Rows that were committed too late are counted."""

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
        """Run `ROUNDS` rotations, and more until the race is lost, if a loss is expected."""
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
        """Wait a moment, and for at least one batch that is committed after that."""
        time.sleep(BETWEEN_S)
        while self._batches.acquire(blocking=False):
            pass
        self._batches.acquire(timeout=MOST_S)

    def _late(self) -> int:
        late: int = self._scratch.value("SELECT count(*) FROM vault_etl.late")
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
                    keys = None  # a loader without a fence takes new keys at times too
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
        yield PostgresTokenRotations(database, DEFAULT), PostgresTokenCutOver(database, DEFAULT)
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
