"""A vault of any declaration to rotate: the real tables and adapters, and a KMS in memory with keys of any field."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.kit.fakes.clock import FakeStop
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.key_service import FakeKms
from tests.kit.fakes.login_events import DEFAULTS
from tests.kit.fakes.receipts import any_receipt
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.kit.scratch import Scratch
from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.audit.opening import Opener
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.crypto.ciphertext import ValuePlace, key_id_in
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.model import Declaration, DeclaredEvent, PersonalValue
from vault_etl.event.events import EventParser
from vault_etl.keys.init import init_keys
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.keys.postgres_destroy import PostgresOldTokens
from vault_etl.keys.ring import KeyRing
from vault_etl.keys.value_keys import ValueKeys
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.platform.clock import Pace
from vault_etl.records.months import choose
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.records.write_batch import BatchWriter
from vault_etl.rotation.backfill import Backfill
from vault_etl.rotation.data_keys import Rotation, RotationReport, plan_rotation
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.pending_generation import Aborted, AbortTokens, BeginTokens
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_cut_over import PostgresTokenCutOver
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_retoken import PostgresDetachedMonths, PostgresDetachedTokens
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill, PostgresTokenComparer
from vault_etl.rotation.retoken import MonthRetoken, RetokenReport, plan_retoken
from vault_etl.rotation.token_keys import CutOverTries, TokenReport, TokenRotation, plan_tokens
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeWorker


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A personal value of a record as it is stored, and what it opens to."""

    record_id: uuid.UUID
    name: str
    field: FieldName
    text: bytes
    key_id: int
    token: uuid.UUID
    next_token: uuid.UUID | None


