"""Two generations of tokens, in memory."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Sequence

from tests.fakes.audit_log import FakeAuditLog
from tests.fakes.database import FakeDatabase
from tests.fakes.rotation import end_rotation, move_range
from vault_etl.core.audit import AuditRequest
from vault_etl.core.fields import PERSONAL_FIELDS, Field, KeyPurpose
from vault_etl.core.keys import KeyState
from vault_etl.core.messages import SealedRecord
from vault_etl.core.rotation import Range, Step
from vault_etl.errors import IncompleteError
from vault_etl.ports.tokens import (
    Blocked,
    Check,
    Generations,
    Mapped,
    NextTokens,
    Swapped,
    TokenPage,
    TokenRow,
)


class FakeTokens:
    """`TokenBackfill`, `TokenChecker` and `TokenCutOver` in memory.

    `blocked` says how often a cut-over does not get its locks, and by whom.
    """

    def __init__(self, database: FakeDatabase, log: FakeAuditLog) -> None:
        self._database = database
        self._log = log
        self.blocked: list[tuple[str, ...]] = []

    def page(self, generations: Generations, at: Range, limit: int) -> TokenPage:
        """See `TokenBackfill.page`."""
        rows = [
            _row(record)
            for record in self._in_order()
            if record.token_generation == generations.active
            and record.next_token_generation != generations.pending
            and at.first <= record.record_id <= at.last
            and (at.after is None or record.record_id > at.after)
        ][:limit]
        return TokenPage(rows, is_last=len(rows) < limit)

    def fill(self, rows: Sequence[NextTokens], generations: Generations, step: Step) -> int | None:
        """See `TokenBackfill.fill`."""
        if not self._database.fence_holds((), (generations.active, generations.pending)):
            return None
        filled = sum(self._fill(made, generations) for made in rows)
        move_range(self._database, step, is_whole=filled == len(rows))
        return filled

    def leave_out(self, record_ids: Sequence[uuid.UUID], generations: Generations) -> int | None:
        """See `TokenBackfill.leave_out`."""
        if not self._database.fence_holds((), (generations.active, generations.pending)):
            return None
        there = [i for i in record_ids if i in self._database.records]
        for record_id in there:
            self._change(record_id, next_tokens=None, next_token_generation=None)
        return len(there)

    def check(self, generations: Generations, leave_out: Sequence[uuid.UUID]) -> Check:
        """See `TokenChecker.check`."""
        rows = [r for r in self._in_order() if r.record_id not in leave_out]
        missing = [r.record_id for r in rows if _is_missing(r, generations)]
        fields, unequal = {}, list[uuid.UUID]()
        for field in PERSONAL_FIELDS:
            pairs = {pair for r in rows if (pair := _pair(r, field)) != (None, None)}
            old, new = {o for o, _ in pairs} - {None}, {n for _, n in pairs} - {None}
            fields[field] = Mapped(len(old), len(new), len(pairs))
            if not len(old) == len(new) == len(pairs):
                unequal += _unequal(rows, field)
        return Check(fields, len(missing), tuple(missing[:10]), tuple(dict.fromkeys(unequal))[:10])

    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """See `TokenChecker.sample`: the first ones, which is as good as any."""
        return [
            _row(record)
            for record in self._in_order()
            if (record.token_generation, record.next_token_generation)
            == (generations.active, generations.pending)
        ][:rows]

    def count(self, generations: Generations | None) -> int:
        """See `TokenChecker.count`."""
        pending = generations.pending if generations else None
        return sum(
            active is not None and (pending is None or made != pending)
            for active, made in map(_numbers, self._in_order())
        )

    def cut_over(self, request: AuditRequest, generation: int) -> Swapped | Blocked:
        """See `TokenCutOver.cut_over`."""
        if self.blocked:
            return Blocked(self.blocked.pop(0))
        keys = [k for k in self._database.keys.values() if k.purpose is KeyPurpose.TOKEN]
        pending = [k for k in keys if k.state is KeyState.PENDING and k.generation == generation]
        if not pending:
            raise IncompleteError("the generation is not pending")
        head = self._log.conclude(self._log.intend(request))
        for key in [k for k in keys if k.state is KeyState.ACTIVE]:
            self._database.set_state(key.key_id, KeyState.DECRYPT_ONLY)
        for key in pending:
            self._database.set_state(key.key_id, KeyState.ACTIVE)
        for record in self._in_order():
            self._change(
                record.record_id,
                tokens=dict(record.next_tokens or {}),
                next_tokens=record.tokens or None,
                token_generation=record.next_token_generation,
                next_token_generation=record.token_generation,
            )
        if (going_on := self._database.rotations.get(KeyPurpose.TOKEN)) is not None:
            end_rotation(self._database, going_on.rotation_id)
        return Swapped(head, 1.0)

    def _fill(self, made: NextTokens, generations: Generations) -> bool:
        record = self._database.records[made.row.record_id]
        if (
            record.token_generation != generations.active
            or record.tokens != made.row.tokens
            or record.ciphertexts != made.row.ciphertexts
        ):
            return False
        self._change(
            record.record_id,
            next_tokens=dict(made.tokens),
            next_token_generation=generations.pending,
        )
        return True

    def _change(self, record_id: uuid.UUID, **changes: object) -> None:
        records = self._database.records
        records[record_id] = dataclasses.replace(records[record_id], **changes)  # type: ignore[arg-type]

    def _in_order(self) -> list[SealedRecord]:
        return sorted(self._database.records.values(), key=lambda r: r.record_id)


def _row(record: SealedRecord) -> TokenRow:
    return TokenRow(
        record.record_id,
        record.user_id,
        tokens=dict(record.tokens),
        ciphertexts=dict(record.ciphertexts),
        next_tokens=dict(record.next_tokens or {}),
    )


def _pair(record: SealedRecord, field: Field) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    return record.tokens.get(field), (record.next_tokens or {}).get(field)


def _numbers(record: SealedRecord) -> tuple[int | None, int | None]:
    """Its generations; what was erased has neither."""
    return record.token_generation, record.next_token_generation


def _is_missing(record: SealedRecord, generations: Generations) -> bool:
    numbers = _numbers(record)
    if not record.tokens and not record.next_tokens and numbers == (None, None):
        return False
    return numbers != (generations.active, generations.pending) or any(
        not (old is None) == (new is None) == (record.ciphertexts.get(field) is None)
        for field in PERSONAL_FIELDS
        for old, new in (_pair(record, field),)
    )


def _unequal(rows: Sequence[SealedRecord], field: Field) -> list[uuid.UUID]:
    """The records with a token that stands for two, those with the rarest pairs first."""
    counts = Counter(_pair(record, field) for record in rows)
    olds, news = Counter(old for old, _ in counts), Counter(new for _, new in counts)
    found = []
    for record in rows:
        old, new = pair = _pair(record, field)
        if None not in pair and (olds[old] > 1 or news[new] > 1):
            found.append((counts[pair], record.record_id))
    return [record_id for _, record_id in sorted(found)]
