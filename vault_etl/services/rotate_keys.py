"""Rotate the data keys: retire the active ones behind the fence, then seal anew what they sealed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.core.audit import AuditReceipt, AuditRequest
from vault_etl.core.ciphertext import Ciphertext, Place
from vault_etl.core.fields import Field, KeyPurpose
from vault_etl.core.keys import KeyState
from vault_etl.core.opening import Opener
from vault_etl.core.sealing import Sealer
from vault_etl.errors import IncompleteError, IntegrityError
from vault_etl.ports.audit_log import AuditLog
from vault_etl.ports.key_store import KeyLister, KeyRetirer, KeyUsage
from vault_etl.ports.progress import Progress
from vault_etl.ports.record_store import Replacement, Resealer, SealedValue
from vault_etl.services.audited import audited
from vault_etl.services.key_ring import KeyRing
from vault_etl.services.make_key import DataKeyLeases

BATCH_ROWS: Final = 500
MAX_FENCE_TRIES: Final = 10

_WRITABLE: Final = {KeyState.ACTIVE}


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a rotation would do. `rows` counts values: a record has one a field."""

    retire: tuple[int, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class RotationReport:
    """What a rotation did. `failed` names the records with a value that does not open."""

    retired: tuple[int, ...]
    created: tuple[int, ...]
    rows_reencrypted: int
    rows_remaining: int
    failed: tuple[uuid.UUID, ...]


def plan_rotation(lister: KeyLister, fields: Sequence[Field]) -> RotationPlan:
    """Count what `Rotation` would do now, and change nothing."""
    data_keys = _data_keys(lister, fields)
    return RotationPlan(
        retire=tuple(u.key.key_id for u in data_keys if u.key.state in _WRITABLE),
        rows=sum(u.rows for u in data_keys),
    )


class Rotation:
    """A rotation of the data keys of some fields: online, resumable, safe to run twice at once."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        retirer: KeyRetirer,
        lister: KeyLister,
        resealer: Resealer,
        ring: KeyRing,
        leases: DataKeyLeases,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._retirer = retirer
        self._lister = lister
        self._resealer = resealer
        self._ring = ring
        self._leases = leases
        self._progress = progress

    def retire(self, request: AuditRequest) -> tuple[int, ...]:
        """Retire only: new messages get new keys, old rows keep theirs until they are sealed anew."""
        with audited(self._audit, request):
            return tuple(self._retirer.retire_data_keys(request.fields))

    def rotate(self, request: AuditRequest) -> RotationReport:
        """Retire the active keys of `request.fields`, and seal anew everything under retired ones.

        A value that does not open is left as it was and named in the report. A key that KMS
        refuses ends the run: no value under it would open. Raises AuditError, IncompleteError,
        KeyUnavailableError, UnavailableError; what was sealed anew until then stays so.
        """
        with audited(self._audit, request) as receipt:
            retired = tuple(self._retirer.retire_data_keys(request.fields))
            done = 0
            failed: set[uuid.UUID] = set()
            for field in request.fields:
                old = self._retired_ids(field)
                done += self._reseal_field(receipt, field, old, failed)
            remaining = sum(
                usage.rows
                for usage in _data_keys(self._lister, request.fields)
                if usage.key.state not in _WRITABLE
            )
        return RotationReport(
            retired, tuple(self._leases.made), done, remaining, tuple(sorted(failed))
        )

    def _retired_ids(self, field: Field) -> list[int]:
        return [
            usage.key.key_id
            for usage in _data_keys(self._lister, [field])
            if usage.key.state not in _WRITABLE and usage.rows
        ]

    def _reseal_field(
        self, receipt: AuditReceipt, field: Field, old: Sequence[int], failed: set[uuid.UUID]
    ) -> int:
        done = 0
        after: uuid.UUID | None = None
        while old:
            values = self._resealer.sealed_under(old, field, after, BATCH_ROWS)
            if not values:
                break
            after = values[-1].record_id
            done += self._reseal(Opener(receipt), values, failed)
            self._progress.advance(len(values), field=field.value)
        return done

    def _reseal(self, opener: Opener, values: Sequence[SealedValue], failed: set[uuid.UUID]) -> int:
        field = values[0].field
        opened = []
        for value in values:
            try:
                key = self._ring.data_key(Ciphertext.parse(value.ciphertext).key_id, field)
                opened.append((value, opener.open(value.ciphertext, _place(value), key)))
            except IntegrityError:
                failed.add(value.record_id)
        for _ in range(MAX_FENCE_TRIES):
            if not opened:
                return 0
            key = self._leases.data_key(field, len(opened))
            sealer = Sealer([key])
            swapped = self._resealer.replace(
                [Replacement(value, sealer.seal(plain, _place(value))) for value, plain in opened],
                key,
            )
            if swapped is not None:
                return swapped
            self._leases.forget()
        message = "the keys changed again and again under one batch"
        raise IncompleteError(message, hint="is another rotation running in a loop?")


def _place(value: SealedValue) -> Place:
    if value.field is Field.QUARANTINE:
        return Place.in_quarantine(value.record_id)
    return Place.in_record(value.field, value.record_id, value.user_id)


def _data_keys(lister: KeyLister, fields: Sequence[Field]) -> list[KeyUsage]:
    return [
        usage
        for usage in lister.usage()
        if usage.key.purpose is KeyPurpose.DATA
        and usage.key.field in fields
        and usage.key.state is not KeyState.DESTROYED
    ]
