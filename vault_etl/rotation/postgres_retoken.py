"""Tokens of a detached month on Postgres, for the role re-encrypt, by functions of the owner of its table."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError, NotFoundError, UsageError
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.crypto.record_id import first_millisecond
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks
from vault_etl.records.months import PartitionState, next_month, parse_month
from vault_etl.rotation.next_tokens import NextTokens, TokenRow
from vault_etl.rotation.postgres import add_ranges, move_range
from vault_etl.rotation.postgres_tokens import stage, token_page
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, split
from vault_etl.rotation.retoken import DetachedMonth, DetachedMonths
from vault_etl.rotation.retoken_pages import DetachedTokens

_SQL: Final = blocks("rotation/retoken.sql")
_ROTATION: Final = blocks("rotation/rotation.sql")
_TRIES: Final = 5

_FIRST: Final = {
    "detaching": "the owner's `vault-etl partitions detach` continues it",
    "archived": "the owner's `vault-etl partitions restore` brings it back first",
}


class PostgresDetachedMonths(DetachedMonths):
    """`DetachedMonths` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration

    def find(self, wanted: str) -> DetachedMonth:
        """Find the detached month of that name, or the one that has all or a part of that calendar month.

        Raises NotFoundError if no month fits, UsageError if several do, and ConfigurationError if
        the rows are not in a detached table.
        """
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["find"], {"wanted": wanted, **_bounds(wanted)})
            found = cursor.fetchall()
        if not found:
            message = f"no month {wanted} is detached"
            hint = "the owner's `vault-etl partitions list` shows them; `keys rotate --tokens` rotates the others"
            raise NotFoundError(message, hint=hint)
        if len(found) > 1:
            message = f"{wanted} has several partitions: {', '.join(name for _, name, *_ in found)}"
            raise UsageError(message, hint="name one of them")
        ((event, name, first, until, state),) = found
        if state != PartitionState.DETACHED:
            message = f"{name} is {state}"
            raise ConfigurationError(message, hint=_FIRST.get(state))
        return DetachedMonth(EventName(event), name, first, until)

    @override
    def generations(self, month: DetachedMonth) -> Mapping[int, int]:
        try:
            with self._database.transaction(long=True) as cursor:
                cursor.execute(_SQL["generations"], _key(month))
                return dict(cursor.fetchall())
        except IncompleteError:  # 55000
            message = f"{month.name} is not detached on the record"
            raise ConfigurationError(
                message, hint="the owner's `vault-etl partitions detach` puts it away"
            ) from None

    @retried_for_locks(tries=_TRIES)
    @override
    def begin(
        self, request: AuditRequest, month: DetachedMonth, ranges: int, *, again: bool
    ) -> OpenRotation:
        """Begin the work. If two processes begin at once, one finds the rotation of the other."""
        self._database.call(_SQL["begin"], _key(month))
        with self._database.transaction() as cursor:
            cursor.execute(
                _SQL["add"],
                {
                    "rotation_id": request.request_id,
                    "fields": list(self._declaration.field_names),
                    **_key(month),
                },
            )
            if cursor.rowcount:
                last = uuid.UUID(int=month.until.int - 1)
                cut = split(month.event, month.first, last, ranges)
                add_ranges(cursor, request.request_id, list(cut))
            cursor.execute(_SQL["open"], _key(month))
            ((rotation_id, fields, _),) = cursor.fetchall()
            values = {"rotation_id": rotation_id}
            cursor.execute(
                _SQL["go_through_again"] if again else _ROTATION["reopen_ranges"], values
            )
        return OpenRotation(
            rotation_id=rotation_id,
            fields=tuple(map(FieldName, fields)),
            old_keys=frozenset(),
            resumed=rotation_id != request.request_id,
        )

    @override
    def end(self, rotation_id: uuid.UUID) -> None:
        with self._database.transaction() as cursor:
            cursor.execute(_ROTATION["end_rotation"], {"rotation_id": rotation_id})


class PostgresDetachedTokens(DetachedTokens):
    """`DetachedTokens` on Postgres."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._declaration = declaration
        self._sql = sql_blocks("rotation/retoken_pages.sql", declaration)

    @override
    def page(self, claim: uuid.UUID, at: Range, limit: int) -> Page[TokenRow]:
        """Read a page. The function finds the range by its claim."""
        event = self._declaration.event(at.place)
        with self._database.transaction(long=True) as cursor:
            values = {"claim": claim, "after": at.after}
            return token_page(cursor, self._sql[f"page_{at.place}"], event, values, limit)

    @retried_for_locks(tries=_TRIES)
    @override
    def fill(self, rows: Sequence[NextTokens], generation: int, step: RotationStep) -> int | None:
        """Fill a page. A deadlock is followed by another attempt: filling twice has the effect of once."""
        with self._database.transaction() as cursor:
            filled: int | None = 0
            if rows:
                place = step.range.place
                stage(cursor, self._declaration, place, rows)
                values = {"claim": step.claim, "generation": generation}
                cursor.execute(self._sql[f"store_{place}"], values)
                ((filled,),) = cursor.fetchall()
            if filled is not None:
                move_range(cursor, step, is_whole=filled == len(rows))
            return filled


def _key(month: DetachedMonth) -> dict[str, object]:
    return {"event": month.event, "month_id": month.first}


def _bounds(wanted: str) -> dict[str, uuid.UUID | None]:
    """The bounds of a month that is written as 2026-03; None for any other text."""
    try:
        month = parse_month(wanted)
    except UsageError:
        return {"first": None, "end": None}
    return {
        name: uuid.UUID(int=max(0, first_millisecond(day)) << 80)
        for name, day in (("first", month), ("end", next_month(month)))
    }
