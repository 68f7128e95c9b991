"""Rotate the data keys: retire the active ones behind the fence, then re-encrypt what they sealed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.needed import KeyLister, KeyUsage
from vault_etl.keys.value_keys import KeyAtFault
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.reencrypt import Reencrypter, ReencryptPages
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeWorker, RangeWorkers

ROWS_A_RANGE: Final = 10_000
MAX_RANGES: Final = 256
"""A table with more months has one range for each. A small table has fewer ranges: each is claimed on the record."""

_WRITABLE: Final = {KeyState.ACTIVE}


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """The work of a rotation to come. A record has one value for each field.

    `resumes` has the fields of an interrupted rotation that the run would continue; the run then retires no key.
    `oldest` is the creation time of the oldest retired key that values are still sealed under.
    """

    retire: tuple[int, ...]
    values: int
    resumes: tuple[FieldName, ...] | None = None
    oldest: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class RotationReport:
    """The result of a rotation. `failed` names at most ten records with a value that does not open.

    `at_fault` are the keys that this process could not open.
    """

    retired: tuple[int, ...]
    created: tuple[int, ...]
    values_reencrypted: int
    values_remaining: int
    failed: tuple[uuid.UUID, ...]
    at_fault: tuple[KeyAtFault, ...] = ()


def plan_rotation(
    lister: KeyLister, reader: RotationReader, fields: Sequence[FieldName], *, lazy: bool = False
) -> RotationPlan:
    """Count the values that `Rotation` would re-encrypt now, and change nothing."""
    going_on = None if lazy else reader.open(KeyPurpose.DATA)
    data_keys = _data_keys(lister, going_on.fields if going_on else fields)
    if going_on is not None:
        values = sum(u.rows for u in data_keys if u.key.key_id in going_on.old_keys)
        return RotationPlan((), values, going_on.fields)
    return RotationPlan(
        retire=tuple(u.key.key_id for u in data_keys if u.key.state in _WRITABLE),
        values=sum(u.rows for u in data_keys),
        oldest=min(
            (u.key.created_at for u in data_keys if u.rows and u.key.state not in _WRITABLE),
            default=None,
        ),
    )


def retire_data_keys(
    audit: AuditLog, retirer: KeyRetirer, request: AuditRequest
) -> tuple[int, ...]:
    """Retire the keys only: new messages get new keys, and old rows keep theirs until a rotation re-encrypts them."""
    with audited(audit, request):
        return tuple(retirer.retire_data_keys(request, request.fields))


class RotationReader(Protocol):
    """Reads which rotations are under way."""

    def open(self, purpose: KeyPurpose) -> OpenRotation | None:
        """The rotation of these keys that has begun and not ended, or None."""


class DataRotations(Protocol):
    """Begins and ends rotations of data keys, behind the fence."""

    def begin(
        self, request: AuditRequest, fields: Sequence[FieldName], ranges: int
    ) -> OpenRotation:
        """Retire the active data keys of these fields, and cut the rows into that many ranges, one a month at least.

        The rotation has the id of the request. If a rotation is under way, returns that one instead, and retires
        no key.
        """

    def end(self, rotation_id: uuid.UUID) -> None:
        """End the rotation. Changes nothing if another process has ended it."""


class Rotation:
    """A rotation of the data keys of some fields: online, resumable, safe to run twice at once."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        rotations: DataRotations,
        workers: Sequence[RangeWorker[Reencrypter]],
        keys: WorkerKeys,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._rotations = rotations
        self._workers = workers
        self._keys = keys
        self._pace = pace
        self._progress = progress

    def rotate(self, request: AuditRequest, plan: RotationPlan) -> RotationReport:
        """Retire the active keys of `request.fields`, and re-encrypt every value under retired keys.

        An interrupted rotation is finished instead, under the same receipt. A value that does not open stays
        as it is and is named in the report, and so is a key that does not open. The run ends if KMS refuses
        the caller. Raises ConfigurationError, before anything is changed, if new keys get a KMS key that is
        not trusted; AuditError, KeyUnavailableError, UnavailableError; and IncompleteError, also if that
        rotation is of fields (`plan.resumes`) that `request` does not name. Values that were re-encrypted
        before the error stay so.
        """
        with audited(self._audit, request) as receipt:
            self._keys.must_trust(KeyPurpose.DATA)
            rotation = self._rotations.begin(request, request.fields, ranges_of(plan.values))
            if not set(rotation.fields) <= set(request.fields):  # an entry must name all fields
                message = "a rotation of other fields was begun meanwhile, or interrupted"
                raise IncompleteError(message, hint="run it again: it continues that one first")
            works = RangeWorkers(self._workers, self._pace, self._progress).run(
                rotation.rotation_id,
                lambda rows: ReencryptPages(
                    rows, self._keys, Opener(receipt), rotation, self._progress
                ),
            )
            remaining = self._workers[0].store.remaining(rotation)
            at_fault = tuple(self._keys.at_fault())
            self._rotations.end(rotation.rotation_id)
        return RotationReport(
            retired=rotation.retired,
            created=tuple(self._keys.made),
            values_reencrypted=sum(work.done for work in works),
            values_remaining=remaining.values,
            failed=remaining.record_ids,
            at_fault=at_fault,
        )


def ranges_of(rows: int) -> int:
    """The number of ranges to cut this many rows into."""
    return max(1, min(MAX_RANGES, rows // ROWS_A_RANGE))


def _data_keys(lister: KeyLister, fields: Sequence[FieldName]) -> list[KeyUsage]:
    return [
        usage
        for usage in lister.usage()
        if usage.key.purpose is KeyPurpose.DATA
        and usage.key.field in fields
        and usage.key.state is not KeyState.DESTROYED
    ]
