"""Where a row gets its next token, and where the old tokens give way to the next."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import Field
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.ranges import Page, Range, Step


@dataclass(frozen=True, slots=True)
class Generations:
    """The generation that stands in rows, and the one that is to take its place."""

    active: int
    pending: int


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row with tokens. `generation` is the one that it says that they are of."""

    record_id: uuid.UUID
    user_id: str
    generation: int
    tokens: Mapping[Field, uuid.UUID]
    ciphertexts: Mapping[Field, bytes]
    next_tokens: Mapping[Field, uuid.UUID]


@dataclass(frozen=True, slots=True)
class NextTokens:
    """The next tokens of a row whose old ones and whose ciphertexts are still these.

    Without any it is left out: nothing is wrong with that, and it is not read again.
    """

    row: TokenRow
    tokens: Mapping[Field, uuid.UUID]


class TokenBackfill(Protocol):
    """May read ciphertexts, and give rows their next tokens by compare-and-swap."""

    def page(self, generations: Generations, at: Range, limit: int) -> Page[TokenRow]:
        """The next rows with tokens of the active generation that are not done with."""

    def named(self, what: LeaveOut, at: Range, limit: int) -> Page[TokenRow]:
        """The next rows with tokens that `what` names, done with or not."""

    def fill(self, rows: Sequence[NextTokens], generations: Generations, step: Step) -> int | None:
        """Store next tokens behind the fence; how many rows were still what was read.

        In the same transaction the range is moved on as `step` says, if these are all of them. None,
        and nothing is written, if the fence found other generations.
        """


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one snapshot says of a field: tokens that stand in rows, and the pairs that they form."""

    old: int
    new: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Blamed:
    """So many of the rows that something is wrong with lie under keys of this login, or under this one."""

    login: str
    rows: int
    key_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one snapshot says of all rows.

    `missing` counts the rows without a next token for each token that they have: the first ten are
    named, and the logins and the keys that most of them lie under. `unequal` are rows with a token
    that stands for two: one of each pair of tokens, and of a hundred pairs at the most, drawn at
    random. `left_out` counts the rows that were left out of the pending generation.
    `partitions` are those that the snapshot saw, by ids of the database.
    """

    fields: Mapping[Field, Mapped]
    missing: int = 0
    missing_ids: tuple[uuid.UUID, ...] = ()
    blamed: tuple[Blamed, ...] = ()
    unequal: tuple[TokenRow, ...] = ()
    left_out: int = 0
    partitions: tuple[int, ...] | None = field(default=None, compare=False)

    @property
    def holds(self) -> bool:
        """Whether old and new tokens map one to one, and no row is missing."""
        return not self.missing and all(m.old == m.new == m.pairs for m in self.fields.values())


class TokenChecker(Protocol):
    """May read tokens of both generations."""

    def check(self, generations: Generations) -> Check:
        """Look at all rows but those that were left out, in one snapshot."""

    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """Up to so many rows from all over the table, with the tokens of both generations."""

    def count(self, generations: Generations | None) -> int:
        """How many rows have no token of the pending generation; None: how many have one at all."""


@dataclass(frozen=True, slots=True)
class Named:
    """How many rows with tokens a `LeaveOut` names, and under how many keys.

    `logins` made the keys, and KMS wrapped them under `kms_key_arns`: ten of each at the most.
    """

    what: LeaveOut
    keys: int
    logins: tuple[str, ...]
    kms_key_arns: tuple[str, ...]
    rows: int


class NamedCounter(Protocol):
    """May count what a `LeaveOut` names."""

    def count_named(self, what: LeaveOut) -> Named:
        """Count it, and change nothing."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """The cut-over is committed. `held_ms`: how long it held its locks before that."""

    head: Head
    held_ms: float


class TokenCutOver(Protocol):
    """May have the next tokens take the place of the old ones."""

    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> Swapped | Blocked:
        """Try once, in one transaction, which holds up loaders for 300 ms at the most.

        `partitions` are those that were checked. Raises ConfigurationError while other views or functions
        depend on the columns, naming them; IncompleteError if the generation is not pending, or if a
        month with rows was attached after the check.
        """
