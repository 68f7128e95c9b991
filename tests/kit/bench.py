"""The vault of a contract suite, and the same vault in memory."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Protocol

from typing_extensions import override

from tests.kit.declarations import DEFAULT, widest_first
from tests.kit.declared import IP
from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.eraser import FakeEraser
from tests.kit.fakes.key_store import FakeKeyStore
from tests.kit.fakes.quarantine import FakeQuarantine, FakeQuarantineDiscarder
from tests.kit.fakes.record_finder import FakeRecordFinder
from tests.kit.fakes.record_loader import FakeRecordLoader
from tests.kit.fakes.reencrypter import FakeReencrypter
from tests.kit.fakes.rotation import (
    FakeDataRotations,
    FakeRangeClaims,
    FakeRotationReader,
    FakeTokenRotations,
)
from tests.kit.fakes.tokens import FakeTokens
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import HOUR, stored_key, token_keys
from tests.kit.stored_rows import Row, columns
from vault_etl.audit.log import AuditLog, AuditReader
from vault_etl.audit.opening import DisclosedValues
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.crypto.keys import DataKey, KeyState
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.erase.erase import Eraser
from vault_etl.keys.age import KeyAges
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.init import FirstKeyWriter
from vault_etl.keys.make import DataKeyWriter, NewKey
from vault_etl.keys.needed import KeyLister
from vault_etl.keys.ring import KeyReader
from vault_etl.quarantine.discard import QuarantineDiscarder
from vault_etl.quarantine.mover import QuarantineMover
from vault_etl.quarantine.read import QuarantineReader
from vault_etl.records.write_batch import RecordLoader
from vault_etl.reveal.duplicates import DuplicateFinder
from vault_etl.reveal.find import RecordFinder
from vault_etl.rotation.backfill import BackfillStore
from vault_etl.rotation.compare_tokens import TokenComparer
from vault_etl.rotation.data_keys import DataRotations, RotationReader
from vault_etl.rotation.pending_generation import TokenRotations
from vault_etl.rotation.ranges import OpenRotation, Range
from vault_etl.rotation.reencrypt import Reencrypter
from vault_etl.rotation.token_keys import NamedCounter, TokenCutOver
from vault_etl.rotation.workers import RangeClaims

Rejected = tuple[object, ...]


class KeyStore(KeyReader, FirstKeyWriter, KeyRetirer, KeyLister, KeyAges, Protocol):
    """The parts of the table of keys that a rotation uses."""


class Bench:
    """The adapters under test, each with its role's login, and ways to look behind them.

    In `declaration` each value has the name of its field. The suites store rows of its widest event.
    """

    declaration: Declaration
    loader: RecordLoader
    data_keys: DataKeyWriter
    keys: KeyStore
    reencrypter: Reencrypter
    audit: AuditLog
    others_audit: AuditLog
    disclosed: DisclosedValues
    reader: AuditReader
    quarantine: QuarantineReader
    mover: QuarantineMover
    discarder: QuarantineDiscarder
    finder: RecordFinder
    duplicates: DuplicateFinder
    eraser: Eraser
    rotations: RotationReader
    data_rotations: DataRotations
    token_rotations: TokenRotations
    claims: RangeClaims
    backfill: BackfillStore
    comparer: TokenComparer
    named: NamedCounter
    cut_over: TokenCutOver

    @property
    def event(self) -> DeclaredEvent:
        """The event whose rows a suite stores."""
        return widest_first(self.declaration)[0]

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """The fields of its values: `ip` is one of them."""
        return tuple(value.field.name for value in self.event.personal)

    @property
    def other(self) -> FieldName:
        """A field of its values that is not `ip`."""
        return next(field for field in self.fields if field != IP)

    def field(self, name: str) -> FieldName:
        """The field that a suite calls so: `other` is `self.other`, and every other name is a field's own."""
        return self.other if name == "other" else FieldName(name)

    def token_keys(self, generation: int) -> list[NewKey]:
        """One made-up token key a field."""
        return token_keys(generation, self.declaration.field_names)

    def now(self) -> dt.datetime:
        """The database's time."""
        raise NotImplementedError

    def pending(self, keys: list[NewKey]) -> None:
        """Store token keys as the pending generation."""
        raise NotImplementedError

    def grow_older(self, by: dt.timedelta) -> None:
        """Let the keys that there are be so much older."""
        raise NotImplementedError

    def keys_of(self, role: str) -> KeyAges:
        """The table of keys as a role sees it."""
        raise NotImplementedError

    def records(self) -> dict[uuid.UUID, Row]:
        """The columns of every record, by their names."""
        raise NotImplementedError

    def rejections(self) -> dict[uuid.UUID, Rejected]:
        """Every row of quarantine: reason, path, body."""
        raise NotImplementedError

    def erase(self, record_id: uuid.UUID, field: FieldName) -> None:
        """Take a token and a ciphertext away, or a quarantined body."""
        raise NotImplementedError

    def destroy(self, key_id: int) -> None:
        """Take a retired key's bytes away, whatever still needs it."""
        raise NotImplementedError

    def change_token(
        self,
        record_id: uuid.UUID,
        field: FieldName,
        token: uuid.UUID | None,
        *,
        is_next: bool = False,
    ) -> None:
        """Write over a token, as a role that may UPDATE records can."""
        raise NotImplementedError

    def open_rotation(self, rotation: OpenRotation) -> None:
        """Let this be the rotation of data keys that is under way, where one is stored."""

    def plant(self, record_id: uuid.UUID, field: FieldName, sealed: bytes) -> None:
        """Write over a ciphertext, as the owner alone can."""
        raise NotImplementedError

    def new_key(self, field: FieldName) -> DataKey:
        """A stored, active data key of the login that seals again."""
        return self.data_key(field)

    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        """The ranges of a rotation, in the order in which they are claimed, and whether they are done."""
        raise NotImplementedError

    def pass_lease(self, seconds: float) -> None:
        """Let so much time pass in which no process works on a range."""
        raise NotImplementedError

    def data_key(self, field: FieldName, lease: dt.timedelta = HOUR) -> DataKey:
        """A stored, active data key."""
        return stored_key(self.data_keys, field, lease)

    def first_token_keys(self) -> list[NewKey]:
        """Generation 1, stored."""
        made = self.token_keys(1)
        assert self.keys.add_first_keys(rotate_request(), made)
        return made


