"""Where a row gets its next token, and where the old tokens give way to the next."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.audit import AuditRequest
from vault_etl.core.checkpoint import Head
from vault_etl.core.fields import Field
from vault_etl.core.rotation import Range, Step


@dataclass(frozen=True, slots=True)
class Generations:
    """The generation that stands in rows, and the one that is to take its place."""

    active: int
    pending: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row with the tokens of the active generation. What was erased has neither."""

    record_id: uuid.UUID
    user_id: str
    tokens: Mapping[Field, uuid.UUID]
    ciphertexts: Mapping[Field, bytes]
    next_tokens: Mapping[Field, uuid.UUID]


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Some rows in the order of their record ids; the last ones of their range or not."""

    rows: Sequence[TokenRow]
    is_last: bool


@dataclass(frozen=True, slots=True)
class NextTokens:
    """The next tokens of a row whose old ones and whose ciphertexts are still these."""

    row: TokenRow
    tokens: Mapping[Field, uuid.UUID]


class TokenBackfill(Protocol):
    """May read ciphertexts, and give rows their next tokens by compare-and-swap."""

    def page(self, generations: Generations, at: Range, limit: int) -> TokenPage:
        """The next rows of the active generation without a token of the pending one."""

    def fill(self, rows: Sequence[NextTokens], generations: Generations, step: Step) -> int | None:
        """Store next tokens behind the fence; how many rows were still what was read.

        In the same transaction the range is moved on as `step` says, if these are all of them. None,
        and nothing is written, if the fence found other generations.
        """

    def leave_out(self, record_ids: Sequence[uuid.UUID], generations: Generations) -> int | None:
        """Take away what next tokens these rows have; how many rows are there.

        None, and nothing is written, if the fence found other generations.
        """


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one snapshot says of a field: tokens that stand in rows, and the pairs that they form."""

    old: int
    new: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Check:
    """What one snapshot says of all rows.

    `missing` counts the rows without a next token for each token that they have, and `unequal` are
    the first records with a token that stands for two. Both list ten at the most.
    """

    fields: Mapping[Field, Mapped]
    missing: int
    missing_ids: tuple[uuid.UUID, ...]
    unequal_ids: tuple[uuid.UUID, ...]

    @property
    def holds(self) -> bool:
        """Whether old and new tokens map one to one, and no row is missing."""
        return not self.missing and all(m.old == m.new == m.pairs for m in self.fields.values())


class TokenChecker(Protocol):
    """May read tokens of both generations."""

    def check(self, generations: Generations, leave_out: Sequence[uuid.UUID]) -> Check:
        """Look at all rows but these, in one snapshot."""

    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """Up to so many rows from all over the table, with the tokens of both generations."""

    def count(self, generations: Generations | None) -> int:
        """How many rows have no token of the pending generation; None: how many have one at all."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """The cut-over is committed. `held_ms`: how long it held its locks, up to its commit."""

    head: Head
    held_ms: float


@dataclass(frozen=True, slots=True)
class Blocked:
    """A lock was not granted in time, and everything is as it was. `by`: who held it, if still seen."""

    by: tuple[str, ...]


class TokenCutOver(Protocol):
    """May have the next tokens take the place of the old ones."""

    def cut_over(self, request: AuditRequest, generation: int) -> Swapped | Blocked:
        """Try once, in one transaction, which holds up loaders for 300 ms at the most.

        Raises ConfigurationError while other views or functions depend on the columns, naming them;
        IncompleteError if the generation is not pending.
        """
