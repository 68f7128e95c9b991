"""Where a detached month's rows get tokens of the active generation."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.rotation.next_tokens import NextTokens, TokenRow
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep


@dataclass(frozen=True, slots=True)
class DetachedMonth:
    """A month whose table is detached: record ids from `first` up to but not `until`."""

    name: str
    first: uuid.UUID
    until: uuid.UUID


class DetachedMonths(Protocol):
    """May count the tokens of a detached month, and begin and end the work on them."""

    def generations(self, month: DetachedMonth) -> Mapping[int, int]:
        """How many rows have tokens of each generation. Reads every row.

        Raises ConfigurationError if the month is not detached any more.
        """

    def begin(
        self, request: AuditRequest, month: DetachedMonth, slices: int, *, again: bool
    ) -> OpenRotation:
        """Cut the month into so many ranges, or go on with what an earlier run began.

        Ranges that are done are gone through once more if all are, or if `again`.
        """

    def end(self, rotation_id: uuid.UUID) -> None:
        """It is over. Nothing happens if another process has said so."""


class DetachedTokens(Protocol):
    """May read the rows of a claimed range of a detached month, and give them tokens by compare-and-swap."""

    def page(self, claim: uuid.UUID, at: Range, limit: int) -> Page[TokenRow]:
        """The next rows whose tokens are not of the active generation.

        None, as the last ones, if another worker has claimed the range, or the month is not detached
        any more. Raises DeniedError without the claim's entry.
        """

    def fill(self, rows: Sequence[NextTokens], generation: int, step: RotationStep) -> int | None:
        """Store the tokens behind the fence; how many rows were still what was read.

        In the same transaction the range is moved on as `step` says, if these are all of them. None,
        and nothing is written, if `generation` is not the active one.
        """
