"""A whole vault in memory: every port's fake over one set of tables, with token keys of generation 1."""

from __future__ import annotations

import copy
import datetime as dt
import threading
import uuid
from collections.abc import Callable
from typing import Any

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, IP, PERSONAL_FIELDS
from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.clock import FakeClock, FakeStop
from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.identity import ACTOR, FakeIdentity
from tests.kit.fakes.ingest_observer import FakeIngestObserver
from tests.kit.fakes.key_service import FakeKms, token_key
from tests.kit.fakes.key_store import FakeKeyStore
from tests.kit.fakes.progress import FakeProgress
from tests.kit.fakes.queue import FakeQueue
from tests.kit.fakes.record_loader import FakeRecordLoader
from tests.kit.fakes.reencrypter import FakeReencrypter
from tests.kit.fakes.rotation import (
    FakeDataRotations,
    FakeRangeClaims,
    FakeRotationReader,
    FakeTokenRotations,
)
from tests.kit.fakes.stepped_ingest import SteppedIngest
from tests.kit.fakes.tokens import FakeTokens
from tests.kit.parsed import parser_of
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.limits import MAX_LEASE
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.declaration.model import Declaration
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import Limits
from vault_etl.ingest.run import HEARTBEATS, Ingest, IngestOptions, IngestSummary
from vault_etl.ingest.steps import Bounds, IngestSteps
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.ring import ExplainedKeys, KeyRing
from vault_etl.keys.value_keys import ValueKeys
from vault_etl.platform.clock import Pace, Stop
from vault_etl.platform.waiting import Patience
from vault_etl.records.messages import Message, Outcome
from vault_etl.records.write_batch import BatchWriter
from vault_etl.reveal.reveal import Reveal
from vault_etl.rotation.backfill import Backfill
from vault_etl.rotation.data_keys import Rotation, RotationReport, plan_rotation
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.pending_generation import BeginTokens
from vault_etl.rotation.token_keys import CutOverTries, TokenReport, TokenRotation, plan_tokens
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeWorker

UNTIL_EMPTY = Bounds()

IMPATIENT = Patience(unavailable=0, denied=0)
"""Of a process that gives up at its first failure."""

PATIENT = Patience(unavailable=None, denied=None)
"""Of one that never does."""


