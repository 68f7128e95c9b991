"""Seal events, make tokens, and erase rows: pure functions on Arrow batches.

The library, the commands of the lake and Spark call these. No function here reads or writes anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from vault_etl.archives.parquet_layout import GENERATION, columns_of_set, schema_of_set
from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.declaration.model import DeclaredEvent, PlainType
from vault_etl.declaration.searched import Searched
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.records.messages import SealedRecord
from vault_etl.records.sealing import RecordSealer

Arrow = Any
"""An array, a batch or a type of pyarrow, which has no types of its own."""

GENERATIONS: Final = (GENERATION, "next_token_generation")


class BatchSealer:
    """Seals events of one declared event into batches in the layout of a set, with the bytes that ingest writes.

    Each batch draws nonces of its own. Two threads may call it at once.
    """

    def __init__(self, event: DeclaredEvent, sealer: Sealer, tokenizer: Tokenizer) -> None:
        self.schema: Arrow = schema_of_set(event)
        self._event = event.name
        self._sealer = sealer
        self._tokenizer = tokenizer
        makers = _makers(event)
        self._makers = [makers[column.name] for column in columns_of_set(event)]

    def seal(self, rows: Sequence[tuple[uuid.UUID, ParsedEvent]]) -> Arrow:
        """Return the batch of these records, in their order.

        Raises KeyError without a data key of each of their fields, ValueError for a record of another event.
        """
        if any(event.event.name != self._event for _, event in rows):
            message = f"a record is not of the event {self._event}"
            raise ValueError(message)
        seal = RecordSealer(self._sealer, self._tokenizer, None).seal
        records = [seal(record_id, event) for record_id, event in rows]
        return pa.RecordBatch.from_arrays(
            [make(records) for make in self._makers], schema=self.schema
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


_Make = Callable[[Sequence[SealedRecord]], Arrow]


def _makers(event: DeclaredEvent) -> dict[str, _Make]:
    """Return what makes each column of a set from records, by the name of the column."""
    makers: dict[str, _Make] = {
        "record_id": lambda records: _uuids([record.record_id for record in records]),
        GENERATION: lambda records: pa.array(
            [record.token_generation for record in records], pa.int16()
        ),
    }
    for value in event.personal:
        for column, (name, _) in zip(value.tokens, value.token_names, strict=True):
            makers[column] = _tokens_maker(name)
        makers[value.ciphertext] = _ciphertexts_maker(value.name)
    for plain in event.plain:
        makers[plain.name] = _plain_maker(plain.name, plain.type)
        if plain.moment is not None:
            makers[plain.moment] = _plain_maker(plain.moment, PlainType.MOMENT)
    return makers


def _tokens_maker(name: FieldName) -> _Make:
    return lambda records: _uuids([record.tokens.get(name) for record in records])


def _ciphertexts_maker(name: FieldName) -> _Make:
    return lambda records: pa.array(
        [record.ciphertexts.get(name) for record in records], pa.binary()
    )


def _plain_maker(name: str, type_: PlainType) -> _Make:
    arrow, convert = _PLAIN[type_]

    def make(records: Sequence[SealedRecord]) -> Arrow:
        values: list[Any] = [record.plain.get(name) for record in records]
        if convert is not None:
            values = [None if value is None else convert(value) for value in values]
        return pa.array(values, arrow)

    return make


def _uuids(values: Sequence[uuid.UUID | None]) -> Arrow:
    return uuids_of([None if value is None else value.int.to_bytes(16, "big") for value in values])


def _numeric(text: str) -> str:
    """Return the text that Postgres shows of a number: every digit, no exponent, and no sign of zero."""
    number = Decimal(text)
    return f"{number or number.copy_abs():f}"


_PLAIN: Final[dict[PlainType, tuple[Arrow, Callable[[str], object] | None]]] = {
    PlainType.TEXT: (pa.string(), None),
    PlainType.INTEGER: (pa.int64(), int),
    PlainType.DECIMAL: (pa.string(), _numeric),
    PlainType.BOOLEAN: (pa.bool_(), None),
    PlainType.DAY: (pa.date32(), None),
    PlainType.MOMENT: (pa.timestamp("us", tz="UTC"), None),
}
"""The Arrow type of a plain column, and what converts the parsed value."""
