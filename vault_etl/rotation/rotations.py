"""Where it is kept which rotation is under way, and how far each range of rows is."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.keys.make import NewKey
from vault_etl.rotation.ranges import NOTHING_OPENED, OpenedRows, OpenRotation, Range


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


class TokenRotations(Protocol):
    """May begin and abort rotations of the token keys, behind the fence."""

    def next_generation(self) -> int:
        """The number of the next generation: no number ever comes twice."""

    def begin(self, request: AuditRequest, keys: Sequence[NewKey], slices: int) -> OpenRotation:
        """Make these keys the pending generation: from the commit on, every batch has both tokens.

        The entry that names them is part of the transaction; the rotation has the request's id.
        Goes on with the rotation that is under way instead, if there is one; then these keys are
        not stored. If it has been through all of its ranges, it goes through them again: rows that
        did not open then may do so now. A call without keys has seen a pending generation.

        Raises ConfigurationError while an old generation is kept; IncompleteError if there are
        neither keys nor a pending generation any more.
        """

    def abort(self, request: AuditRequest) -> Sequence[int]:
        """Destroy the keys of the pending generation, on the record; their ids: none if there is none."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The ranges of a rotation that are not done, whoever works on them."""

    ranges: int
    free_in: float
    """Seconds until the first of them may be claimed, unless its worker commits a page before."""


class RangeClaims(Protocol):
    """May claim ranges, each on the record. A claim ends when nothing was done for a while.

    Its entry has the claim for its request id, the run's request id for its ticket, and an outcome
    when the range is done or let go of: not if its holder was killed.
    """

    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        """A range that is not done, and that nobody else works on; None if there is none.

        `claim` is a new id. The entry is committed with the claim, before any row is read. Raises
        DeniedError if the run has no intent of `keys rotate`.
        """

    def unfinished(self, rotation_id: uuid.UUID) -> Unfinished:
        """What is not done, and when it is free."""

    def release(self, claim: uuid.UUID, opened: OpenedRows = NOTHING_OPENED) -> None:
        """Let go of what is claimed, done or not, for others to go on with at once; once is enough.

        `opened` is for the outcome of its entry.
        """


@dataclass(frozen=True, slots=True)
class Left:
    """What a rotation could not do: how many values, and the first of their records."""

    values: int
    record_ids: tuple[uuid.UUID, ...]