class FakeVault:
    """The parts, and the services built from them. Each service takes a part in another's place.

    `clock` may be a `RunningClock`, where a test does without `FakeClock.jump`. In `declaration` each value has the
    name of its field.
    """

    def __init__(self, clock: Any = None, declaration: Declaration = DEFAULT) -> None:  # noqa: ANN401 - see above
        self.clock: FakeClock = clock or FakeClock()
        self.declaration = declaration
        self.kms = FakeKms()
        self.database = FakeDatabase(self.clock, declaration)
        self.keys = FakeKeyStore(self.database)
        self.loader = FakeRecordLoader(self.database)
        self.reencrypter = FakeReencrypter(self.database)
        self.rotations = FakeRotationReader(self.database)
        self.data_rotations = FakeDataRotations(self.database, self.keys)
        self.token_rotations = FakeTokenRotations(self.database, self.keys)
        self.claims = FakeRangeClaims(self.database)
        self.audit = FakeAuditLog(self.database)
        self.tokens = FakeTokens(self.database, self.audit)
        self.use_queue(FakeQueue(self.clock))
        self.progress = FakeProgress()
        self.signed: list[Head] = []
        self.observer = FakeIngestObserver()
        self.add_token_keys(1, KeyState.ACTIVE)

    def use_queue(self, queue: FakeQueue) -> None:
        """Another one, with whatever is wrong with it."""
        self.queue = queue
        self.queue.before_delete = self._must_be_committed

    def tapped(self, tap: Callable[[object], Any]) -> FakeVault:
        """The same vault, seen by one process through taps: every call of a port goes through them."""
        other = copy.copy(self)
        other.kms, other.keys, other.queue = tap(self.kms), tap(self.keys), tap(self.queue)
        other.loader, other.reencrypter = tap(self.loader), tap(self.reencrypter)
        other.claims, other.tokens = tap(self.claims), tap(self.tokens)
        other.data_rotations = tap(self.data_rotations)
        other.token_rotations = tap(self.token_rotations)
        other.audit = tap(self.audit)
        return other

    def add_token_keys(self, generation: int, state: KeyState) -> None:
        """One token key a personal field."""
        for field in self.declaration.field_names:
            self.keys.store(token_key(self.kms, field, generation), state)

    def ring(self) -> KeyRing:
        """A cold key ring."""
        return KeyRing(self.keys, self.kms, self.declaration.kinds)

    def leases(self, *, max_age: dt.timedelta = MAX_LEASE, max_seals: int = 2**28) -> DataKeyLeases:
        """Leases of a process that has none yet."""
        return DataKeyLeases(self.kms, self.keys, self.clock, max_age=max_age, max_seals=max_seals)

    def writer(self) -> BatchWriter:
        """Build the writer of batches of a new process."""
        parser = parser_of(self.declaration)
        return BatchWriter(self.loader, self.ring(), self.leases(), self.clock, parser)

    def steps(
        self,
        *,
        bounds: Bounds = UNTIL_EMPTY,
        patience: Patience = IMPATIENT,
        **limits: Any,  # noqa: ANN401 - as `Limits` has them
    ) -> IngestSteps:
        """The steps of one ingest, in a new process."""
        limits["max_messages"] = bounds.max_messages
        if "visibility" not in limits:
            limits["visibility"] = self.queue.visibility_timeout()
        return IngestSteps(
            IngestEngine(Limits(**limits)),
            self.queue,
            self.queue,
            self.writer(),
            self.clock,
            self.observer,
            patience,
            bounds,
        )

    def ingest(self, *, wait: int = 1, receivers: int = 1, **options: Any) -> SteppedIngest:  # noqa: ANN401 - as `steps` has them
        """One ingest in one thread, in a new process."""
        steps = self.steps(receivers=receivers, **options)
        return SteppedIngest(steps, self.clock, receivers=receivers, wait=wait)

    def threads(
        self,
        *,
        wait: int = 1,
        receivers: int = 1,
        stop_within: float = 28.0,
        tick: float = 0.005,
        **options: Any,  # noqa: ANN401 - as `steps` has them
    ) -> Ingest:
        """One ingest with its threads, in a new process."""
        steps = self.steps(receivers=receivers, heartbeats=HEARTBEATS, **options)
        how = IngestOptions(wait, receivers, stop_within, tick)
        return Ingest(steps, self.clock, how)

    def rotation(
        self, *, rate: float | None = None, workers: int = 1, stop: Stop | None = None
    ) -> Rotation:
        """One rotation of data keys, in a new process. More workers than one are threads."""
        return Rotation(
            audit=self.audit,
            rotations=self.data_rotations,
            workers=[RangeWorker(self.claims, self.reencrypter)] * workers,
            keys=self._workers_keys(self.ring()),
            pace=Pace(self.clock, rate, stop or FakeStop(self.clock)),
            progress=self.progress,
        )

    def rotate(self, *fields: FieldName, **options: Any) -> RotationReport:  # noqa: ANN401 - of `rotation`
        """Plan a rotation of these fields, or all, and run it."""
        request = rotate_request(*(fields or self.declaration.data_fields))
        plan = plan_rotation(self.keys, self.rotations, request.fields)
        return self.rotation(**options).rotate(request, plan)

    def token_rotation(
        self, *, wait: float = 60.0, workers: int = 1, stop: Stop | None = None
    ) -> TokenRotation:
        """One rotation of the token keys, in a new process. More workers than one are threads."""
        pace = Pace(self.clock, stop=stop or FakeStop(self.clock))
        reader = ExplainedKeys(self.keys, self.keys)
        fields = self.declaration.field_names
        return TokenRotation(
            audit=self.audit,
            sign=self.signed.append,
            identity=FakeIdentity(),
            begin=BeginTokens(reader, self.token_rotations, self.kms, self.kms, fields),
            backfill=Backfill(
                [event.name for event in self.declaration.events],
                [RangeWorker(self.claims, self.tokens)] * workers,
                self._workers_keys(KeyRing(reader, self.kms, self.declaration.kinds)),
                pace,
                self.progress,
            ),
            keys=self.keys,
            comparer=self.tokens,
            cut_over=CutOverTries(self.tokens, self.clock, pace.stop, self.progress, wait),
        )

    def rotate_tokens(self, *leave_out: uuid.UUID | LeaveOut, **options: Any) -> TokenReport:  # noqa: ANN401 - of `token_rotation`
        """Plan a rotation of the token keys, and run it."""
        named = [LeaveOut(record_id=w) if isinstance(w, uuid.UUID) else w for w in leave_out]
        plan = plan_tokens(self.keys, self.tokens, self.tokens, named)
        request = rotate_request(*self.declaration.field_names)
        return self.token_rotation(**options).rotate(request, plan)

    def value_keys(self, ring: KeyRing) -> ValueKeys:
        """Build the service that passes keys that are at fault."""
        return ValueKeys(ring, self.kms, self.keys, self.kms, self.kms)

    def _workers_keys(self, ring: KeyRing) -> WorkerKeys:
        return WorkerKeys(ring, self.value_keys(ring), self.leases(), self.clock, self.declaration)

    def reveal(self) -> Reveal:
        """One reveal, in a new process."""
        return Reveal(self.audit, self.audit, self.ring(), self.database, self.declaration)

    def drain(self, stop: threading.Event | None = None, **options: Any) -> IngestSummary:  # noqa: ANN401 - as above
        """Run ingest to its end."""
        return self.ingest(**options).run(stop or threading.Event())

    def receive(self, *bodies: bytes) -> list[Message]:
        """Send these bodies and receive them again."""
        for body in bodies:
            self.queue.send(body)
        received: list[Message] = []
        while batch := self.queue.receive(0):
            received += batch
        return received

    def store(self, *bodies: bytes) -> list[uuid.UUID]:
        """Load these bodies as records; their ids, in the order that they were sent."""
        before = set(self.database.records)
        written = self.writer().write(self.receive(*bodies))
        assert set(written.outcomes) <= {Outcome.STORED}
        return [record_id for record_id in self.database.records if record_id not in before]

    def _must_be_committed(self, message_id: str, sent_ms: int) -> None:
        """Whatever the test is about: no message is deleted before the commit that stored it."""
        record_id = record_id_of_message(message_id, sent_ms)
        stored = record_id in self.database.records or record_id in self.database.quarantine
        assert stored, "deleted before its commit"


def reveal_request(record_id: uuid.UUID | None, *fields: FieldName) -> AuditRequest:
    """A request to reveal these fields, or both."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.REVEAL,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        record_id=record_id,
        fields=fields or PERSONAL_FIELDS,
    )


def find_request(field: FieldName = IP) -> AuditRequest:
    """Build a request to find a value of this field."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.FIND,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        fields=(field,),
    )


def rotate_request(*fields: FieldName) -> AuditRequest:
    """A request to rotate the data keys of these fields, or all."""
    return AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.KEYS_ROTATE,
        actor=ACTOR,
        host="host.example",
        reason="a test asks",
        fields=fields or FIELDS,
    )
