"""Values of a caller as Arrow's texts, from any iterable or column, and tokens as an array. No error quotes a value."""

from __future__ import annotations

import ipaddress
import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii

Arrow = Any
"""An array or a table of pyarrow, which has no types of its own, or what can become one."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TEXTS: Final = (pa.string(), pa.large_string(), pa.string_view())
_BYTES: Final = (pa.binary(), pa.large_binary(), pa.binary_view())
_HINT: Final = "a value is a text, bytes in UTF-8, a whole number, a UUID, an address or a Pii"

_ROWS: Final = 10_000


def texts_of(values: Any) -> tuple[Arrow, Sequence[int]]:  # noqa: ANN401 - a list, or a column of any library
    """Return the values as an array of `pa.large_string()`, null for no value; and the indices of what is not Unicode.

    `values` is a list or an iterable, an Arrow array, or a column of pandas or polars. A value that is not Unicode,
    such as a lone surrogate, is null in the array. Raises UsageError for a value that is no text, bytes, whole number,
    UUID, address or `Pii`.
    """
    if isinstance(values, str | bytes | Pii | Mapping):
        message = "the values are one value, and not a list"
        raise UsageError(message, hint="put it into a list")
    if (array := _array(values)) is not None:
        return array, ()
    texts = [_text(value, number) for number, value in enumerate(values, start=1)]
    wrong = [index for index, text in enumerate(texts) if text and _SURROGATE.search(text)]
    for index in wrong:
        texts[index] = None
    return pa.array(texts, pa.large_string()), wrong


def distinct(texts: Arrow) -> tuple[list[Pii], Arrow]:
    """Return the distinct values, and for each text the index of its value, or null."""
    encoded = texts.dictionary_encode()
    values = encoded.dictionary.cast(pa.large_binary()).to_pylist()
    return [Pii(value) for value in values], encoded.indices


def tokens_at(tokens: Sequence[uuid.UUID | None], at: Arrow) -> Arrow:
    """Return the tokens at these indices, as an array of the type `pa.uuid()`."""
    stored = pa.array([None if one is None else one.bytes for one in tokens], pa.binary(16))
    return pa.ExtensionArray.from_storage(pa.uuid(), stored.take(at))


def table_rows(table: Arrow) -> Iterator[dict[str, object]]:
    """Return the rows of a table that has Arrow's stream. Only some of them are Python objects at a time."""
    reader = pa.RecordBatchReader.from_stream(table)
    for batch in reader:
        for at in range(0, batch.num_rows, _ROWS):
            yield from batch.slice(at, _ROWS).to_pylist()


def _array(values: Any) -> Arrow | None:  # noqa: ANN401 - as above
    """Return the texts of an array; None for an iterable that is no array.

    A column of pandas has a `dtype`, and Arrow's protocol since version 3 alone.
    """
    try:
        if hasattr(values, "__arrow_c_stream__"):
            chunks = [_of_array(each) for each in pa.chunked_array(values).chunks]
            return pa.chunked_array(chunks, pa.large_string()).combine_chunks()
        if hasattr(values, "__arrow_c_array__"):
            return _of_array(pa.array(values))
        if hasattr(values, "dtype"):
            return _of_array(pa.array(values, from_pandas=True))
    except (pa.ArrowException, TypeError, ValueError):  # whose texts may quote a value
        pass
    else:
        return None
    message = "the values are of a type that Arrow does not have"
    raise UsageError(message, hint=_HINT)


def _of_array(array: Arrow) -> Arrow:
    kind = array.type
    try:
        if pa.types.is_dictionary(kind):
            return _of_array(array.dictionary).take(array.indices)
        if kind == pa.uuid():
            texts = [None if one is None else str(one) for one in array.to_pylist()]
            return pa.array(texts, pa.large_string())
        if kind == pa.null() or pa.types.is_integer(kind):
            array = array.cast(pa.string())
            kind = pa.string()
        if kind in _TEXTS or kind in _BYTES:
            return array.cast(pa.large_string())
    except pa.ArrowException:  # whose text may quote a value
        kind = None
    named = "bytes that are not UTF-8" if kind is None else f"{str(kind).partition('<')[0]}"
    message = f"the values are {named}, and not texts"
    raise UsageError(message, hint=_HINT)


def _text(value: object, number: int) -> str | None:
    text: str | None = None
    match value:
        case str():
            text = value
        case bytes():
            text = value.decode("utf-8", "surrogateescape")
        case Pii():
            text = value.expose().decode("utf-8", "surrogateescape")
        case bool():
            pass
        case int() | uuid.UUID() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            text = str(value)
        case _ if value is None or (isinstance(value, float) and math.isnan(value)):
            return None  # pandas has NaN where there is no value
    if text is not None:
        return text
    message = f"value {number} is of the type {type(value).__name__}, and not a text"
    raise UsageError(message, hint=_HINT)
