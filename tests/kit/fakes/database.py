"""Rows that the fakes of the Postgres adapters share, and the fence in front of the rows."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable

from typing_extensions import override

from tests.kit.declarations import DEFAULT
from tests.kit.fakes.clock import FakeClock
from vault_etl.audit.log import AuditEntry
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyState, StoredKey
from vault_etl.declaration.model import Declaration
from vault_etl.records.messages import SealedRecord, SealedRejection
from vault_etl.records.unattached_months import Months, UnattachedMonth
from vault_etl.rotation.ranges import OpenRotation, Range


@dataclasses.dataclass(slots=True)
class FakeRange:
    """A range of a rotation, and who works on it."""

    range: Range
    is_done: bool = False
    claim: uuid.UUID | None = None
    claimed_until: float = 0


class FakeDatabase(Months):
    """Tables in memory. Every change is committed when it is made.

    The fakes take the name of a value for its field: in `declaration` both are the same.
    """

    def __init__(self, clock: FakeClock, declaration: Declaration = DEFAULT) -> None:
        self.clock, self.declaration = clock, declaration
        self.keys: dict[int, StoredKey] = {}
        self.records: dict[uuid.UUID, SealedRecord] = {}
        self.quarantine: dict[uuid.UUID, SealedRejection] = {}
        self.quarantined_at: dict[uuid.UUID, dt.datetime] = {}
        self.erased_bodies: set[uuid.UUID] = set()
        self.rotations: dict[KeyPurpose, OpenRotation] = {}
        self.ranges: dict[uuid.UUID, list[FakeRange]] = {}
        self.unexplained: set[int] = set()
        """Keys that no entry explains: of a fake, what a test says."""
        self.audit: list[AuditEntry] = []
        self.disclosed: set[int] = set()
        self.unattached_months: list[UnattachedMonth] = []

    @override
    def unattached(self) -> list[UnattachedMonth]:
        return self.unattached_months

    def fence_holds(
        self, data_keys: Iterable[DataKey], generations: tuple[int, int | None] | None
    ) -> bool:
        """Check what the fence of docs/design.md, Keys, checks; `generations` None: no tokens are checked."""
        if not all(self._writable(key) for key in data_keys):
            return False
        if generations is None:
            return True
        active, pending = generations
        return self._generations(KeyState.ACTIVE) == {active} and (
            self._generations(KeyState.PENDING) == (set() if pending is None else {pending})
        )

    def set_state(self, key_id: int, state: KeyState) -> None:
        """Move a key to a state, note when, and take a destroyed one's bytes away."""
        now, key = self.clock.now(), self.keys[key_id]
        if state is KeyState.DECRYPT_ONLY:
            key = dataclasses.replace(key, retired_at=now)
        if state is KeyState.DESTROYED:
            key = dataclasses.replace(key, wrapped_key=None, destroyed_at=now)
        self.keys[key_id] = dataclasses.replace(key, state=state)

    @property
    def tables(self) -> tuple[EventName, ...]:
        """The tables that hold ciphertexts: of each event, and the quarantine."""
        return (*(event.name for event in self.declaration.events), QUARANTINE_TABLE)

    def ciphertexts(self) -> list[tuple[FieldName, uuid.UUID, str, bytes]]:
        """Every ciphertext: its field, its row, its person, its bytes."""
        return [
            (field, record_id, subject, ciphertext)
            for _, field, record_id, subject, ciphertext in self.placed_ciphertexts()
        ]

    def placed_ciphertexts(self) -> list[tuple[EventName, FieldName, uuid.UUID, str, bytes]]:
        """Every ciphertext, with its table before its field."""
        sealed = [
            (record.event, field, record.record_id, record.subject, ciphertext)
            for record in self.records.values()
            for field, ciphertext in record.ciphertexts.items()
        ]
        return sealed + [
            (QUARANTINE_TABLE, QUARANTINE, rejection.record_id, "", rejection.body_ciphertext)
            for rejection in self.quarantine.values()
            if rejection.record_id not in self.erased_bodies
        ]

    def _writable(self, key: DataKey) -> bool:
        stored = self.keys.get(key.key_id)
        return (
            stored is not None
            and stored.purpose is KeyPurpose.DATA
            and stored.state is KeyState.ACTIVE
            and stored.fingerprint == key.fingerprint
            and stored.expires_at is not None
            and stored.expires_at > self.clock.now()
        )

    def _generations(self, state: KeyState) -> set[int | None]:
        return {
            key.generation
            for key in self.keys.values()
            if key.purpose is KeyPurpose.TOKEN and key.state is state
        }
