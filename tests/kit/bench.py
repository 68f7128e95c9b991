"""The same vault twice, once in memory and once in Postgres, for suites that run on both."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import secrets
import uuid
from typing import Protocol

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
from tests.kit.swaps import open_data_rotation
from tests.kit.vault import Vault
from vault_etl.audit.log import AuditLog, AuditReader
from vault_etl.audit.opening import DisclosedValues
from vault_etl.audit.postgres import (
    PostgresAuditLog,
    PostgresAuditReader,
)
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose, Table
from vault_etl.crypto.keys import DataKey, KeyMaterial, KeyState, fingerprint
from vault_etl.erase.erase import Eraser
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.keys.age import KeyAges
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.init import FirstKeyWriter
from vault_etl.keys.make import DataKeyWriter, NewKey
from vault_etl.keys.needed import KeyLister
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.keys.ring import KeyReader
from vault_etl.platform.postgres import Database
from vault_etl.quarantine.discard import QuarantineDiscarder
from vault_etl.quarantine.postgres import (
    PostgresQuarantineDiscarder,
    PostgresQuarantineMover,
    PostgresQuarantineReader,
)
from vault_etl.quarantine.read import QuarantineReader
from vault_etl.quarantine.retry import QuarantineMover
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.records.write_batch import RecordLoader
from vault_etl.reveal.duplicates import DuplicateFinder
from vault_etl.reveal.find import RecordFinder
from vault_etl.reveal.postgres import (
    PostgresDisclosedValues,
    PostgresDuplicateFinder,
    PostgresRecordFinder,
)
from vault_etl.rotation.backfill import TokenBackfill
from vault_etl.rotation.compare_tokens import TokenComparer
from vault_etl.rotation.data_keys import DataRotations, RotationReader
from vault_etl.rotation.pending_generation import TokenRotations
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresRotationReader,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_tokens import (
    PostgresTokenBackfill,
    PostgresTokenComparer,
    PostgresTokenCutOver,
)
from vault_etl.rotation.ranges import OpenRotation, Range
from vault_etl.rotation.reencrypt import Reencrypter
from vault_etl.rotation.tokens import NamedCounter, TokenCutOver
from vault_etl.rotation.workers import RangeClaims

HOUR = dt.timedelta(hours=1)

_COLUMNS = (
    "user_id, device_type, masked_ip, masked_device_id, next_masked_ip, next_masked_device_id,"
    " ip_ciphertext, device_id_ciphertext, token_generation, next_token_generation, locale,"
    " app_version, create_date, event_time"
)
"""By name: a cut-over changes their order in the table."""

Row = tuple[object, ...]


class KeyStore(KeyReader, FirstKeyWriter, KeyRetirer, KeyLister, KeyAges, Protocol):
    """What rotation uses of the table of keys."""


class Bench:
    """The adapters under test, each with its role's login, and ways to look behind them."""

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
    backfill: TokenBackfill
    comparer: TokenComparer
    named: NamedCounter
    cut_over: TokenCutOver

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
        """Every record, its columns in the order of the table before any cut-over."""
        raise NotImplementedError

    def rejections(self) -> dict[uuid.UUID, Row]:
        """Every row of quarantine: reason, path, body."""
        raise NotImplementedError

    def erase(self, record_id: uuid.UUID, field: Field) -> None:
        """Take a token and a ciphertext away, or a quarantined body."""
        raise NotImplementedError

    def destroy(self, key_id: int) -> None:
        """Take a retired key's bytes away, whatever still needs it."""
        raise NotImplementedError

    def change_token(
        self, record_id: uuid.UUID, field: Field, token: uuid.UUID | None, *, is_next: bool = False
    ) -> None:
        """Write over a token, as somebody who may UPDATE records can."""
        raise NotImplementedError

    def open_rotation(self, rotation: OpenRotation) -> None:
        """Let this be the rotation of data keys that is under way, where one is stored."""

    def plant(self, record_id: uuid.UUID, field: Field, sealed: bytes) -> None:
        """Write over a ciphertext, as the owner alone can."""
        raise NotImplementedError

    def new_key(self, field: Field) -> DataKey:
        """A stored, active data key of the login that seals again."""
        return self.data_key(field)

    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        """The ranges of a rotation, in the order in which they are claimed, and whether they are done."""
        raise NotImplementedError

    def pass_lease(self, seconds: float) -> None:
        """So much time goes by in which nobody works on a range."""
        raise NotImplementedError

    def data_key(self, field: Field, lease: dt.timedelta = HOUR) -> DataKey:
        """A stored, active data key."""
        return stored_key(self.data_keys, field, lease)

    def first_token_keys(self) -> list[NewKey]:
        """Generation 1, stored."""
        made = token_keys(1)
        assert self.keys.add_first_keys(rotate_request(), made)
        return made


