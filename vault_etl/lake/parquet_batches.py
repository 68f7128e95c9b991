"""Seal events, make tokens, and erase rows: pure functions on Arrow batches.

The library, the commands of the lake and Spark call these. No function here reads or writes anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from vault_etl.archives.parquet_layout import GENERATION, schema_of_set
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.sealing import Sealer, new_nonces
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.declaration.model import DeclaredEvent, PersonalValue, PlainType
from vault_etl.declaration.searched import Searched
from vault_etl.event.parsed_event import ParsedEvent, PlainValue
from vault_etl.records.sealing import day_of

Arrow = Any
"""An array, a batch or a type of pyarrow, which has no types of its own."""

GENERATIONS: Final = (GENERATION, "next_token_generation")


class BatchSealer:
    """Seals events of one declared event into batches in the layout of a set, with the bytes that ingest writes.

    Column by column: a row costs half of what it does as a `SealedRecord`. Each batch draws nonces of its own. Two
    threads may call it at once.
    """

    def __init__(self, event: DeclaredEvent, sealer: Sealer, tokenizer: Tokenizer) -> None:
        self.schema: Arrow = schema_of_set(event)
        self._event = event
        self._sealer = sealer
        self._tokenizer = tokenizer

    def seal(self, rows: Sequence[tuple[uuid.UUID, ParsedEvent]]) -> Arrow:
        """Return the batch of these records, in their order.

        Raises KeyError without a data key of each of their fields, ValueError for a record of another event.
        """
        events = [event for _, event in rows]
        if any(event.event.name != self._event.name for event in events):
            message = f"a record is not of the event {self._event.name}"
            raise ValueError(message)
        ids = [record_id.int.to_bytes(16, "big") for record_id, _ in rows]
        columns = {
            "record_id": uuids_of(ids),
            GENERATION: pa.repeat(pa.scalar(self._tokenizer.generation, pa.int16()), len(rows)),
            **self._plain_columns(rows),
        }
        places = [(each, lp(event.subject)) for each, event in zip(ids, events, strict=True)]
        nonces = new_nonces()
        for value in self._event.personal:
            columns |= self._columns_of(value, events, places, nonces)
        return pa.RecordBatch.from_arrays(
            [columns[name] for name in self.schema.names], schema=self.schema
        )

    def _plain_columns(self, rows: Sequence[tuple[uuid.UUID, ParsedEvent]]) -> dict[str, Arrow]:
        """Return the plain columns. The day of an event without one is that of its record id."""
        columns = {}
        for plain in self._event.plain:
            for name in plain.columns:
                type_ = PlainType.MOMENT if name == plain.moment else plain.type
                columns[name] = plain_array(type_, [event.plain.get(name) for _, event in rows])
        columns[self._event.day.name] = plain_array(
            PlainType.DAY, [event.day or day_of(record_id) for record_id, event in rows]
        )
        return columns

    def _columns_of(
        self,
        value: PersonalValue,
        events: Sequence[ParsedEvent],
        places: Sequence[tuple[bytes, bytes]],
        nonces: Iterator[bytes],
    ) -> dict[str, Arrow]:
        """Return the tokens and the ciphertexts of one value."""
        name, field = value.name, value.field.name
        held = [event.personal.get(name) for event in events]
        if all(one is None for one in held):
            names = (*value.tokens, value.ciphertext)
            return {each: pa.nulls(len(held), self.schema.field(each).type) for each in names}
        seal = self._sealer.of_value(self._event.name, name, field, nonces).seal
        tokenizer = self._tokenizer.field(field)
        forms = [event.forms.get(name) for event in events]
        columns = {
            value.ciphertext: pa.array(
                [
                    None if one is None else seal(one, *place)
                    for one, place in zip(held, places, strict=True)
                ],
                pa.binary(),
            )
        }
        for column, (_, derived) in zip(value.tokens, value.token_names, strict=True):
            columns[column] = _tokens(tokenizer, derived, held, forms)
        return columns


def _tokens(
    tokenizer: FieldTokenizer,
    derived: str | None,
    values: Iterable[Pii | None],
    forms: Iterable[Pii | None],
) -> Arrow:
    """Return the tokens of values, or of a derived form of them; `forms` are their canonical forms."""
    if derived is None:
        make = tokenizer.bytes_of_form
        return uuids_of([None if form is None else make(form) for form in forms])
    return uuids_of(
        [None if one is None else tokenizer.token(one, derived).bytes for one in values]
    )


class BatchTokens:
    """Makes the tokens of a column of values of one field, or of a derived form, in one generation."""

    def __init__(self, tokenizer: FieldTokenizer, searched: Searched) -> None:
        self._tokenizer = tokenizer
        self._searched = searched

    def tokens(self, values: Arrow) -> tuple[Arrow, Sequence[int]]:
        """Return an array of UUIDs, and the indices of the values that the field cannot hold: they have no token.

        A null has no token. `values` is an array of texts, a dictionary of texts, or an array of whole numbers, each
        of which counts as its digits. Equal values are read once. Raises UsageError for another type.
        """
        texts = _texts(values)
        distinct, at = texts.dictionary, texts.indices
        made = pa.array([self._token(text) for text in distinct.to_pylist()], pa.binary(16))
        tokens = made.take(at)
        unheld = pc.and_not(tokens.is_null(), values.is_null())
        return _as_uuids(tokens), pc.indices_nonzero(unheld).to_pylist()

    def _token(self, text: str | None) -> bytes | None:
        held = None if text is None else self._searched.held_or_none(Pii.of_text(text))
        if held is None:
            return None
        return self._tokenizer.token(held, self._searched.derived).bytes


def seals_in(event: DeclaredEvent, batch: Arrow) -> dict[FieldName, int]:
    """Count the ciphertexts of a batch by their fields: so many seals a rotation of the batch needs."""
    counts = dict[FieldName, int]()
    for value in event.personal:
        column = column_of(batch, value.ciphertext)
        if column is not None and (held := len(column) - column.null_count):
            counts[value.field.name] = counts.get(value.field.name, 0) + held
    return counts


def rows_of(
    event: DeclaredEvent,
    batch: Arrow,
    subjects: Collection[str] = (),
    record_ids: Collection[uuid.UUID] = (),
) -> Arrow:
    """Return a mask: true for the rows of these subjects, and of these records, that are not erased yet."""
    ids = pa.array([each.bytes for each in record_ids], pa.binary(16))
    chosen = pc.or_(
        pc.is_in(batch[event.subject.name], pa.array(list(subjects), pa.string())),
        pc.is_in(batch["record_id"].storage, ids),
    )
    held = pa.array([False] * len(batch), pa.bool_())
    for name in _erasable(event):
        if (column := column_of(batch, name)) is not None:
            held = pc.or_(held, column.is_valid())
    return pc.and_(chosen, held)


def erased(
    event: DeclaredEvent,
    batch: Arrow,
    subjects: Collection[str] = (),
    record_ids: Collection[uuid.UUID] = (),
) -> tuple[Arrow, int]:
    """Return the batch without tokens, ciphertexts and generations of these rows, and the number of rows changed.

    The rows themselves stay, with their plain columns, as in the table.
    """
    mask = rows_of(event, batch, subjects, record_ids)
    changed: int = pc.sum(mask).as_py() or 0
    if not changed:
        return batch, 0
    for name in _erasable(event):
        if (column := column_of(batch, name)) is not None:
            batch = with_column(batch, name, _without(column, mask))
    return batch, changed


def column_of(batch: Arrow, name: str) -> Arrow | None:
    """Return a column of a batch, or None: a set has no columns of values that were declared later."""
    at = batch.schema.get_field_index(name)
    return None if at < 0 else batch.column(at)


def with_column(batch: Arrow, name: str, column: Arrow) -> Arrow:
    """Return the batch with another column in the place of this one."""
    at = batch.schema.get_field_index(name)
    return batch.set_column(at, batch.schema.field(at), column)


def uuids_of(tokens: Iterable[bytes | None]) -> Arrow:
    """Return the array of UUIDs of these 16 bytes each."""
    return _as_uuids(pa.array(list(tokens), pa.binary(16)))


def _as_uuids(storage: Arrow) -> Arrow:
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _without(column: Arrow, mask: Arrow) -> Arrow:
    """Return the column with null where the mask is true."""
    if column.type == pa.uuid():
        return _as_uuids(_without(column.storage, mask))
    return pc.if_else(mask, pa.scalar(None, column.type), column)


def _erasable(event: DeclaredEvent) -> Iterable[str]:
    """Yield the columns that an erasure empties."""
    yield from GENERATIONS
    for value in event.personal:
        yield from value.columns


def _texts(values: Arrow) -> Arrow:
    """Return the values as a dictionary of texts. Raises UsageError for another type."""
    found = values.type
    if pa.types.is_dictionary(found):
        values, found = values.dictionary_decode(), found.value_type
    if pa.types.is_null(found) or pa.types.is_integer(found):
        values = values.cast(pa.string())
    elif not (
        pa.types.is_string(found)
        or pa.types.is_large_string(found)
        or pa.types.is_string_view(found)
    ):
        message = f"a column of {found} has no texts"
        raise UsageError(message, hint="give texts, or whole numbers")
    return values.cast(pa.large_string()).dictionary_encode()


def plain_array(type_: PlainType, values: Sequence[PlainValue | None]) -> Arrow:
    """Return the array of parsed values of a plain column."""
    arrow, convert = _PLAIN[type_]
    if convert is None:
        return pa.array(values, arrow)
    return pa.array([None if value is None else convert(value) for value in values], arrow)


def _numeric(text: str) -> str:
    """Return the text that Postgres shows of a number: every digit, no exponent, and no sign of zero."""
    number = Decimal(text)
    return f"{number or number.copy_abs():f}"


_PLAIN: Final[dict[PlainType, tuple[Arrow, Callable[[Any], object] | None]]] = {
    PlainType.TEXT: (pa.string(), None),
    PlainType.INTEGER: (pa.int64(), int),
    PlainType.DECIMAL: (pa.string(), _numeric),
    PlainType.BOOLEAN: (pa.bool_(), None),
    PlainType.DAY: (pa.date32(), None),
    PlainType.MOMENT: (pa.timestamp("us", tz="UTC"), None),
}
"""The Arrow type of a plain column, and what converts the parsed value."""
