"""Small loads one after another in this process, by the real writer, and the time each waits for the fence."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import psycopg2.extensions
import pytest

from tests.kit.events import event
from tests.kit.vault import Vault
from tests.rotation.contents import parts_of
from vault_etl.app.batches import batch_writer
from vault_etl.base.pii import Pii
from vault_etl.crypto.keys import DataKey
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.records import postgres as postgres_records
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.postgres import fence_holds
from vault_etl.records.write_batch import BatchWriter

SECONDS = 60
BATCH = 3
WAITED = re.compile(
    r"acquired RowExclusiveLock on relation (\d+) of database (\d+) after ([\d.]+) ms"
)


class Loading:
    """Loads until it is told to end. Times are in seconds."""

    def __init__(self, vault: Vault) -> None:
        self.bodies: list[str] = []
        self.loads: list[float] = []
        self.fences: list[float] = []
        """From the LOCK to the answer of what is read behind it."""
        self._vault = vault
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._log_from = vault.server.log.stat().st_size

    def fence(
        self,
        cursor: psycopg2.extensions.cursor,
        data_keys: Sequence[DataKey],
        generations: tuple[int, int | None] | None,
        writer: WriterDeclaration,
    ) -> bool:
        """Take the real fence, timed."""
        began = time.monotonic()
        holds = fence_holds(cursor, data_keys, generations, writer)
        self.fences.append(time.monotonic() - began)
        return holds

    @contextmanager
    def going_on(self) -> Iterator[Self]:
        """Load while the block runs."""
        self._have_waits_logged()
        with parts_of(self._vault, "ingest") as parts:
            writer = batch_writer(parts)
            writer.prepare()
            thread = threading.Thread(target=self._run, args=(writer,))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(postgres_records, "fence_holds", self.fence)
                thread.start()
                try:
                    yield self
                finally:
                    self._over.set()
                    thread.join(SECONDS)
        if self._failure is not None:
            raise self._failure

    def server_waits(self) -> list[float]:
        """All waits for the fence of more than a millisecond, as the server logged them."""
        fence = str(self._vault.sql("SELECT 'vault_etl.key_fence'::regclass::oid")[0][0])
        database = str(
            self._vault.sql("SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
        )
        with self._vault.server.log.open(encoding="utf-8") as log:
            log.seek(self._log_from)
            found = WAITED.findall(log.read())
        return [float(ms) / 1000 for *where, ms in found if where == [fence, database]]

    def _have_waits_logged(self) -> None:
        """The server logs a wait when it is over, if it was longer than deadlock_timeout."""
        for setting in ("deadlock_timeout = '1ms'", "log_lock_waits = on"):
            self._vault.sql(
                f'ALTER ROLE test_ingest IN DATABASE "{self._vault.database}" SET {setting}'
            )

    def _run(self, writer: BatchWriter) -> None:
        try:
            while not self._over.is_set():
                self._load(writer)
        except BaseException as error:
            self._failure = error
            raise

    def _load(self, writer: BatchWriter) -> None:
        first = len(self.bodies)
        bodies = [
            event(user_id=f"l-{n}", ip=f"198.19.0.{n % 250}", device_id=f"dev-{n % 99}")
            for n in range(first, first + BATCH)
        ]
        now = round(time.time() * 1000)
        messages = [Message(str(uuid.uuid4()), "", Pii.of_text(body), now) for body in bodies]
        began = time.monotonic()
        written = writer.write(messages)
        self.loads.append(time.monotonic() - began)
        assert written.outcomes == [Outcome.STORED] * BATCH, written.cause
        self.bodies += bodies
