"""Values of lists and columns as texts, without pandas and polars: their columns come by Arrow's protocols."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any

import pyarrow as pa
import pytest

from vault_etl import Pii, errors
from vault_etl.library.arrow_values import distinct, table_rows, texts_of, tokens_at

SECRET = "198.51.100.7"


class Column:
    """A column as polars and pandas have it: it gives its chunks to Arrow, and has a `dtype`."""

    dtype = "str"

    def __init__(self, chunks: Any) -> None:  # noqa: ANN401 - of pyarrow
        self._chunks = chunks

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._chunks.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([], []),
        (["a", None, float("nan")], ["a", None, None]),
        ((text for text in ("a", "ü")), ["a", "ü"]),
        ([b"a", Pii(b"b"), 7], ["a", "b", "7"]),
        ([ipaddress.ip_address(SECRET), uuid.UUID(int=3)], [SECRET, str(uuid.UUID(int=3))]),
        (pa.array(["a", None]), ["a", None]),
        (pa.array([b"a", None], pa.binary_view()), ["a", None]),
        (pa.array([1, None]), ["1", None]),
        (pa.array([None, None]), [None, None]),
        (pa.array([uuid.UUID(int=3).bytes], pa.uuid()), [str(uuid.UUID(int=3))]),
        (pa.chunked_array([["a"], ["b", None]]).dictionary_encode(), ["a", "b", None]),
        (pa.chunked_array([], pa.dictionary(pa.int32(), pa.string_view())), []),
        (Column(pa.chunked_array([["a"], [None]], pa.string_view())), ["a", None]),
    ],
    ids=lambda each: str(type(each).__name__),
)
def test_values_become_texts(values: Any, texts: list[str | None]) -> None:  # noqa: ANN401 - as above
    """Each kind of list and column gives the same array."""
    found, wrong = texts_of(values)
    assert (found.type, found.to_pylist(), list(wrong)) == (pa.large_string(), texts, [])


def test_what_is_not_unicode_is_no_value() -> None:
    """A lone surrogate or other bytes are null, and named by their index."""
    found, wrong = texts_of(["a", "\ud800x", b"\xff", Pii(b"\xff"), ""])
    assert (found.to_pylist(), wrong) == (["a", None, None, None, ""], [1, 2, 3])


@pytest.mark.parametrize(
    "values",
    [
        SECRET,
        SECRET.encode(),
        Pii.of_text(SECRET),
        {SECRET: 1},
        ["a", True],
        [[SECRET]],
        pa.array([1.5]),
        pa.array([b"\xff198.51.100.7"]),
        pa.array([{SECRET: 1}]),
        Column(pa.table({SECRET: ["a"]})),
    ],
    ids=lambda each: str(type(each).__name__),
)
def test_other_values_are_refused(values: object) -> None:
    """The error names the type or the number, and neither the error nor what is behind it has a value."""
    with pytest.raises(errors.UsageError) as caught:
        texts_of(values)
    assert SECRET not in f"{caught.value} {caught.value.__context__} {caught.value.__cause__}"


def test_equal_values_are_one() -> None:
    """A distinct value is given once, and its token goes to each of its places."""
    values, at = distinct(pa.array(["a", None, "b", "a"], pa.large_string()))
    assert [value.expose() for value in values] == [b"a", b"b"]
    one = uuid.UUID(int=1)
    assert tokens_at([one, None], at).to_pylist() == [one, None, None, one]


def test_a_table_is_read_by_rows() -> None:
    """Rows come in order, over the ends of batches."""
    table = pa.table({"a": pa.chunked_array([[1], [2, 3]])})
    assert [row["a"] for row in table_rows(table)] == [1, 2, 3]