class FakeBench(Bench):
    """A bench in memory."""

    def __init__(self, declaration: Declaration = DEFAULT) -> None:
        self.declaration = declaration
        self._clock = FakeClock()
        self._database = database = FakeDatabase(self._clock, declaration)
        store = FakeKeyStore(database)
        self.data_keys = self.keys = self._store = store
        loader = FakeRecordLoader(database)
        self.loader, self.reencrypter = loader, FakeReencrypter(database)
        self.quarantine = self.mover = quarantine = FakeQuarantine(database, loader)
        self.discarder = FakeQuarantineDiscarder(database, quarantine)
        self.others_audit = FakeAuditLog(database, login="other")
        self.audit = self.disclosed = self.reader = FakeAuditLog(database)
        self.finder = self.duplicates = FakeRecordFinder(database)
        self.eraser = FakeEraser(database)
        self.rotations = FakeRotationReader(database)
        self.data_rotations = FakeDataRotations(database, store)
        self.token_rotations = FakeTokenRotations(database, store)
        self.claims = FakeRangeClaims(database)
        tokens = FakeTokens(database, FakeAuditLog(database))
        self.backfill = self.comparer = self.named = self.cut_over = tokens

    @override
    def now(self) -> dt.datetime:
        return self._clock.now()

    @override
    def pending(self, keys: list[NewKey]) -> None:
        for key in keys:
            self._store.store(key, KeyState.PENDING)

    @override
    def grow_older(self, by: dt.timedelta) -> None:
        self._clock.jump(by)

    @override
    def keys_of(self, role: str) -> KeyAges:
        """The same keys for every role: a fake has no grants."""
        del role
        return self._store

    @override
    def records(self) -> dict[uuid.UUID, Row]:
        return {r.record_id: columns(r, self.declaration) for r in self._database.records.values()}

    @override
    def rejections(self) -> dict[uuid.UUID, Rejected]:
        return {
            r.record_id: (
                r.reason.value,
                r.path,
                None if r.record_id in self._database.erased_bodies else r.body_ciphertext,
            )
            for r in self._database.quarantine.values()
        }

    @override
    def erase(self, record_id: uuid.UUID, field: FieldName) -> None:
        if field == QUARANTINE:
            self._database.erased_bodies.add(record_id)
            return
        record = self._database.records[record_id]
        del record.tokens[field], record.ciphertexts[field]

    @override
    def destroy(self, key_id: int) -> None:
        self._database.set_state(key_id, KeyState.DESTROYED)

    @override
    def change_token(
        self,
        record_id: uuid.UUID,
        field: FieldName,
        token: uuid.UUID | None,
        *,
        is_next: bool = False,
    ) -> None:
        record = self._database.records[record_id]
        tokens = {**((record.next_tokens if is_next else record.tokens) or {}), field: token}
        there = {f: t for f, t in tokens.items() if t is not None}
        self._database.records[record_id] = (
            record._replace(next_tokens=there) if is_next else record._replace(tokens=there)
        )

    @override
    def plant(self, record_id: uuid.UUID, field: FieldName, sealed: bytes) -> None:
        if field == QUARANTINE:
            rejection = self._database.quarantine[record_id]
            self._database.quarantine[record_id] = dataclasses.replace(
                rejection, body_ciphertext=sealed
            )
            return
        record = self._database.records[record_id]
        self._database.records[record_id] = record._replace(
            ciphertexts={**record.ciphertexts, field: sealed}
        )

    @override
    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        return [(held.range, held.is_done) for held in self._database.ranges.get(rotation_id, [])]

    @override
    def pass_lease(self, seconds: float) -> None:
        self._clock.advance(seconds)
