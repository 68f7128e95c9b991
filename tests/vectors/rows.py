"""Drawn messages of declared events, and their rows once more, made one at a time from the formats alone.

Every way to seal is held against these rows: ingest, the batches of Arrow, the library, the lake and Spark.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from hypothesis import strategies as st

from tests.kit.kind_values import OTHERWISE, VALUES
from tests.vectors import oracle
from vault_etl.archives.parquet_layout import columns_of_set
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.declaration.model import (
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    PlainType,
)
from vault_etl.kinds.blank import is_blank

DAY_SENT: Final = dt.date(2026, 1, 1)

NUMBER: Final = "\\ue000"
"""The mark of a number, as JSON spells a character of private use, which no drawn text has."""

_days = st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30))
_moments = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC))  # noqa: DTZ001
_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["C"]), max_size=16)


class Given(NamedTuple):
    """A message, the personal texts that it has, and the plain columns of its row."""

    body: bytes
    personal: Mapping[str, str]
    plain: Mapping[str, object]


@st.composite
def messages(draw: st.DrawFn, event: DeclaredEvent) -> Given:
    """Draw a message with all required values and some optional ones."""
    message: dict[str, Any] = {}
    personal, plain = dict[str, str](), dict[str, object]()
    if event.when:
        _put(message, event.when.path.names, event.when.equals)
    for value in event.values:
        if not value.required and draw(st.booleans()):
            continue
        if isinstance(value, PersonalValue):
            kind = value.field.kind
            text = draw(_short(kind.name))
            text = draw(st.sampled_from([text, OTHERWISE[kind.name](text), *kind.placeholders[:2]]))
            personal[value.name] = text
            _put(message, value.path.names, text)
        else:
            given_value, columns = draw(_plain(value))
            plain |= columns
            _put(message, value.path.names, given_value)
    plain.setdefault(event.day.name, DAY_SENT)
    return Given(
        json.dumps(message).replace(f'"{NUMBER}', "").replace(f'{NUMBER}"', "").encode(),
        personal,
        plain,
    )


@functools.cache
def _short(kind: str) -> st.SearchStrategy[str]:
    """Texts of a kind of at most 36 characters. Hypothesis takes longer to make a strategy than to draw from it."""
    return VALUES[kind].filter(lambda text: len(text) <= 36)


@functools.cache
def _plain(column: PlainColumn) -> st.SearchStrategy[tuple[object, dict[str, object]]]:
    """A value for JSON, and the columns that it fills. A number is a text between marks, which are cut out later."""
    name = column.name
    if column.type is PlainType.TEXT:
        texts = _texts.filter(lambda text: not is_blank(text))
        return texts.map(lambda text: (text, {name: text}))
    if column.type is PlainType.BOOLEAN:
        return st.booleans().map(lambda value: (value, {name: value}))
    if column.type is PlainType.DAY:
        return _days.map(lambda day: (day.isoformat(), {name: day}))
    if column.type is PlainType.MOMENT:
        return _moments.map(lambda moment: (moment.isoformat(), {name: moment}))
    return st.integers(-(2**63), 2**63 - 1).map(
        lambda number: (f"\ue000{number}\ue000", {name: str(number)})
    )


def _put(message: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        message = message.setdefault(name, {})
    message[path[-1]] = value


class RowKeys(Protocol):
    """The plaintext keys that rows were sealed under."""

    def data(self, field: str, key_id: int) -> bytes:
        """The data key of this field and id."""

    def token(self, field: str, generation: int) -> bytes:
        """The token key of this field and generation."""


class FixedKeys:
    """Keys that follow from their names; each data key has the id 7."""

    KEY_ID: Final = 7

    def data(self, field: str, key_id: int) -> bytes:
        """The data key of a field."""
        assert key_id == self.KEY_ID
        return field.encode().ljust(32, b"-")

    def token(self, field: str, generation: int) -> bytes:
        """The token key of a field and generation."""
        return f"{field} {generation}".encode().ljust(32, b"-")

    def data_keys(self, declaration: Declaration) -> list[DataKey]:
        """The data key of each field."""
        return [
            DataKey(self.KEY_ID, name, KeyMaterial(self.data(name, self.KEY_ID)))
            for name in declaration.field_names
        ]

    def tokenizer(self, declaration: Declaration, generation: int) -> Tokenizer:
        """The tokenizer of a generation."""
        keys = [
            TokenKey(1, name, generation, KeyMaterial(self.token(name, generation)))
            for name in declaration.field_names
        ]
        return Tokenizer(keys, declaration.kinds)


def row_of(
    event: DeclaredEvent,
    record_id: uuid.UUID,
    told: Given,
    stored: Mapping[str, Any],
    keys: RowKeys,
    *,
    pending: int | None = None,
) -> dict[str, object]:
    """Make a row by columns from the formats. Nonces, key ids and the generation are those of the `stored` row."""
    row: dict[str, object] = {
        "record_id": record_id,
        **{name: None for column in event.plain for name in column.columns},
        **told.plain,
        "token_generation": stored["token_generation"],
        "next_token_generation": pending,
    }
    subject = str(told.plain[event.subject.name])
    for value in event.personal:
        text = told.personal.get(value.name)
        sealed = None if text is None else value.field.kind.accept(text)
        row[value.ciphertext] = None
        if sealed is not None:
            row[value.ciphertext] = _sealed(
                event.name, value, record_id, subject, sealed, stored[value.ciphertext], keys
            )
        for prefix, generation in (("", stored["token_generation"]), ("next_", pending)):
            for column, (_, form) in zip(value.tokens, value.token_names, strict=True):
                row[f"{prefix}{column}"] = (
                    None
                    if sealed is None or generation is None
                    else _token(value, form, sealed, generation, keys)
                )
    return row


def must_have_rows(
    event: DeclaredEvent,
    told: Iterable[tuple[uuid.UUID, Given]],
    batch: Any,  # noqa: ANN401 - a batch or a table of pyarrow
    keys: RowKeys,
) -> None:
    """Hold a sealed batch, in the order of these records, against the formats. All nonces must be different."""
    rows = batch.to_pylist()
    numbers = {column.name for column in event.plain if column.type is PlainType.INTEGER}
    for (record_id, message), row in zip(told, rows, strict=True):
        wanted = row_of(event, record_id, message, row, keys)
        for name in numbers:
            wanted[name] = None if wanted[name] is None else int(str(wanted[name]))
        assert row.keys() >= {each.name for each in columns_of_set(event)}
        assert row == {name: wanted[name] for name in row}
    sealed = [row[value.ciphertext] for row in rows for value in event.personal]
    nonces = [stored[5:17] for stored in sealed if stored is not None]
    assert len(set(nonces)) == len(nonces)


def _sealed(
    table: str,
    value: PersonalValue,
    record_id: uuid.UUID,
    subject: str,
    text: str,
    stored: bytes,
    keys: RowKeys,
) -> bytes:
    key_id = int.from_bytes(stored[1:5], "big")
    bound = oracle.associated_data(table, value.name, record_id, key_id, subject)
    key = keys.data(value.field.name, key_id)
    return oracle.seal(key, key_id, stored[5:17], oracle.pad(text.encode()), bound)


def _token(
    value: PersonalValue, form: str | None, sealed: str, generation: int, keys: RowKeys
) -> uuid.UUID:
    field, kind = value.field.name, value.field.kind
    key = keys.token(field, generation)
    if form is not None:
        (derived,) = (each for each in value.derived if each.name == form)
        return oracle.token(key, f"{field}/{form}", derived.canonical(sealed))
    canonical = kind.canonical(sealed)
    if canonical.lower() in {kind.canonical(one) for one in kind.placeholders}:
        return oracle.placeholder_token(field, canonical)
    return oracle.token(key, field, canonical)