class FakeBench(Bench):
    """In memory."""

    def __init__(self) -> None:
        self._clock = FakeClock()
        self._database = database = FakeDatabase(self._clock)
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

    def now(self) -> dt.datetime:
        """See `Bench.now`."""
        return self._clock.now()

    def pending(self, keys: list[NewKey]) -> None:
        """See `Bench.pending`."""
        for key in keys:
            self._store.store(key, KeyState.PENDING)

    def grow_older(self, by: dt.timedelta) -> None:
        """See `Bench.grow_older`."""
        self._clock.jump(by)

    def keys_of(self, role: str) -> KeyAges:
        """See `Bench.keys_of`: a fake denies nobody."""
        del role
        return self._store

    def records(self) -> dict[uuid.UUID, Row]:
        """See `Bench.records`."""
        return {
            r.record_id: (
                r.user_id,
                r.device_type,
                *(r.tokens.get(field) for field in PERSONAL_FIELDS),
                *((r.next_tokens or {}).get(field) for field in PERSONAL_FIELDS),
                *(r.ciphertexts.get(field) for field in PERSONAL_FIELDS),
                r.token_generation,
                r.next_token_generation,
                r.locale,
                r.app_version,
                r.create_date,
                r.event_time,
            )
            for r in self._database.records.values()
        }

    def rejections(self) -> dict[uuid.UUID, Row]:
        """See `Bench.rejections`."""
        return {
            r.record_id: (
                r.reason.value,
                r.path,
                None if r.record_id in self._database.erased_bodies else r.body_ciphertext,
            )
            for r in self._database.quarantine.values()
        }

    def erase(self, record_id: uuid.UUID, field: Field) -> None:
        """See `Bench.erase`."""
        if field is Field.QUARANTINE:
            self._database.erased_bodies.add(record_id)
            return
        record = self._database.records[record_id]
        del record.tokens[field], record.ciphertexts[field]

    def destroy(self, key_id: int) -> None:
        """See `Bench.destroy`."""
        self._database.set_state(key_id, KeyState.DESTROYED)

    def change_token(
        self, record_id: uuid.UUID, field: Field, token: uuid.UUID | None, *, is_next: bool = False
    ) -> None:
        """See `Bench.change_token`."""
        record = self._database.records[record_id]
        tokens = {**((record.next_tokens if is_next else record.tokens) or {}), field: token}
        there = {f: t for f, t in tokens.items() if t is not None}
        self._database.records[record_id] = (
            dataclasses.replace(record, next_tokens=there)
            if is_next
            else dataclasses.replace(record, tokens=there)
        )

    def plant(self, record_id: uuid.UUID, field: Field, sealed: bytes) -> None:
        """See `Bench.plant`."""
        if field is Field.QUARANTINE:
            rejection = self._database.quarantine[record_id]
            self._database.quarantine[record_id] = dataclasses.replace(
                rejection, body_ciphertext=sealed
            )
            return
        record = self._database.records[record_id]
        self._database.records[record_id] = dataclasses.replace(
            record, ciphertexts={**record.ciphertexts, field: sealed}
        )

    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        """See `Bench.ranges`."""
        return [(held.range, held.is_done) for held in self._database.ranges.get(rotation_id, [])]

    def pass_lease(self, seconds: float) -> None:
        """See `Bench.pass_lease`."""
        self._clock.advance(seconds)


