"""Rotate the data keys: retire the active ones behind the fence, then seal anew what they sealed."""

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
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import KeyRetirer
from vault_etl.keys.needed import KeyLister, KeyUsage
from vault_etl.keys.old import KeyAtFault
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.reencrypt import Reencrypter, Reencrypting
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeClaims, RangeWorker, RangeWorkers

ROWS_A_RANGE: Final = 10_000
MAX_SLICES: Final = 16
"""A month is cut into at most so many ranges, and into fewer of a small table."""

_WRITABLE: Final = {KeyState.ACTIVE}


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """What a rotation would do. `rows` counts values: a record has one a field.

    `resumes`: it would go on with one that was interrupted, of these fields, and retire nothing.
    `oldest`: when the oldest retired key was made that rows are still sealed under.
    """

    retire: tuple[int, ...]
    rows: int
    resumes: tuple[Field, ...] | None = None
    oldest: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class RotationReport:
    """What a rotation did. `failed` names records with a value that does not open, ten at the most.

    `at_fault` are the keys that this process could not open.
    """

    retired: tuple[int, ...]
    created: tuple[int, ...]
    rows_reencrypted: int
    rows_remaining: int
    failed: tuple[uuid.UUID, ...]
    at_fault: tuple[KeyAtFault, ...] = ()


def plan_rotation(
    lister: KeyLister, reader: RotationReader, fields: Sequence[Field], *, lazy: bool = False
) -> RotationPlan:
    """Count what `Rotation` would do now, and change nothing."""
    going_on = None if lazy else reader.open(KeyPurpose.DATA)
    data_keys = _data_keys(lister, going_on.fields if going_on else fields)
    if going_on is not None:
        rows = sum(u.rows for u in data_keys if u.key.key_id in going_on.old_keys)
        return RotationPlan((), rows, going_on.fields)
    return RotationPlan(
        retire=tuple(u.key.key_id for u in data_keys if u.key.state in _WRITABLE),
        rows=sum(u.rows for u in data_keys),
        oldest=min(
            (u.key.created_at for u in data_keys if u.rows and u.key.state not in _WRITABLE),
            default=None,
        ),
    )


def retire_data_keys(
    audit: AuditLog, retirer: KeyRetirer, request: AuditRequest
) -> tuple[int, ...]:
    """Retire only: new messages get new keys, old rows keep theirs until they are sealed anew."""
    with audited(audit, request):
        return tuple(retirer.retire_data_keys(request, request.fields))


@dataclass(frozen=True, slots=True)
class ResealWorker:
    """What one worker needs of the database, over a connection of its own."""

    claims: RangeClaims
    resealer: Reencrypter


class Rotation:
    """A rotation of the data keys of some fields: online, resumable, safe to run twice at once."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        rotations: DataRotations,
        workers: Sequence[ResealWorker],
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
        """Retire the active keys of `request.fields`, and seal anew everything under retired ones.

        A rotation that was interrupted is finished instead, under the same receipt as any other. A
        value that does not open is left as it was and named in the report, and so is a key. A caller
        whom KMS refuses ends the run. Raises ConfigurationError, before anything is changed, if new
        keys get a KMS key that is not trusted; AuditError, KeyUnavailableError, UnavailableError, and
        IncompleteError, also if that rotation is of fields (`plan.resumes`) that `request` does not
        name; what was sealed anew until then stays so.
        """
        with audited(self._audit, request) as receipt:
            self._keys.must_trust(KeyPurpose.DATA)
            rotation = self._rotations.begin(request, request.fields, slices(plan.rows))
            if not set(rotation.fields) <= set(request.fields):  # not without an entry that says so
                message = "a rotation of other fields was begun meanwhile, or interrupted"
                raise IncompleteError(message, hint="run it again: it goes on with that one first")
            pages = [
                Reencrypting(each.resealer, self._keys, Opener(receipt), rotation, self._progress)
                for each in self._workers
            ]
            workers = [
                RangeWorker(each.claims, work)
                for each, work in zip(self._workers, pages, strict=True)
            ]
            RangeWorkers(workers, self._pace, self._progress).run(rotation.rotation_id)
            left = self._workers[0].resealer.left(rotation)
            at_fault = tuple(self._keys.at_fault())
            self._rotations.end(rotation.rotation_id)
        return RotationReport(
            retired=rotation.retired,
            created=tuple(self._keys.made),
            rows_reencrypted=sum(work.done for work in pages),
            rows_remaining=left.values,
            failed=left.record_ids,
            at_fault=at_fault,
        )


def slices(rows: int) -> int:
    """How many ranges to cut a month into, of a table with so many rows."""
    return max(1, min(MAX_SLICES, rows // ROWS_A_RANGE))


def _data_keys(lister: KeyLister, fields: Sequence[Field]) -> list[KeyUsage]:
    return [
        usage
        for usage in lister.usage()
        if usage.key.purpose is KeyPurpose.DATA
        and usage.key.field in fields
        and usage.key.state is not KeyState.DESTROYED
    ]


class RotationReader(Protocol):
    """May see which rotations are under way."""

    def open(self, purpose: KeyPurpose) -> OpenRotation | None:
        """The rotation of these keys that has begun and not ended, if there is one."""


class DataRotations(Protocol):
    """May begin and end rotations of data keys, behind the fence."""

    def begin(self, request: AuditRequest, fields: Sequence[Field], slices: int) -> OpenRotation:
        """Retire the active data keys of these fields, and cut each month into so many ranges.

        The rotation has the id of the request.
        Goes on with the rotation that is under way instead, if there is one; then nothing is
        retired.
        """

    def end(self, rotation_id: uuid.UUID) -> None:
        """It is over. Nothing happens if somebody else has said so."""
