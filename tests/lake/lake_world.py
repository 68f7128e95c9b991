"""A set of three parts in memory, and the vault that has its keys."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tests.kit.declarations import WIDER
from tests.kit.fakes.identity import ACTOR
from tests.kit.fakes.receipts import any_receipt
from tests.kit.fakes.vault import FakeVault
from tests.kit.sets import SetSigner, manifest_of
from tests.lake.mortal import KillSwitch, MortalStore, SetRecord
from vault_etl.archives.manifest import Contents, part_name
from vault_etl.archives.parquet_layout import columns_of_set
from vault_etl.archives.parquet_parts import ValueCounts, set_marks, write_part
from vault_etl.archives.sets import CurrentSet, SetStore, SetWriter
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.opening import Opener
from vault_etl.crypto.record_id import record_id_of_line
from vault_etl.crypto.sealing import Sealer
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.lake.erase import EraseFromSet, Erasures
from vault_etl.lake.open import OpenSet
from vault_etl.lake.parquet_batches import BatchSealer
from vault_etl.lake.parquet_changes import (
    PartOpener,
    PartReader,
    PartRotator,
    RotationNeed,
    erased_part,
    rows_to_erase,
)
from vault_etl.lake.parquet_opening import BatchOpener
from vault_etl.lake.rewrite import SetRewriter
from vault_etl.lake.rotate import NeededKeys, RotateSet

EVENT: Final = WIDER.events[0]
FIELDS: Final = tuple(WIDER.field_names)
PARTS: Final = 3
SENT_MS: Final = 1_767_225_600_123
BODY: Final = '{"user_id":"%s","device_type":"ios","ip":"198.51.100.%d","device_id":"Phone-%d"}'


class LakeWorld:
    """Six records of three users, two in each part. No part has the number 1, as after a task without rows."""

    def __init__(self, tmp_path: Path) -> None:
        self.vault = FakeVault(declaration=WIDER)
        self._scratch = tmp_path
        self._numbers = itertools.count()
        self.stored = dict[str, bytes]()
        self.signer = SetSigner()
        self.reader, self.writer = self.process(KillSwitch())
        self.record = SetRecord(self._seal().sha256)

    def scratch(self) -> Path:
        """The private folder of a new process."""
        path = self._scratch / f"scratch-{next(self._numbers)}"
        path.mkdir()
        return path

    def current(self) -> CurrentSet:
        """The set on the record."""
        return self.reader.read(self.record.sha256)

    def rotate(self, switch: KillSwitch | None = None) -> Any:  # noqa: ANN401 - `Rotated`
        """Rotate in a new process."""
        current, ring = self.current(), self.vault.ring()
        keys = NeededKeys(self.vault.keys, FIELDS)
        tokenizer, _ = ring.tokenizers()
        read = PartReader.of(current)

        work = RotateSet(
            audit=self.vault.audit,
            sign=lambda head: head,
            record=self.record.through(switch or KillSwitch()),
            rewriter=self._rewriter(switch or KillSwitch()),
            keys=keys,
            needs=RotationNeed(read, keys.active(current.manifest.contents), tokenizer.generation),
            change=PartRotator(read, EVENT, ring, self.vault.leases(), tokenizer),
            progress=self.vault.progress,
        )
        return work(request_of(Action.LAKE_ROTATE), current)

    def erase(self, switch: KillSwitch | None = None) -> Any:  # noqa: ANN401 - `ErasedSet`
        """Do the erasures that wait, in a new process."""
        waiting = self.record.pending
        what = Erasures(frozenset(waiting.values()), frozenset(), tuple(waiting))
        return self.eraser(switch)(request_of(Action.LAKE_ERASE), self.current(), what)

    def eraser(self, switch: KillSwitch | None = None) -> EraseFromSet:
        """Build the service of a new process."""
        read = PartReader.of(self.current())
        return EraseFromSet(
            record=self.record.through(switch or KillSwitch()),
            rewriter=self._rewriter(switch or KillSwitch()),
            count=lambda what, path: rows_to_erase(
                read, EVENT, what.subjects, what.record_ids, path
            ),
            erase=lambda what, old, new: erased_part(
                read, EVENT, what.subjects, what.record_ids, old, new
            ),
            progress=self.vault.progress,
        )

    def opening(self, fields: Iterable[str] = FIELDS, current: CurrentSet | None = None) -> OpenSet:
        """Build the service that opens the set."""
        current = current or self.current()
        read, ring = PartReader.of(current), self.vault.ring()
        wanted = [field for field in FIELDS if field in set(fields)]
        return OpenSet(
            audit=self.vault.audit,
            store=self.reader,
            check=read.check,
            batches=PartOpener(read, EVENT, wanted, ring),
            progress=self.vault.progress,
        )

    def values(self) -> list[tuple[str, str | None]]:
        """The user and the address of each record, opened from the set on the record."""
        found: list[tuple[str, str | None]] = []
        current, ring = self.current(), self.vault.ring()
        read = PartReader.of(current)
        opener = BatchOpener(EVENT, FIELDS, Opener(any_receipt()), ring)
        for part in current.manifest.parts:
            with self.reader.part(part) as path:
                for batch in read(path):
                    rows = opener.open(batch).expose()
                    found += zip(rows["user_id"].to_pylist(), rows["ip"].to_pylist(), strict=True)
        return sorted(found, key=lambda one: (one[1] or "", one[0]))

    def counts(self) -> Contents:
        """The contents, counted from the parts."""
        current, counts = self.current(), ValueCounts()
        read = PartReader.of(current)
        for part in current.manifest.parts:
            with self.reader.part(part) as path:
                for batch in read(path):
                    counts.add(batch)
        return Contents(counts.rows, None, counts.keys(), counts.generations())

    def process(self, switch: KillSwitch) -> tuple[SetStore, SetWriter]:
        """The reader and the writer of a new process, with a private folder."""
        store, folder = MortalStore(self.stored, switch), self.scratch()
        key = self.signer.key
        return SetStore(store, folder, key), SetWriter(store, folder, self.signer.sign, key)

    def _rewriter(self, switch: KillSwitch) -> SetRewriter:
        reader, writer = self.process(switch)
        return SetRewriter(
            reader=reader,
            writer=writer,
            folder=writer.folder,
            now=lambda: dt.datetime(2026, 2, 3, tzinfo=dt.UTC),
            tool="vault-etl 0.1.0",
        )

    def _seal(self) -> CurrentSet:
        leases, parser = self.vault.leases(), EventParser(WIDER)
        sealer = BatchSealer(
            EVENT,
            Sealer([leases.data_key(field, 100) for field in FIELDS]),
            self.vault.ring().tokenizers()[0],
        )
        bare = manifest_of(1, [])
        marks = set_marks(bare.vault_id, bare.set_id, bare.event, bare.declaration_sha256)
        parts, counts = [], ValueCounts()
        for at in range(PARTS):
            rows = []
            for number in (2 * at + 1, 2 * at + 2):
                event = parser.parse((BODY % (f"u-{number % 5}", number, number)).encode())
                assert isinstance(event, ParsedEvent)
                rows.append((record_id_of_line(bare.set_id, number, SENT_MS), event))
            batch = sealer.seal(rows)
            counts.add(batch)
            written = write_part(
                self.writer.folder / part_name(at + 2), pa.Table.from_batches([batch]), marks
            )
            self.writer.put(written.part.name, written.path)
            parts.append(written.part)
        contents = Contents(counts.rows, None, counts.keys(), counts.generations())
        keys = NeededKeys(self.vault.keys, FIELDS)(contents)
        manifest = manifest_of(1, parts)
        return self.writer.commit(
            replace(manifest, columns=columns_of_set(EVENT), contents=contents), keys
        )


def request_of(action: Action) -> AuditRequest:
    """The request of a command."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=action,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        fields=FIELDS,
    )