class _RunsClaims(PostgresRangeClaims):
    """Those of a run, which has its intent before it claims anything."""

    def __init__(self, database: Database, audit: AuditLog) -> None:
        self._audit = audit
        self._run = rotate_request()
        self._has_begun = False
        super().__init__(database, self._run.request_id)

    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        """See `RangeClaims.claim`."""
        if not self._has_begun:
            self._audit.intend(self._run)
            self._has_begun = True
        return super().claim(rotation_id, claim)


class PostgresBench(Bench):
    """In Postgres, each adapter under the role that uses it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._databases: list[Database] = []
        self.loader = PostgresRecordLoader(self._database("ingest"))
        self.data_keys = PostgresKeyStore(self._database("ingest"))
        self.keys = PostgresKeyStore(self._database("re-encrypt"))
        self.reencrypter = PostgresReencrypter(self._database("re-encrypt"))
        self.audit = PostgresAuditLog(self._database("reveal"))
        self.others_audit = PostgresAuditLog(self._database("re-encrypt"))
        self.disclosed = PostgresDisclosedValues(self._database("reveal"))
        self.reader = PostgresAuditReader(self._database("audit"))
        self.quarantine = PostgresQuarantineReader(self._database("reveal"))
        self.mover = PostgresQuarantineMover(self._database("re-encrypt"))
        self.discarder = PostgresQuarantineDiscarder(self._database("erase"))
        self.finder = PostgresRecordFinder(self._database("reveal"))
        self.duplicates = PostgresDuplicateFinder(self._database("analyst"))
        self.eraser = PostgresEraser(self._database("erase"))
        self.rotations = PostgresRotationReader(self._database("rotate"))
        self.data_rotations = PostgresDataRotations(self._database("re-encrypt"))
        self.token_rotations = PostgresTokenRotations(self._database("re-encrypt"))
        self.claims = _RunsClaims(self._database("re-encrypt"), self.others_audit)
        self.backfill = PostgresTokenBackfill(self._database("re-encrypt"))
        self.comparer = self.named = PostgresTokenComparer(self._database("re-encrypt"))
        self.cut_over = PostgresTokenCutOver(self._database("re-encrypt"))

    def close(self) -> None:
        """Close every connection."""
        for database in self._databases:
            database.close()

    def now(self) -> dt.datetime:
        """See `Bench.now`."""
        ((now,),) = self._vault.sql("SELECT now()")
        assert isinstance(now, dt.datetime)
        return now

    def pending(self, keys: list[NewKey]) -> None:
        """See `Bench.pending`."""
        for key in keys:
            self._vault.sql(
                "INSERT INTO public.data_keys (key_id, purpose, field, generation, state,"
                " kms_key_arn, wrapped_key, fingerprint)"
                " VALUES (%s, 'token', %s, %s, 'pending', %s, %s, %s)",
                key.key_id,
                key.field.value,
                key.generation,
                key.kms_key_arn,
                key.wrapped_key,
                key.fingerprint,
            )

    def grow_older(self, by: dt.timedelta) -> None:
        """See `Bench.grow_older`. The trigger, which holds a key to its date, looks away."""
        self._vault.grow_older(by)

    def keys_of(self, role: str) -> KeyAges:
        """See `Bench.keys_of`."""
        return PostgresKeyStore(self._database(role))

    def records(self) -> dict[uuid.UUID, Row]:
        """See `Bench.records`."""
        return self._rows(f"SELECT record_id, {_COLUMNS} FROM public.user_logins")  # noqa: S608

    def rejections(self) -> dict[uuid.UUID, Row]:
        """See `Bench.rejections`."""
        return self._rows(
            "SELECT record_id, reason_code, path, body_ciphertext FROM public.quarantine"
        )

    def erase(self, record_id: uuid.UUID, field: Field) -> None:
        """See `Bench.erase`."""
        if field is Field.QUARANTINE:
            self._vault.sql(
                "UPDATE public.quarantine SET body_ciphertext = NULL WHERE record_id = %s",
                record_id,
            )
            return
        self._vault.sql(
            f"UPDATE public.user_logins SET masked_{field} = NULL, {field}_ciphertext = NULL"  # noqa: S608 - a name of ours
            " WHERE record_id = %s",
            record_id,
        )

    def destroy(self, key_id: int) -> None:
        """See `Bench.destroy`."""
        self._vault.sql(
            "UPDATE public.data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s",
            key_id,
        )

    def change_token(
        self, record_id: uuid.UUID, field: Field, token: uuid.UUID | None, *, is_next: bool = False
    ) -> None:
        """See `Bench.change_token`."""
        column = f"next_masked_{field}" if is_next else f"masked_{field}"
        self._vault.sql(
            f"UPDATE public.user_logins SET {column} = %s WHERE record_id = %s",  # noqa: S608
            token,
            record_id,
        )

    def open_rotation(self, rotation: OpenRotation) -> None:
        """See `Bench`."""
        open_data_rotation(self._vault.sql, rotation)

    def plant(self, record_id: uuid.UUID, field: Field, sealed: bytes) -> None:
        """See `Bench.plant`."""
        table, column = "user_logins", f"{field}_ciphertext"
        if field is Field.QUARANTINE:
            table, column = "quarantine", "body_ciphertext"
        self._vault.sql(
            f"UPDATE public.{table} SET {column} = %s WHERE record_id = %s",  # noqa: S608
            sealed,
            record_id,
        )

    def new_key(self, field: Field) -> DataKey:
        """See `Bench.new_key`."""
        return stored_key(PostgresKeyStore(self._database("re-encrypt")), field)

    def ranges(self, rotation_id: uuid.UUID) -> list[tuple[Range, bool]]:
        """See `Bench.ranges`."""
        rows = self._vault.sql(
            "SELECT done, place, first, last, after FROM public.rotation_ranges"
            " WHERE rotation_id = %s ORDER BY place, first",
            rotation_id,
        )
        return [(Range(Table(place), *rest), done) for done, place, *rest in rows]

    def pass_lease(self, seconds: float) -> None:
        """See `Bench.pass_lease`. Only the leases get older: the clock is the server's."""
        self._vault.sql(
            "UPDATE public.rotation_ranges SET claimed_until = claimed_until - make_interval(secs => %s)",
            seconds,
        )

    def _rows(self, statement: str) -> dict[uuid.UUID, Row]:
        return {
            row[0]: tuple(bytes(v) if isinstance(v, memoryview) else v for v in row[1:])
            for row in self._vault.sql(statement)
        }

    def _database(self, role: str) -> Database:
        database = Database(self._vault.database_url(role))
        self._databases.append(database)
        return database


def stored_key(writer: DataKeyWriter, field: Field, lease: dt.timedelta = HOUR) -> DataKey:
    """A data key that this login has stored."""
    new, material = made_up_key(KeyPurpose.DATA, field, lease=lease)
    assert writer.add_data_key(new)
    return DataKey(new.key_id, field, material)


def made_up_key(
    purpose: KeyPurpose,
    field: Field,
    *,
    generation: int | None = None,
    lease: dt.timedelta | None = None,
) -> tuple[NewKey, KeyMaterial]:
    """A key that no KMS wrapped: nothing here unwraps one."""
    key_id, material = secrets.randbelow(2**32 - 1) + 1, KeyMaterial(os.urandom(32))
    new = NewKey(
        key_id=key_id,
        purpose=purpose,
        field=field,
        generation=generation,
        kms_key_arn="arn:aws:kms:eu-west-1:000000000000:key/made-up",
        wrapped_key=os.urandom(64),
        fingerprint=fingerprint(material, key_id),
        lease=lease,
    )
    return new, material


def token_keys(generation: int) -> list[NewKey]:
    """One made-up token key a personal field."""
    return [
        made_up_key(KeyPurpose.TOKEN, field, generation=generation)[0] for field in PERSONAL_FIELDS
    ]