class DeclaredSite:
    """One vault: its declaration, its tables, and its keys."""

    def __init__(self, scratch: Scratch, declaration: Declaration, opened: ExitStack) -> None:
        self.scratch, self.declaration = scratch, declaration
        self._fake = FakeVault()
        self.kms = FakeKms()
        self._database = opened.enter_context(scratch.database("re-encrypt"))
        self._ingest = opened.enter_context(scratch.database("ingest"))
        self.keys = PostgresKeyStore(self._database)
        self._audit = PostgresAuditLog(self._database)
        self.rotations = PostgresTokenRotations(self._database, declaration)
        init_keys(
            reader=self.keys,
            writer=self.keys,
            generator=self.kms,
            unwrapper=self.kms,
            audit=self._audit,
            identity=FakeIdentity(),
            fields=declaration.field_names,
        )

    def load(self, *events: Mapping[str, Any]) -> None:
        """Load these, each over the default event, by the writer of ingest."""
        bodies = [json.dumps(DEFAULTS | dict(event)).encode() for event in events]
        leases = DataKeyLeases(self.kms, PostgresKeyStore(self._ingest), self._fake.clock)
        writer = BatchWriter(
            PostgresRecordLoader(self._ingest, self.declaration),
            self.ring(),
            leases,
            self._fake.clock,
            EventParser(self.declaration),
        )
        writer.prepare()
        written = writer.write(self._fake.receive(*bodies))
        assert {outcome.value for outcome in written.outcomes} == {"stored"}

    def ring(self) -> KeyRing:
        """A cold key ring."""
        return KeyRing(self.keys, self.kms, self.declaration.kinds)

    def rotate(self, *fields: FieldName) -> RotationReport:
        """Plan a rotation of the data keys of these fields, or of all, and run it."""
        request = rotate_request(*(fields or self.declaration.data_fields))
        rotation = Rotation(
            audit=self._audit,
            rotations=PostgresDataRotations(self._database, self.declaration),
            workers=[
                RangeWorker(
                    PostgresRangeClaims(self._database, request.request_id),
                    PostgresReencrypter(self._database, self.declaration),
                )
            ],
            keys=self._workers_keys(),
            pace=self._pace(),
            progress=self._fake.progress,
        )
        plan = plan_rotation(self.keys, PostgresRotationReader(self._database), request.fields)
        return rotation.rotate(request, plan)

    def rotate_tokens(self, *leave_out: uuid.UUID) -> TokenReport:
        """Plan a rotation of the token keys, and run it."""
        request = rotate_request(*self.declaration.field_names)
        comparer = PostgresTokenComparer(self._database, self.declaration)
        pace = self._pace()
        rotation = TokenRotation(
            audit=self._audit,
            sign=self._fake.signed.append,
            identity=FakeIdentity(),
            begin=self.begin,
            backfill=Backfill(
                [event.name for event in self.declaration.events],
                [
                    RangeWorker(
                        PostgresRangeClaims(self._database, request.request_id),
                        PostgresTokenBackfill(self._database, self.declaration),
                    )
                ],
                self._workers_keys(),
                pace,
                self._fake.progress,
            ),
            keys=self.keys,
            comparer=comparer,
            cut_over=CutOverTries(
                PostgresTokenCutOver(self._database, self.declaration),
                self._fake.clock,
                pace.stop,
                self._fake.progress,
                60.0,
            ),
        )
        named = [LeaveOut(record_id=record_id) for record_id in leave_out]
        return rotation.rotate(request, plan_tokens(self.keys, comparer, comparer, named))

    @property
    def begin(self) -> BeginTokens:
        """The beginning of a rotation of the token keys."""
        fields = self.declaration.field_names
        return BeginTokens(self.keys, self.rotations, self.kms, self.kms, fields)

    def abort(self) -> Aborted:
        """Abort the rotation of the token keys."""
        old_tokens = PostgresOldTokens(self._database)
        abort = AbortTokens(self._audit, self.rotations, self.keys, old_tokens, self._fake.progress)
        return abort(rotate_request(*self.declaration.field_names))

    def detach(self, event: str) -> str:
        """Put the month of the records of an event away; return the name of its table."""
        ((name,),) = self.scratch.sql(f"SELECT DISTINCT tableoid::regclass::text FROM {event}")  # noqa: S608
        with self.scratch.database("admin") as database:
            partitions = PostgresPartitions(database, 5.0)
            request = audit_request(FakeIdentity(), Action.PARTITIONS_DETACH, "a test asks")
            partitions.detach(request, choose(partitions.partitions(), name))
        return str(name)

    def attach(self, month: str) -> None:
        """Take a month back."""
        with self.scratch.database("admin") as database:
            partitions = PostgresPartitions(database, 5.0)
            request = audit_request(FakeIdentity(), Action.PARTITIONS_ATTACH, "a test asks")
            partitions.attach(request, choose(partitions.partitions(), month))

    def retoken(self, month: str) -> RetokenReport:
        """Plan the retoken of a detached month, and run it."""
        fields = self.declaration.field_names
        request = audit_request(
            FakeIdentity(), Action.PARTITIONS_RETOKEN, "a test asks", fields=fields
        )
        months = PostgresDetachedMonths(self._database, self.declaration)
        retoken = MonthRetoken(
            audit=self._audit,
            identity=FakeIdentity(),
            months=months,
            workers=[
                RangeWorker(
                    PostgresRangeClaims(self._database, request.request_id),
                    PostgresDetachedTokens(self._database, self.declaration),
                )
            ],
            keys=self._workers_keys(),
            pace=self._pace(),
            progress=self._fake.progress,
        )
        return retoken(request, plan_retoken(months, self.keys, months.find(month), fields))

    def values(self, *, of: str | None = None, table: str | None = None) -> list[StoredValue]:
        """The personal values of an event, or of all, opened, with tokens: in its own table or in another one.

        Raises if one does not open, or if its token is another's.
        """
        found = [
            value
            for event in self.declaration.events
            if of in {None, event.name}
            for personal in event.personal
            for value in self._values(event, personal, table or event.name)
        ]
        return sorted(found, key=lambda value: (value.record_id, value.name))

    def _values(
        self, event: DeclaredEvent, value: PersonalValue, table: str
    ) -> Iterator[StoredValue]:
        ring, opener = self.ring(), Opener(any_receipt())
        tokens = ", ".join(f'"{column}"' for column in value.tokens)
        next_tokens = ", ".join(f"next_{column}" for column in value.tokens)
        rows = self.scratch.sql(
            f"SELECT record_id, {event.subject.name}, {value.ciphertext}, ARRAY[{tokens}], ARRAY[{next_tokens}],"  # noqa: S608
            f" token_generation FROM {table}"
        )
        for record_id, subject, sealed, stored, pending, generation in rows:
            assert {token is None for token in stored} == {sealed is None}
            assert len({token is None for token in pending}) == 1
            (token, *_), (next_token, *_) = stored, pending
            if sealed is None:
                assert next_token is None
                continue
            field = value.field.name
            place = ValuePlace(event.name, value.name, field, record_id, subject)
            key = ring.data_key(key_id_in(bytes(sealed)), field)
            text = opener.open(bytes(sealed), place, key)
            tokenizer = ring.field_tokenizer(field, generation)
            assert [tokenizer.token(text, form) for _, form in value.token_names] == stored
            yield StoredValue(
                record_id, value.name, field, text.expose(), key.key_id, token, next_token
            )

    def _workers_keys(self) -> WorkerKeys:
        ring = self.ring()
        value_keys = ValueKeys(ring, self.kms, self.keys, self.kms, self.kms)
        leases = DataKeyLeases(self.kms, self.keys, self._fake.clock)
        return WorkerKeys(ring, value_keys, leases, self._fake.clock, self.declaration)

    def _pace(self) -> Pace:
        return Pace(self._fake.clock, stop=FakeStop(self._fake.clock))


@contextmanager
def declared_site(scratch: Scratch, declaration: Declaration) -> Iterator[DeclaredSite]:
    """A vault with keys in a database that was migrated for the declaration."""
    with ExitStack() as opened:
        yield DeclaredSite(scratch, declaration, opened)
