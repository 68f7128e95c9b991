"""Open and rotate batches of sealed rows, against a receipt of the audit log."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, final

import pyarrow as pa
import pyarrow.compute as pc

from vault_etl.archives.parquet_layout import GENERATION
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.digest import lp
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.sealing import Sealer, new_nonces
from vault_etl.crypto.tokens import FieldTokenizer, Tokenizer
from vault_etl.declaration.model import DeclaredEvent, PersonalValue
from vault_etl.keys.ring import KeyRing
from vault_etl.lake.parquet_batches import GENERATIONS, column_of, uuids_of, with_column

Arrow = Any
"""An array, a batch or a type of pyarrow, which has no types of its own."""

_KEY_ID: Final = (1, 5)
"""First and last+1 byte of the key id in a ciphertext; byte 0 is the format."""


@final
class OpenedBatch:
    """Opened rows. Like `Pii`, they are not shown, compared, pickled or copied; `expose()` returns them."""

    __slots__ = ("_batch",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, batch: Arrow) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return len(self._batch)

    def expose(self) -> Arrow:
        """Return the batch: record id, subject, day, and the text of each opened value; null if it was erased."""
        return self._batch

    def __repr__(self) -> str:
        return "OpenedBatch(redacted)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        message = "personal values are not pickled or copied"
        raise TypeError(message)


class BatchOpener:
    """Opens the values of these fields of one event, for one entry of the audit log."""

    def __init__(
        self, event: DeclaredEvent, fields: Collection[FieldName], opener: Opener, keys: KeyRing
    ) -> None:
        self._event = event
        self._values = [value for value in event.personal if value.field.name in fields]
        self._rows = _RowOpener(event, opener, keys)

    def open(self, batch: Arrow) -> OpenedBatch:
        """Open a batch, all of its values or none.

        Raises IntegrityError if a value does not open, or if its tokens are of another value; UnusableKeyError;
        KeyUnavailableError.
        """
        names = ("record_id", self._event.subject.name, self._event.day.name)
        places = _places(self._event, batch)
        opened = [self._rows.open(batch, value, places).values for value in self._values]
        fields = [
            *(batch.schema.field(name) for name in names),
            *(pa.field(value.name, pa.string()) for value in self._values),
        ]
        arrays = [*(batch[name] for name in names), *map(_shown, opened)]
        return OpenedBatch(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)))


class BatchRotator:
    """Seals the values of batches again under new data keys, and makes their tokens in the active generation.

    `keys` opens the old keys. `sealer` has a new data key of each field, `tokenizer` is of the active generation.
    """

    def __init__(
        self,
        event: DeclaredEvent,
        opener: Opener,
        keys: KeyRing,
        sealer: Sealer,
        tokenizer: Tokenizer,
    ) -> None:
        self._event = event
        self._rows = _RowOpener(event, opener, keys)
        self._sealer = sealer
        self._tokenizer = tokenizer

    def rotate(self, batch: Arrow) -> Arrow:
        """Return the batch with new ciphertexts and tokens. The tokens of a second generation become null.

        Erased values stay null. Raises as `BatchOpener.open` does, and KeyError without a data key of each field.
        """
        places = _places(self._event, batch)
        for value in self._event.personal:
            if column_of(batch, value.ciphertext) is not None:
                batch = self._rotated(batch, value, places)
        generations = pc.if_else(
            batch[GENERATION].is_valid(),
            pa.scalar(self._tokenizer.generation, pa.int16()),
            pa.scalar(None, pa.int16()),
        )
        batch = with_column(batch, GENERATION, generations)
        for name in (GENERATIONS[1], *_next_tokens(self._event)):
            if (column := column_of(batch, name)) is not None:
                batch = with_column(batch, name, pa.nulls(len(column), column.type))
        return batch

    def _rotated(
        self, batch: Arrow, value: PersonalValue, places: Sequence[tuple[bytes, bytes]]
    ) -> Arrow:
        opened = self._rows.open(batch, value, places)
        if not any(opened.values):
            return batch
        field = value.field.name
        seal = self._sealer.of_value(self._event.name, value.name, field, new_nonces()).seal
        sealed = [
            None if one is None else seal(one, *place)
            for one, place in zip(opened.values, places, strict=True)
        ]
        batch = with_column(batch, value.ciphertext, pa.array(sealed, pa.binary()))
        new = self._tokenizer.field(field)
        if opened.generations == {new.generation}:
            return batch  # the tokens were compared, and stay
        for column, (_, derived) in zip(value.tokens, value.token_names, strict=True):
            if column_of(batch, column) is not None:
                tokens = uuids_of(opened.tokens([new] * len(batch), derived))
                batch = with_column(batch, column, tokens)
        return batch


class _Opened(NamedTuple):
    """The value of each row, or None; its canonical form; and the generations of the rows that have one."""

    values: Sequence[Pii | None]
    forms: Sequence[Pii | None]
    generations: Collection[int | None]

    def tokens(
        self, makers: Iterable[FieldTokenizer | None], derived: str | None
    ) -> Iterator[bytes | None]:
        """Make the token of each row with its maker. Raises ValueError, without a value, for a value without one."""
        for value, form, maker in zip(self.values, self.forms, makers, strict=True):
            if value is None or form is None or maker is None:
                yield None
            elif derived is None:
                yield maker.bytes_of_form(form)
            else:
                yield maker.token(value, derived).bytes


class _RowOpener:
    """Opens the values of one name in a batch, and checks that the tokens of each row are of its value."""

    def __init__(self, event: DeclaredEvent, opener: Opener, keys: KeyRing) -> None:
        self._event = event
        self._opener = opener
        self._keys = keys

    def open(
        self, batch: Arrow, value: PersonalValue, places: Sequence[tuple[bytes, bytes]]
    ) -> _Opened:
        """Open the value of each row. Raises as `BatchOpener.open` does."""
        column = column_of(batch, value.ciphertext)
        if column is None or column.null_count == len(column):
            nothing = [None] * len(batch)
            return _Opened(nothing, nothing, ())
        name, field = value.name, value.field.name
        keys = self._data_keys(column, field)
        open_ = self._opener.of_value(self._event.name, name, field, keys).open
        values = [
            None if sealed is None else open_(sealed, *place)
            for sealed, place in zip(column.to_pylist(), places, strict=True)
        ]
        held = batch[GENERATION].to_pylist()
        makers = {
            generation: self._keys.field_tokenizer(field, generation)
            for generation in {g for g, one in zip(held, values, strict=True) if one is not None}
        }
        form = next(iter(makers.values())).form
        # A value without a token was not sealed by this program; it fails in the same way, outside the handler.
        with contextlib.suppress(ValueError):
            forms = [None if one is None else form(one) for one in values]
            opened = _Opened(values, forms, makers.keys())
            if _has_tokens(batch, value, opened, [makers.get(generation) for generation in held]):
                return opened
        raise IntegrityError

    def _data_keys(self, column: Arrow, field: FieldName) -> Mapping[int, DataKey]:
        named = pc.unique(pc.binary_slice(column.drop_null(), *_KEY_ID)).to_pylist()
        ids = [int.from_bytes(key_id, "big") for key_id in named]
        return {key_id: self._keys.data_key(key_id, field) for key_id in ids}


def _has_tokens(
    batch: Arrow,
    value: PersonalValue,
    opened: _Opened,
    makers: Sequence[FieldTokenizer | None],
) -> bool:
    """Tell whether the tokens of each row are of the value that its ciphertext holds."""
    for column, (_, derived) in zip(value.tokens, value.token_names, strict=True):
        tokens = column_of(batch, column)
        if tokens is None and derived is not None:
            continue  # a form that was declared after the set was made
        stored = [None] * len(batch) if tokens is None else tokens.storage.to_pylist()
        made = opened.tokens(makers, derived)
        if any(
            one is not None and own != token
            for one, own, token in zip(opened.values, made, stored, strict=True)
        ):
            return False
    return True


def _places(event: DeclaredEvent, batch: Arrow) -> Sequence[tuple[bytes, bytes]]:
    """Return the record id of each row, and its subject behind its length, as associated data have them."""
    with contextlib.suppress(ValueError, AttributeError):  # a subject that no ciphertext can name
        subjects = [lp(subject) for subject in batch[event.subject.name].to_pylist()]
        if not batch["record_id"].null_count:
            return list(zip(batch["record_id"].storage.to_pylist(), subjects, strict=True))
    raise IntegrityError


def _shown(opened: Sequence[Pii | None]) -> Arrow:
    with contextlib.suppress(ValueError):  # bytes that are no text
        return pa.array([None if one is None else one.expose() for one in opened], pa.string())
    raise IntegrityError


def _next_tokens(event: DeclaredEvent) -> Iterable[str]:
    return (f"next_{token}" for value in event.personal for token in value.tokens)
