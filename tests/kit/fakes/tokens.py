"""Two generations of tokens, in memory."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence

from typing_extensions import override

from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.database import FakeDatabase
from tests.kit.fakes.rotation import end_rotation, move_range
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.platform.waiting import Blocked
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.backfill import BackfillStore
from vault_etl.rotation.compare_tokens import Blamed, Mapped, TokenComparer, TokenComparison
from vault_etl.rotation.leave_out import LeaveOut, Named
from vault_etl.rotation.next_tokens import Generations, NextTokens, TokenRow
from vault_etl.rotation.ranges import Page, Range, RotationStep
from vault_etl.rotation.token_keys import CutOverDone, NamedCounter, TokenCutOver


class FakeTokens(BackfillStore, NamedCounter, TokenCutOver, TokenComparer):
    """`BackfillStore`, `TokenChecker`, `NamedCounter` and `TokenCutOver` in memory.

    `blocked` says how often a cut-over does not get its locks, and by whom.
    """

    def __init__(self, database: FakeDatabase, log: FakeAuditLog) -> None:
        self._database = database
        self._log = log
        self.blocked: list[tuple[str, ...]] = []

    @override
    def page(self, generations: Generations, at: Range, limit: int) -> Page[TokenRow]:
        rows = [
            _row(record)
            for record in self._in_order()
            if record.token_generation == generations.active
            and record.next_token_generation != generations.pending
            and record.tokens
            and record.event == at.place
            and at.first <= record.record_id <= at.last
            and (at.after is None or record.record_id > at.after)
        ][:limit]
        return Page(rows, is_last=len(rows) < limit)

    @override
    def fill(
        self, rows: Sequence[NextTokens], generations: Generations, step: RotationStep
    ) -> int | None:
        if not self._database.fence_holds((), (generations.active, generations.pending)):
            return None
        filled = sum(self._fill(made, generations) for made in rows)
        move_range(self._database, step, is_whole=filled == len(rows))
        return filled

    @override
    def named(self, what: LeaveOut, at: Range, limit: int) -> Page[TokenRow]:
        rows = [
            _row(record)
            for record in self._named(what)
            if record.event == at.place
            and at.first <= record.record_id <= at.last
            and (at.after is None or record.record_id > at.after)
        ][:limit]
        return Page(rows, is_last=len(rows) < limit)

    @override
    def count_named(self, what: LeaveOut) -> Named:
        rows = self._named(what)
        keys = [key for key in self._database.keys.values() if _is_named(key, what)]
        if what.record_id is not None:
            keys = [key for row in rows for key in keys if key.key_id in _key_ids(row)]
        logins = sorted({key.created_by for key in keys})[:10]
        arns = sorted({key.kms_key_arn for key in keys})[:10]
        return Named(what, len(keys), tuple(logins), tuple(arns), len(rows))

    @override
    def compare(self, generations: Generations) -> TokenComparison:
        all_rows = self._in_order()
        rows = [r for r in all_rows if not _is_left_out(r, generations)]
        missing = [r for r in rows if _is_missing(r, generations)]
        fields, unequal = {}, dict[uuid.UUID, TokenRow]()
        for field in self._database.declaration.field_names:
            pairs = {pair for r in rows if (pair := _pair(r, field)) != (None, None)}
            old, new = {o for o, _ in pairs} - {None}, {n for _, n in pairs} - {None}
            fields[field] = Mapped(len(old), len(new), len(pairs))
            if not len(old) == len(new) == len(pairs):
                unequal |= {row.record_id: row for row in _unequal(rows, field)}
        return TokenComparison(
            fields=fields,
            missing=len(missing),
            missing_ids=tuple(row.record_id for row in missing[:10]),
            blamed=self._blamed(missing),
            unequal=tuple(unequal.values()),
            left_out=sum(bool(r.tokens) for r in all_rows) - sum(bool(r.tokens) for r in rows),
        )

    @override
    def sample(self, generations: Generations, rows: int) -> Sequence[TokenRow]:
        """Take the first rows, which are as good as any."""
        return [
            _row(record)
            for record in self._in_order()
            if (record.token_generation, record.next_token_generation)
            == (generations.active, generations.pending)
        ][:rows]

    @override
    def count(self, generations: Generations | None) -> int:
        pending = generations.pending if generations else None
        return sum(
            active is not None and (pending is None or made != pending)
            for active, made in map(_numbers, filter(lambda r: r.tokens, self._in_order()))
        )

    @override
    def cut_over(
        self,
        request: AuditRequest,
        generation: int,
        partitions: Sequence[int] | None = None,
    ) -> CutOverDone | Blocked:
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
        return CutOverDone(head, 1.0)

    def _fill(self, made: NextTokens, generations: Generations) -> bool:
        record = self._database.records[made.row.record_id]
        if (
            record.token_generation != made.row.generation
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
        records[record_id] = records[record_id]._replace(**changes)  # type: ignore[arg-type]

    def _named(self, what: LeaveOut) -> list[SealedRecord]:
        keys = {k.key_id for k in self._database.keys.values() if _is_named(k, what)}
        return [
            record
            for record in self._in_order()
            if (record.tokens or record.next_tokens)
            and (
                bool(_key_ids(record) & keys)
                if what.record_id is None
                else record.record_id == what.record_id
            )
        ]

    def _blamed(self, rows: Sequence[SealedRecord]) -> tuple[Blamed, ...]:
        """Three logins and three keys that most of these lie under."""
        stored = self._database.keys
        under = [[stored[i] for i in _key_ids(row) & stored.keys()] for row in rows]
        logins = Counter(login for keys in under for login in {k.created_by for k in keys})
        counts = Counter(key.key_id for keys in under for key in keys)
        return (
            *(Blamed(login, count) for login, count in logins.most_common(3)),
            *(Blamed(stored[i].created_by, count, i) for i, count in counts.most_common(3)),
        )

    def _in_order(self) -> list[SealedRecord]:
        return sorted(self._database.records.values(), key=lambda r: r.record_id)


def _row(record: SealedRecord) -> TokenRow:
    return TokenRow(
        record.event,
        record.record_id,
        record.subject,
        record.token_generation,
        tokens=dict(record.tokens),
        ciphertexts=dict(record.ciphertexts),
        next_tokens=dict(record.next_tokens or {}),
    )


def _pair(record: SealedRecord, field: FieldName) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    return record.tokens.get(field), (record.next_tokens or {}).get(field)


def _numbers(record: SealedRecord) -> tuple[int | None, int | None]:
    """The generations of a row; an erased row has neither."""
    return record.token_generation, record.next_token_generation


def _is_missing(record: SealedRecord, generations: Generations) -> bool:
    numbers = _numbers(record)
    if not record.tokens and not record.next_tokens:
        return False
    return numbers != (generations.active, generations.pending) or any(
        not (old is None) == (new is None) == (record.ciphertexts.get(field) is None)
        for field in record.tokens.keys()
        | record.ciphertexts.keys()
        | (record.next_tokens or {}).keys()
        for old, new in (_pair(record, field),)
    )


def _is_left_out(record: SealedRecord, generations: Generations) -> bool:
    return not record.next_tokens and record.next_token_generation == generations.pending


def _is_named(key: StoredKey, what: LeaveOut) -> bool:
    return (
        key.purpose is KeyPurpose.DATA
        and what.key_id in {None, key.key_id}
        and what.login in {None, key.created_by}
        and (what.since is None or (key.expires_at is not None and key.expires_at >= what.since))
        and (what.until is None or key.created_at <= what.until)
    )


def _key_ids(record: SealedRecord) -> set[int]:
    return {int.from_bytes(sealed[1:5], "big") for sealed in record.ciphertexts.values()}


def _unequal(rows: Sequence[SealedRecord], field: FieldName) -> list[TokenRow]:
    """A row of each pair with a token that stands for two."""
    rows_of = {pair: record for record in rows if None not in (pair := _pair(record, field))}
    olds, news = Counter(old for old, _ in rows_of), Counter(new for _, new in rows_of)
    return [
        _row(record) for (old, new), record in rows_of.items() if olds[old] > 1 or news[new] > 1
    ]
